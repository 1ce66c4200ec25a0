#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: logs_show
short_description: Print the log lines of all hosts in the order of time
version_added: 0.2.0
description:
  - Runs on the controller, over what M(sluice.stack.release_logs) registered on each host. Each line begins with its time, host, app and service, and
    release. Control characters are not printed, since a terminal would obey them.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  hosts:
    description: The hosts.
    type: list
    elements: str
    required: true
  observed_by:
    description: Name of the variable the lines were registered in on each host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Logs | Show them in the order of time
  sluice.stack.logs_show:
    hosts: "{{ ansible_play_hosts }}"
    observed_by: found
  run_once: true
"""

RETURN = r"""
lines:
  description: What was printed.
  returned: success
  type: list
  elements: str
  sample: ["2026-11-22T23:15:00.100Z app1 marketplace/backend 20261122T231500Z-v1.4.2 listening on 4000"]
"""
