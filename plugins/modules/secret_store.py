#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_store
short_description: Write a new value of a secret to where it is kept
version_added: 0.2.0
description:
  - Runs on the controller. Writes to OpenBao or HashiCorp Vault (key-value engine version 2), AWS Secrets Manager, or a file encrypted by SOPS; other
    values at the same place stay.
  - The first two refuse the value when the newest version is not O(expected) any more.
  - Output, also at the highest verbosity, has no value of a secret, and no process has one in its arguments.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The secret, for messages.
    type: str
    required: true
  reference:
    description: Where it is kept, from C(secret_references) of the contract.
    type: dict
    required: true
  sources:
    description: How to reach the sources, the variable C(app_secret_sources).
    type: dict
    default: {}
  value:
    description: The new value.
    type: str
    required: true
  expected:
    description: The version by the store's own count that was read before.
    type: str
    default: ""
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
    name: DATABASE_URL
    reference: "{{ contract.contract.secret_references.DATABASE_URL }}"
    sources: "{{ app_secret_sources }}"
    value: "{{ rotation.value }}"
    expected: "{{ secrets.source_versions.DATABASE_URL }}"
  run_once: true
"""

RETURN = r"""
written:
  description: Where it was written, with the new version where the source has one.
  returned: when it was written
  type: str
  sample: "vault marketplace/database, key url, version 4"
"""
