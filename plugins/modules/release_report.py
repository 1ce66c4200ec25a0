#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_report
short_description: Report the result of a deploy or rollback, and fail when it failed
version_added: 0.1.0
description:
  - Runs on the controller, as the last step of every run.
  - After a failure it fails with one line that names the failed step, the reason and what is live now; the step's details follow.
  - After a success it prints what is live and the duration of each step, and warns of harmless failures.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  plan:
    description: The plan, as M(sluice.stack.release_plan) returned it.
    type: dict
    required: true
  verdict:
    description: The last verdict.
    type: dict
    required: true
  run:
    description: The run, as M(sluice.stack.app_contract) returned it.
    type: dict
    required: true
  data:
    description:
      - The changes of a failed run in the database. C(names) are the migrations it was to apply, C(reverted) is the verdict on reverting
        them or restoring the data, when that was tried, and C(stays) those that the live release expects. Otherwise
        the message ends with the command for the operator.
    type: dict
    default: {}
attributes:
  check_mode:
    description: It only prints; in check mode it reports that nothing was changed.
    support: full
"""

EXAMPLES = r"""
- name: Report | Report the result
  sluice.stack.release_report:
    plan: "{{ plan.plan }}"
    verdict: "{{ step.verdict }}"
    run: "{{ contract.run }}"
  run_once: true
"""

RETURN = r"""
lines:
  description: The printed output.
  returned: success
  type: list
  elements: str
  sample: ["marketplace v1.4.2 is live (release 20261122T231500Z-v1.4.2, slot green), 9.1 s"]
notes:
  description: Harmless failures, each shown as a warning.
  returned: success
  type: list
  elements: str
  sample: ["retire: app2: cannot be reached (timed out)"]
"""
