#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rehearsal_verdict
short_description: Report the result of a rehearsal of migrations, and whether the run continues
version_added: 0.1.0
description:
  - Runs on the controller. Prints how long the migrations took on a copy of the data, which tables they rewrote, and whether the live release
    works on the result.
  - The task itself does not fail. Every later step depends on RV(verdict).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  database:
    description: The host of the copy.
    type: str
    required: true
  host:
    description: The host that ran the migrations.
    type: str
    required: true
  copy:
    description: Name of the variable with the result of M(sluice.stack.db_scratch).
    type: str
    required: true
  tried:
    description: Name of the variable with the result of M(sluice.stack.migration_rehearsal).
    type: str
    required: true
  gone:
    description: Name of the variable with the result of removing the copy.
    type: str
    required: true
  verdict:
    description: The run's verdict before, as in P(sluice.stack.verdict#filter).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Rehearse | Report the result
  sluice.stack.rehearsal_verdict:
    database: db1
    host: app1
    copy: copied
    tried: tried
    gone: gone
    verdict: "{{ verdict }}"
  register: rehearsed
"""

RETURN = r"""
lines:
  description: The printed output.
  returned: always
  type: list
  elements: str
  sample: ["  rehearsed  20261115090000_accountant_specialty: 0.4 s"]
verdict:
  description: The run's verdict after the rehearsal.
  returned: always
  type: dict
  sample: {ok: true, message: "", failed: {}, unreachable: [], notes: [], times: [[begin, 1795389300.0], [rehearse, 1795389301.2]]}
"""
