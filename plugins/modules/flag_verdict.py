#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flag_verdict
short_description: Judge whether a side of a feature flag is worse than the other
version_added: 0.2.0
description:
  - Runs on the controller. Adds up what M(sluice.stack.canary_window) counted of a flag's sides on each edge, and judges them like a canary
    (M(sluice.stack.canary_verdict)).
  - A flag without variants has the sides V(on) and V(off). Of one with variants, the first is what each other is measured by.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  definition:
    description: The flag, as in C(flags) of the contract.
    type: dict
    required: true
  hosts:
    description: The edges that must have counted.
    type: list
    elements: str
    required: true
  result:
    description: Name of the variable that has, on each edge, what M(sluice.stack.canary_window) registered in a loop over the pairs of sides.
    type: str
    required: true
  settings:
    description: The settings of M(sluice.stack.canary_verdict).
    type: dict
    default: {}
  percent:
    description: The share that the flag has; without it the sides are only described.
    type: int
  check:
    description: The number of this look at the share.
    type: int
    default: 1
  last:
    description: Whether it is the last look at the share.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Rollout | Judge
  sluice.stack.flag_verdict:
    definition: "{{ contract.flags['new-payment-flow'] }}"
    hosts: "{{ groups['edge'] }}"
    result: window
    percent: 50
  run_once: true
"""

RETURN = r"""
decision:
  description: V(on) to go on, V(again) to look again, V(stop) to stay at this share, V(revert) to take the flag from everybody.
  returned: success
  type: str
  sample: "on"
message:
  description: Why it does not go on; empty when it does.
  returned: success
  type: str
look:
  description: What was seen, for M(sluice.stack.flag_report).
  returned: success
  type: dict
lines:
  description: The printed output.
  returned: success
  type: list
  elements: str
"""
