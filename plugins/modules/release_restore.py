#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_restore
short_description: Restore the data after a release failed at or after its migration
version_added: 0.1.0
description:
  - Runs C(rollback.yml -e release_data=restore -e rollback_confirm=...) on the controller, with the inventory, vault passwords, variables and
    other options of the current run, and shows its output. Without it, the run prints this command for the operator.
  - The playbook is the C(rollback.yml) next to the running C(deploy.yml), or else C(sluice.stack.rollback).
  - The run must have released the lease before, and recorded its failure in the ledgers.
  - It has no timeout of its own; the playbook's steps have theirs.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  release:
    description: The id of the failed release, whose restore point is restored.
    type: str
    required: true
attributes:
  check_mode:
    description: Not supported; runs in check mode do not reach it.
    support: none
"""

EXAMPLES = r"""
- name: Failure | Restore the data
  sluice.stack.release_restore:
    release: 20261122T231500Z-v1.4.2
  run_once: true
"""

RETURN = r"""
msg:
  description: The exit code of the playbook.
  returned: failure
  type: str
  sample: rollback.yml ended with exit code 2; its output is above
printed:
  description: The output of the playbook, which was printed line by line unless the output of this run is JSON.
  returned: always
  type: list
  elements: str
"""
