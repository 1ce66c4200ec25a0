#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: security_report
short_description: Judge what M(sluice.stack.security_facts) saw, as a table, a file and a verdict
version_added: 0.2.0
description:
  - Runs on the controller, over what M(sluice.stack.security_facts) registered on each host. A host without facts is a failed check.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  hosts:
    description: The hosts to report on.
    type: list
    elements: str
    required: true
  observed_by:
    description: Name of the variable the facts were registered in on each host.
    type: str
    required: true
  waivers:
    description:
      - Risks that somebody accepted. Each has C(check), C(reason) and C(until), the last day it counts; C(hosts) limits it to some hosts, C(only) to
        the problems that contain that text. After its last day the check fails again.
    type: list
    elements: dict
    default: []
  fail_at:
    description: The least severity that fails the audit.
    type: str
    choices: [low, medium, high, critical]
    default: high
  path:
    description: File on the controller to write the report to, as JSON; empty for none.
    type: str
    default: ""
  lynis_index:
    description: The least hardening index in the last report of lynis.
    type: int
    default: 70
"""

EXAMPLES = r"""
- name: Security | Report
  sluice.stack.security_report:
    hosts: "{{ ansible_play_hosts_all }}"
    observed_by: seen
    waivers:
      - {check: containers_escape, hosts: [app1], only: cadvisor, reason: reads the engine, until: "2027-06-30"}
  register: report
  run_once: true
"""

RETURN = r"""
checks:
  description: Every check of every host, what is not in order first. C(state) is V(ok), V(failed), V(waived) or V(unknown).
  returned: success
  type: list
  elements: dict
  sample:
    - {name: upgrades, host: app1, severity: high, state: failed, evidence: openssl 3.5.1-1 → 3.5.4-1, fix: apt-get upgrade}
counts:
  description: The number of checks by state.
  returned: success
  type: dict
  sample: {failed: 1, unknown: 2, waived: 0, ok: 40}
message:
  description: Why the audit fails, in one line; empty when it does not.
  returned: success
  type: str
  sample: "1 check failed with severity high or higher: upgrades on app1"
lines:
  description: The printed table.
  returned: success
  type: list
  elements: str
  sample: ["  failed   high      upgrades               app1       openssl 3.5.1-1 → 3.5.4-1"]
"""
