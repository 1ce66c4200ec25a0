#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flag_report
short_description: Write what was seen of a feature flag's sides
version_added: 0.2.0
description:
  - Writes it as JSON and as a page with plots.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  run:
    description: The run.
    type: dict
    required: true
  flag:
    description: Name of the flag.
    type: str
    required: true
  looks:
    description: What M(sluice.stack.flag_verdict) returned as C(look), in order.
    type: list
    elements: dict
    required: true
  headline:
    description: What came of it, in one line.
    type: str
    required: true
  ok:
    description: Whether no side is worse than the other.
    type: bool
    required: true
  directory:
    description: Where the files are written; empty for none.
    type: str
    default: reports
"""

EXAMPLES = r"""
- name: Rollout | Report
  sluice.stack.flag_report:
    app: marketplace
    run: "{{ contract.run }}"
    flag: new-payment-flow
    looks: "{{ looks }}"
    headline: everybody has it
    ok: true
  run_once: true
"""

RETURN = r"""
report:
  description: The content of the JSON file.
  returned: success
  type: dict
lines:
  description: The printed output.
  returned: success
  type: list
  elements: str
"""
