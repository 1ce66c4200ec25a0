# SPDX-License-Identifier: Apache-2.0
"""The edges' configuration of an app that was deployed, as the plan renders it: printed."""

import json
import sys

import yaml
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import render_app
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls

with open(sys.argv[1], encoding="utf-8") as handle:
    given = yaml.safe_load(handle)
release = {
    "app": given["app_name"],
    "services": {"web": {}},
    "ports": {"web": {"blue": [20000], "green": [20001]}},
    "routes": [{"assets": None, **route} for route in given["app_routes"]],
}
print(
    json.dumps(
        render_app(
            None, release, {"world1": "10.213.68.21"}, 80, tls=Tls(443, given["nginx_http3"], "acme", given["edge_tls"])
        )
    )
)
