#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ask the Prometheus of this host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: prometheus_query
short_description: Ask the Prometheus of a monitoring host
version_added: 0.2.0
description:
  - Runs queries at the host's own Prometheus, which listens on C(127.0.0.1) only. Nothing is changed.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  queries:
    description: Queries in PromQL, by a name of yours. Each returns an instant vector or a scalar.
    type: dict
    required: true
  time:
    description: The moment they are about, in seconds since the epoch; 0 is now.
    type: float
    default: 0
  port:
    description: The port of Prometheus.
    type: int
    default: 9090
  timeout:
    description: The longest that one query may take, in seconds.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Gates | Ask how fast the error budget burns
  sluice.stack.prometheus_query:
    queries:
      errors: sum(rate(sluice_edge_requests_total{app="marketplace", code="5xx"}[5m]))
  delegate_to: "{{ groups['monitors'] | first }}"
  register: burning
"""

RETURN = r"""
results:
  description: For each name its series, with their labels and current values; none where nothing matches. A value that is not a number is null.
  returned: success
  type: dict
  sample: {errors: [{metric: {}, value: 0.25}]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.query import QueryError, ask

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "queries": {"type": "dict", "required": True},
        "time": {"type": "float", "default": 0},
        "port": {"type": "int", "default": 9090},
        "timeout": {"type": "float", "default": 10},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, ask, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    try:
        results = {
            name: ask(params["port"], str(query), params["time"] or None, params["timeout"])
            for name, query in params["queries"].items()
        }
    except QueryError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, results=results)


if __name__ == "__main__":
    main()
