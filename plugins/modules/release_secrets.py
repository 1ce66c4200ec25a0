#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_secrets
short_description: Read an app's secrets from where they are kept
version_added: 0.1.0
description:
  - Runs on the controller, once a run and before any host is changed. Reads from OpenBao or HashiCorp Vault (key-value engine version 2), AWS
    Secrets Manager, files encrypted by SOPS, and the environment.
  - Of secrets that app hosts read themselves (C(secrets_from)) it learns the version only.
  - All are read side by side. The task fails with one line for each that cannot be read, which names the secret and the reason.
  - Output, also at the highest verbosity, has no value of a secret.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller, sluice.stack.sources]
requirements:
  - hvac and the collection community.hashi_vault, for C(vault)
  - boto3, for C(aws)
  - sops and the collection community.sops, for C(sops)
options:
  app:
    description: The app. A version of a secret is a fingerprint that depends on it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Contract | Read the secrets from their sources
  sluice.stack.release_secrets:
    app: marketplace
    references:
      JWT_SECRET: {vault: marketplace/jwt, key: value, mount: null, version: null}
    sources:
      vault:
        url: https://bao.example.com:8200
        auth: approle
        role_id: "{{ vault_bao_role_id }}"
        secret_id: "{{ vault_bao_secret_id }}"
        ca: files/bao-ca.pem
  register: secrets
  run_once: true
"""

RETURN = r"""
secrets:
  description: The secrets that were read here. Only the registered variable has them.
  returned: success
  type: dict
  sample: {JWT_SECRET: "…"}
versions:
  description: The version of each, a fingerprint of its value; of one that hosts read, of its place and the time it was written.
  returned: success
  type: dict
  sample: {JWT_SECRET: 5d2f0c9a41}
at:
  description: When they were read, for the ledgers.
  returned: success
  type: dict
  sample: {from: "2026-11-22T23:15:00.120+00:00", to: "2026-11-22T23:15:00.410+00:00"}
source_versions:
  description: The version of each by its source's own count; empty where it has none.
  returned: success
  type: dict
  sample: {JWT_SECRET: "7"}
described:
  description: Where each is kept, with the version of the source where it has one.
  returned: success
  type: dict
  sample: {JWT_SECRET: "vault marketplace/jwt, key value, version 7"}
read:
  description: The same of those that were read here, for the ledgers.
  returned: success
  type: dict
  sample: {JWT_SECRET: "vault marketplace/jwt, key value, version 7"}
places:
  description: A reference to the version of each, by which it is found again.
  returned: success
  type: dict
  sample: {JWT_SECRET: {vault: marketplace/jwt, key: value, mount: secret, version: 7}}
unseen:
  description: Those that hosts read.
  returned: success
  type: list
  elements: str
"""
