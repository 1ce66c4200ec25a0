#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_rotation
short_description: Decide how far the rotation of a secret is
version_added: 0.2.0
description:
  - Runs on the controller. Compares the value in the store with the live release, the logins that exist and the containers on the hosts, prints the
    steps that are left, and makes a new value where one is needed. Changes nothing.
  - What it decides follows from what is there, so a run that was killed is gone on with by the next one.
  - Output, also at the highest verbosity, has no value of a secret.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  name:
    description: The secret, a key of C(app_rotations).
    type: str
    required: true
  contract:
    description: The contract that M(sluice.stack.app_contract) returned.
    type: dict
    required: true
  run:
    description: The run that M(sluice.stack.app_contract) returned.
    type: dict
    required: true
  token:
    description: The run's token, for the ledger's entry.
    type: int
    default: 0
  edges:
    description: The edge hosts.
    type: list
    elements: str
    required: true
  hosts:
    description: All hosts of the app, which must have answered.
    type: list
    elements: str
    required: true
  observed_by:
    description: The variable with each host's observation.
    type: str
    required: true
  values:
    description: The values in the store, by name; the secret's own, and that of the second key of a C(signing_key).
    type: dict
    required: true
  place:
    description: Where that is, for the output.
    type: str
    required: true
  logins:
    description: What M(sluice.stack.db_login), M(sluice.stack.redis_login) or M(sluice.stack.secret_command) returned.
    type: dict
  host:
    description: The host with the logins, or the command, for the output.
    type: str
    required: true
  emergency:
    description: Revoke before the release. Refused in a protected environment unless its name was typed.
    type: bool
    default: false
  after:
    description: The release is over. Print nothing, and return what is still to be done.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Rotation | Decide what is left
  sluice.stack.secret_rotation:
    name: DATABASE_URL
    contract: "{{ contract.contract }}"
    run: "{{ contract.run }}"
    edges: "{{ groups['edge'] }}"
    hosts: "{{ groups['edge'] + groups['app'] }}"
    observed_by: fence
    values: "{{ secrets.secrets }}"
    place: "{{ secrets.read.DATABASE_URL }}"
    logins: "{{ logins }}"
    host: db1
  register: rotation
  run_once: true
"""

RETURN = r"""
steps:
  description: The steps that are left, in their order.
  returned: success
  type: list
  elements: str
  sample: [create, store, enable, release, revoke]
values:
  description: The values in the store, or the new ones in the order to write them. Only the registered variable has them.
  returned: success
  type: dict
  sample: {DATABASE_URL: "…"}
secrets:
  description: The secrets that the release brings up to their newest version.
  returned: success
  type: list
  elements: str
  sample: [DATABASE_URL]
new:
  description: The login of that value, or the phase of a signing key.
  returned: success
  type: str
  sample: marketplace_b
old:
  description: The logins that end.
  returned: success
  type: list
  elements: str
  sample: [marketplace_a]
expected:
  description: The C(seen) of the login that is made ready.
  returned: success
  type: str
  sample: 0f343b0931126a20
entry:
  description: The ledger's entry of the rotation, with names and versions.
  returned: success
  type: dict
  sample: {event: rotated, secrets: {DATABASE_URL: {version: 5d2f0c9a41, revoked: [0b1c2d3e4f]}}}
lines:
  description: The printed lines.
  returned: success
  type: list
  elements: str
"""
