#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_check
short_description: Check that an app's secrets can be read and are fit for use
version_added: 0.1.0
description:
  - Runs on the controller. Reads the secrets that services list, from the inventory and from their sources, and prints a line for each.
  - A secret does not pass that cannot be read, is easy to guess, is older than O(max_age_days), or has the value of another environment.
  - No value is printed, returned or written, only fingerprints made by scrypt.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller, sluice.stack.sources]
options:
  app:
    description: The app.
    type: str
    required: true
  environment:
    description: The environment's name, for the report.
    type: str
    required: true
  names:
    description: The secrets that services list.
    type: list
    elements: str
    required: true
  secrets:
    description: The variable C(app_secrets).
    type: dict
    required: true
  rotations:
    description: The contract's C(rotations), whose C(max_age_days) takes precedence.
    type: dict
    default: {}
  against:
    description: Reports of other environments, written with O(json_file).
    type: list
    elements: path
    default: []
  max_age_days:
    description: The greatest age of a secret. A source that does not tell it makes a secret V(unknown), which passes.
    type: float
  json_file:
    description: Where to write the report.
    type: path
"""

EXAMPLES = r"""
- name: Secrets | Check them
  sluice.stack.secret_check:
    app: marketplace
    environment: production
    names: [JWT_SECRET]
    secrets: "{{ app_secrets }}"
    references:
      JWT_SECRET: {vault: marketplace/jwt, key: value, mount: null, version: null}
    sources: "{{ app_secret_sources }}"
    against: [build/staging-secrets.json]
    max_age_days: 90
  run_once: true
"""

RETURN = r"""
checks:
  description: The answer for each secret, with the fields of a gate.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: JWT_SECRET, state: ok, evidence: "vault marketplace/jwt, key value, version 7; 12 days old", fix: ""}
failed_names:
  description: The secrets that do not pass. The task itself does not fail for them.
  returned: always
  type: list
  elements: str
  sample: []
"""
