#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: environment_confirm
short_description: Refuse what may harm a protected environment whose name was not typed
version_added: 0.1.0
description:
  - Runs on the controller. Where the inventory sets C(environment_protected), the run must name the environment with
    C(-e confirm_environment=NAME), or with C(SLUICE_CONFIRM_ENVIRONMENT) in the environment of a pipeline. NAME is C(environment_name).
  - The confirmation is read from the command line only. An inventory cannot confirm.
  - Check mode needs no confirmation.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  action:
    description: What is about to be done; used in messages.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Promote | Ask for the name of a protected environment
  sluice.stack.environment_confirm:
    action: promote
  run_once: true
"""

RETURN = r"""
msg:
  description: Why it is refused, in one line.
  returned: failure
  type: str
  sample: promote in production is refused. If production is meant, add -e confirm_environment=production
"""
