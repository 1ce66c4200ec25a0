#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_rotation
short_description: Take an app host out of rotation, or bring it back, from within a playbook
version_added: 0.2.0
description:
  - Runs C(playbooks/hosts/drain.yml) or C(join.yml) on the controller, with the inventory, vault passwords, variables and other options of the
    current run, and shows its output.
  - It has no timeout of its own; the playbook's steps have theirs.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  host:
    description: The app host.
    type: str
    required: true
  state:
    description: What it shall be.
    type: str
    choices: [drained, joined]
    required: true
attributes:
  check_mode:
    description: Not supported; runs in check mode do not reach it.
    support: none
"""

EXAMPLES = r"""
- name: Reboot | Take it out of rotation
  sluice.stack.host_rotation:
    host: app2
    state: drained
"""

RETURN = r"""
msg:
  description: The exit code of the playbook.
  returned: failure
  type: str
  sample: "app2 was not drained: drain.yml ended with exit code 2; its output is above"
printed:
  description: The output of the playbook, which was printed line by line unless the output of this run is JSON.
  returned: always
  type: list
  elements: str
"""
