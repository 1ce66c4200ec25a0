#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: run_begin
short_description: Begin a run that is no release
version_added: 0.1.0
description:
  - Identifies a restore, a drill or a look at the backups, as M(sluice.stack.app_contract) does for a release. What the run does from here on is in
    its report and notices.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  action:
    description: What the run does.
    type: str
    choices: [drill, restore, files restore, backup status]
    required: true
  subject:
    description: What it does that to, such as a host.
    type: str
    required: true
  reason:
    description: Why; without it the environment's E(SLUICE_REASON).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Restore drill | Begin
  sluice.stack.run_begin:
    action: drill
    subject: db1
"""

RETURN = r"""
run:
  description: The run.
  returned: success
  type: dict
  sample: {id: 3ece9e988bf1, action: drill, who: ann@build, reason: "", revision: null, started: "2026-11-28T08:00:00Z"}
subject:
  description: The subject.
  returned: success
  type: str
  sample: db1
"""
