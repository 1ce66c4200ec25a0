#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_gate
short_description: Stop migrations that would hurt an app while it serves
version_added: 0.1.0
description:
  - Runs on the controller. Prints which migrations are pending, has squawk (C(squawk-cli)) look at their SQL, adds a few rules of its own,
    and says for each finding the statement, why it hurts and the safe form.
  - >-
    A migration that is marked as the contract half of a pair, C(-- sluice: contract <expand migration>), may do what it must when its
    expand half is applied, and a part of the release that serves.
  - >-
    A finding that only locks may be accepted in the migration, with squawk's own comment before the statement, C(-- squawk-ignore <rule>).
  - A table that one of the pending migrations creates may be changed at will.
  - It does not fail itself. Every later step depends on RV(verdict).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  hosts:
    description: The host that was asked with M(sluice.stack.db_migration) which migrations are pending.
    type: list
    elements: str
    required: true
  result:
    description: Name of the variable its answer is in.
    type: str
    required: true
  mode:
    description: V(refuse) stops the run, V(warn) only says so, V(off) does not look.
    type: str
    choices: [refuse, warn, "off"]
    default: refuse
  down_required:
    description: Whether a migration that cannot be undone stops the run, whatever O(mode) says.
    type: bool
    default: false
  verdict:
    description: The run's verdict before, as P(sluice.stack.verdict#filter) has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Pending | What hurts an app that serves does not run
  sluice.stack.migration_gate:
    hosts: [app1]
    result: listed
    verdict: "{{ verdict }}"
  register: gate
"""

RETURN = r"""
refused:
  description: What stops the run.
  returned: always
  type: list
  elements: dict
  sample:
    - migration: 20261115090000_specialty
      line: 3
      statement: 'CREATE INDEX "Accountant_specialty_idx" ON "Accountant"("specialty")'
      rule: require-concurrent-index-creation
      kind: locks
      why: nobody can write to the table while the index is built
      safe: CREATE INDEX CONCURRENTLY, as the only statement of a migration
      accepted: null
allowed:
  description: What was found and may run all the same, with the reason.
  returned: always
  type: list
  elements: dict
needless:
  description: The later steps that have nothing to do, C(rehearse) and C(migrate) when nothing is pending.
  returned: always
  type: list
  elements: str
lines:
  description: What was shown, the pending migrations and what of them may run all the same.
  returned: when migrations could be looked at
  type: list
  elements: str
  sample: ["  pending    20261115090000_accountant_specialty"]
verdict:
  description: The run's verdict after the gate.
  returned: always
  type: dict
"""
