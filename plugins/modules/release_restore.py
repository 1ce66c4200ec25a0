#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_restore
short_description: Take the data of a release back that failed after its migration
version_added: 0.1.0
description:
  - Runs C(rollback.yml -e release_data=restore -e rollback_confirm=...) on the controller, with the inventory, vault passwords, variables and
    other options of the run it is part of, and shows what it says. It is the command that the run would else print for a person.
  - The playbook is the C(rollback.yml) beside the C(deploy.yml) that runs, or else C(sluice.stack.rollback).
  - The run must have left the app before, and written its failure into the ledgers.
  - It has no deadline of its own; the playbook's steps have theirs.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  release:
    description: The id of the release that failed, and whose restore point the data go back to.
    type: str
    required: true
attributes:
  check_mode:
    description: Runs that check do not get here.
    support: none
"""

EXAMPLES = r"""
- name: Failure | Take the data back
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
