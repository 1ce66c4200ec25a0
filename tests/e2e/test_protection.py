# SPDX-License-Identifier: Apache-2.0
"""A protected app is deployed and rolled back behind its protection, which no run takes away but one that says so."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from tests.support.lab import INVENTORY, QUICK, Lab
from tests.support.playbook import REPO

PASSWORD = "correct horse"
APP = yaml.safe_load((REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text())
PROTECTED = json.dumps(
    {
        "app_secrets": {**APP["app_secrets"], "STAGING": PASSWORD},
        "app_protection": {"basic_auth": {"team": "STAGING"}},
        "app_routes": [
            {**APP["app_routes"][0], "rate_limit": {"requests": 1, "per": "minute", "burst": 3}},
            {**APP["app_routes"][1], "deny": ["192.0.2.0/24"]},
        ],
    }
)
INSIDE = {"Authorization": f"Basic {base64.b64encode(f'team:{PASSWORD}'.encode()).decode()}"}


@pytest.mark.soak
def test_a_release_goes_live_behind_passwords_and_limits(lab: Lab, v1_0_0: str) -> None:
    assert [lab.ask("/api/version").status for _ in range(5)] == [200] * 5, "the control"
    run = lab.deploy(
        "v1.0.0", *QUICK, "-e", PROTECTED, "-e", '{"app_extra": {"banner": "new"}}', "--diff", "-vvv"
    ).good()
    assert "route / changes (networks, passwords); route /api/ changes (rate limit, passwords)" in run.output
    assert lab.live() != v1_0_0, "verified, although nobody else gets in without the password"
    assert lab.ask("/").status == 401
    # Refused requests count, too.
    answers = [lab.ask("/api/version", headers=INSIDE) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
    assert answers[-1].headers["retry-after"] == "60"

    files = lab.shell("edge1", "stat -c '%a %U %G' /etc/nginx/sluice/*.users; cat /etc/nginx/sluice/*.users")
    assert files.startswith("640 root www-data\nteam:$2b$05$") and files.count("\n") == 2
    made = files.splitlines()[1].removeprefix("team:")
    assert PASSWORD not in run.output and made not in run.output
    assert lab.shell("edge1", f"grep -rl '{PASSWORD}' /etc/nginx /var/lib/sluice* /var/log/nginx", check=False) == ""

    lab.rollback(*QUICK, "-e", PROTECTED).good()
    assert (lab.live(), lab.ask("/").status, lab.ask("/", headers=INSIDE).status) == (v1_0_0, 401, 200)
    lab.deploy("v1.0.0", *QUICK).good()
    assert (lab.live(), lab.ask("/").status) == (v1_0_0, 200)
    assert lab.shell("edge1", "ls /etc/nginx/sluice/*.users", check=False) == ""
