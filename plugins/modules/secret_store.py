#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_store
short_description: Write new values of secrets to where they are kept
version_added: 0.2.0
description:
  - Runs on the controller. Writes to OpenBao or HashiCorp Vault (key-value engine version 2), AWS Secrets Manager, or a file encrypted by SOPS; other
    values at the same place stay.
  - The first two refuse the value when the newest version is not that of O(expected) any more.
  - Output, also at the highest verbosity, has no value of a secret, and no process has one in its arguments.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.sources]
options:
  values:
    description: The new values by name, in the order to write them.
    type: dict
    required: true
  expected:
    description: The versions by the stores' own count that were read before, by name.
    type: dict
    default: {}
attributes:
  action:
    description: There is only an action plugin; nothing is sent to a host.
    support: full
  check_mode:
    description: Nothing is written.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Rotation | Store the new value
  sluice.stack.secret_store:
    references: "{{ contract.contract.secret_references }}"
    sources: "{{ app_secret_sources }}"
    values: "{{ rotation.values }}"
    expected: "{{ secrets.source_versions }}"
  run_once: true
"""

RETURN = r"""
at:
  description: When it was written, for the ledgers.
  returned: when it was written
  type: dict
  sample: {from: "2026-11-22T23:15:00.120+00:00", to: "2026-11-22T23:15:00.410+00:00"}
written:
  description: Where each was written, with the new version where the source has one.
  returned: when they were written
  type: dict
  sample: {DATABASE_URL: "vault marketplace/database, key url, version 4"}
"""
