#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_removal
short_description: Show what removing an app would remove, and judge the confirmation
version_added: 0.1.0
description:
  - Runs on the controller, over what M(sluice.stack.app_remove) with O(sluice.stack.app_remove#module:state=listed) registered on each host.
  - It does not fail itself. A verdict that is not C(ok) says why nothing may be removed.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  listed_by:
    description: Name of the variable the list was registered in on each host.
    type: str
    required: true
  confirm:
    description: The app's name or the id of the plan; empty to only show the plan.
    type: str
    default: ""
  remove_data:
    description: Whether the history of the app goes too.
    type: bool
    default: false
  excluded:
    description: Hosts that the run goes on without.
    type: list
    elements: str
    default: []
  verdict:
    description: The verdict over all earlier steps.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Removal | Show the plan
  sluice.stack.app_removal:
    app: marketplace
    listed_by: listed
    confirm: marketplace
    verdict: "{{ contract.verdict }}"
  register: removal
  run_once: true
"""

RETURN = r"""
confirmed:
  description: Whether the app is to be removed now; never in check mode.
  returned: always
  type: bool
confirmation:
  description: The id of the plan.
  returned: when the verdict is ok
  type: str
  sample: 4f1c09ab27
verdict:
  description: The verdict, not C(ok) when the confirmation is for something else.
  returned: always
  type: dict
lines:
  description: What was printed.
  returned: when the verdict is ok
  type: list
  elements: str
"""
