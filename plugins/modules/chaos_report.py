#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: chaos_report
short_description: Say what chaos experiments promised and what was seen
version_added: 0.2.0
description:
  - Prints a table, and writes it as JSON and as a page with plots.
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
  experiments:
    description: The experiments, from M(sluice.stack.chaos_plan).
    type: list
    elements: dict
    required: true
  observed_by:
    description: Name of the variable that has, on each host, the results of M(sluice.stack.chaos_experiment) by experiment.
    type: str
    required: true
  directory:
    description: Where the files are written; empty for none.
    type: str
    default: reports
"""

EXAMPLES = r"""
- name: Chaos | Report
  sluice.stack.chaos_report:
    app: marketplace
    run: "{{ contract.run }}"
    experiments: "{{ plan.experiments }}"
    observed_by: chaos_seen
  run_once: true
"""

RETURN = r"""
message:
  description: Why the run fails, in one line; empty when it does not.
  returned: success
  type: str
  sample: "1 promise was broken: redis_restarted (3 of 240 requests failed)"
experiments:
  description: What was seen of each.
  returned: success
  type: list
  elements: dict
lines:
  description: The printed table.
  returned: success
  type: list
  elements: str
"""
