#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_gate
short_description: Stop migrations that would break or block a live app
version_added: 0.1.0
description:
  - Runs on the controller. Prints the pending migrations, checks their SQL with squawk (C(squawk-cli)) and a few rules of its own,
    and prints for each finding the statement, why it is unsafe and the safe form.
  - >-
    A migration that is marked as the contract half of a pair, C(-- sluice: contract <expand migration>), may do what it must when its
    expand migration is applied and part of the live release.
  - >-
    A finding that only locks may be accepted in the migration, with squawk's own comment before the statement, C(-- squawk-ignore <rule>).
  - A table that one of the pending migrations creates may be changed without restriction.
  - The task itself does not fail. Every later step depends on RV(verdict).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  hosts:
    description: The host where M(sluice.stack.db_migration) listed the pending migrations.
    type: list
    elements: str
    required: true
  result:
    description: Name of the variable with its result.
    type: str
    required: true
  mode:
    description: V(refuse) stops the run, V(warn) only warns, V(off) does not check.
    type: str
    choices: [refuse, warn, "off"]
    default: refuse
  down_required:
    description: Whether a migration without a down migration stops the run, regardless of O(mode).
    type: bool
    default: false
  verdict:
    description: The run's verdict before, as in P(sluice.stack.verdict#filter).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Pending | Refuse migrations that break the live release
  sluice.stack.migration_gate:
    hosts: [app1]
    result: listed
    verdict: "{{ verdict }}"
  register: gate
"""

RETURN = r"""
refused:
  description: The findings that stop the run.
  returned: always
  type: list
  elements: dict
  sample:
    - migration: 20261115090000_specialty
      line: 3
      statement: 'CREATE INDEX "Accountant_specialty_idx" ON "Accountant"("specialty")'
      rule: require-concurrent-index-creation
      kind: locks
      why: writes to the table are blocked while the index is built
      safe: CREATE INDEX CONCURRENTLY, as the only statement of a migration
      accepted: null
allowed:
  description: The findings that may run anyway, with the reason.
  returned: always
  type: list
  elements: dict
needless:
  description: The later steps that have nothing to do, C(rehearse) and C(migrate) when nothing is pending.
  returned: always
  type: list
  elements: str
lines:
  description: The printed output, the pending migrations and the allowed findings.
  returned: when migrations could be looked at
  type: list
  elements: str
  sample: ["  pending    20261115090000_accountant_specialty"]
verdict:
  description: The run's verdict after the gate.
  returned: always
  type: dict
"""
