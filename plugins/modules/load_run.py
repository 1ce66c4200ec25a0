#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Send load from one host with k6, and count the answers."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: load_run
short_description: Send requests at given rates with k6, and stop when the limits are broken
version_added: 0.2.0
description:
  - Runs k6 on the host with one stage after the other, each at a constant rate of requests however slow the answers are, and counts every answer.
  - It ends early when a stage has more failed or slow requests than its limits leave it, and when the controller is gone. It never takes longer than
    its stages and O(timeout).
  - Headers and bodies are only in files in a directory of their own, which is removed; no argument of a process has them.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  k6:
    description: The program.
    type: path
    required: true
  base:
    description: The beginning of each URL, such as C(https://app.example.com).
    type: str
    required: true
  stages:
    description: The stages, each with C(rate), requests a second, and C(seconds).
    type: list
    elements: dict
    required: true
  requests:
    description: What to send.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The path, and what is asked for.
        type: str
        default: /
      method:
        description: The method.
        type: str
        default: GET
      headers:
        description: The headers, by name.
        type: dict
        default: {}
      body:
        description: The body.
        type: str
      expect:
        description: The statuses that are as expected.
        type: str
        default: 200-399
      weight:
        description: How often it is sent, compared to the others.
        type: int
        default: 1
  scenario:
    description: A script for k6 instead of O(requests). Its default function is one turn; options of its own have no effect.
    type: str
    default: ""
  limits:
    description: What to hold, C(availability) in per cent and C(latency), a map from quantiles such as C(p99) to seconds.
    type: dict
    default: {}
  hosts:
    description: Addresses of host names, used instead of DNS.
    type: dict
    default: {}
  ca:
    description: The certificates, in PEM, that vouch for the target; empty for the host's own.
    type: str
    default: ""
  timeout:
    description: Seconds until a request without an answer has failed.
    type: float
    default: 10
  clients:
    description: The most requests that wait for an answer at once; more are not sent, and count as failed.
    type: int
    default: 500
  stop:
    description: Whether to end when the limits are broken.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Load | Send 50 requests a second for a minute
  sluice.stack.load_run:
    k6: /opt/sluice/k6/bin/k6
    base: https://app.example.com
    stages: [{rate: 50, seconds: 60}]
    requests: [{path: /, method: GET, headers: {}, body: null, expect: 200-399, weight: 1}]
    limits: {availability: 99.9, latency: {p99: 0.5}}
"""

RETURN = r"""
stages:
  description: What each stage was. Times are in seconds; C(broken) names the limits it did not hold.
  returned: success
  type: list
  elements: dict
  sample: [{rate: 50, seconds: 60, answered: 3000, failed: 0, unsent: 0, p50: 0.012, p90: 0.02, p99: 0.04, max: 0.1, broken: []}]
series:
  description: The same of each second.
  returned: success
  type: list
  elements: dict
  sample: [{second: 0, answered: 50, failed: 0, unsent: 0, p50: 0.012, p90: 0.02, p99: 0.04, max: 0.1}]
stopped:
  description: Why it ended early; empty when it did not.
  returned: success
  type: str
  sample: "availability 99.9 %"
busy:
  description: The share of the host's processors that k6 used. Near 1 the figures are the host's and not the target's.
  returned: success
  type: float
  sample: 0.21
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.load import k6

# What a request carries may be a token.
REQUEST: dict[str, Any] = {
    "path": {"type": "str", "default": "/"},
    "method": {"type": "str", "default": "GET"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "body": {"type": "str", "no_log": True},
    "expect": {"type": "str", "default": "200-399"},
    "weight": {"type": "int", "default": 1},
}
ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "k6": {"type": "path", "required": True},
        "base": {"type": "str", "required": True},
        "stages": {"type": "list", "elements": "dict", "required": True},
        "requests": {"type": "list", "elements": "dict", "default": [], "options": REQUEST},
        "scenario": {"type": "str", "default": "", "no_log": True},
        "limits": {"type": "dict", "default": {}},
        "hosts": {"type": "dict", "default": {}},
        "ca": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 10.0},
        "clients": {"type": "int", "default": 500},
        "stop": {"type": "bool", "default": True},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, send, exit."""
    module = AnsibleModule(**ARGUMENTS)
    if module.check_mode:
        module.exit_json(changed=False, stages=[], series=[], stopped="", busy=0.0)
    try:
        module.exit_json(changed=False, **k6.send(module.params))
    except k6.LoadError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
