#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_audit
short_description: Compare the stores' logs with what the ledgers say that runs read and wrote
version_added: 0.2.0
description:
  - Runs on the controller. Takes every read and change of the app's secrets from the log of OpenBao or HashiCorp Vault and from AWS CloudTrail, looks for
    the run that did it, and prints a table.
  - What a run did explains one event, so a second read at the same moment is somebody else's.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller, sluice.stack.sources]
options:
  hosts:
    description: The hosts whose ledgers count.
    type: list
    elements: str
    required: true
  observed_by:
    description: The variable with each host's observation, with the whole ledger.
    type: str
    required: true
  vault_log:
    description: A file of the controller that a file audit device wrote.
    type: path
  vault_lines:
    description: Lines of such a file, where it is on another host.
    type: list
    elements: str
    default: []
  cloudtrail:
    description: Files of the controller with CloudTrail's events, as a pattern.
    type: str
  known:
    description: Identities that need no run, as patterns, such as V(ldap-*).
    type: list
    elements: str
    default: []
  days:
    description: Look so many days back; 0 for all.
    type: float
    default: 0
  skew_seconds:
    description: How far the clocks of controller and store may differ.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Audit | Compare the store's log with the ledgers
  sluice.stack.secret_audit:
    references: "{{ contract.contract.secret_references }}"
    sources: "{{ app_secret_sources }}"
    hosts: "{{ groups['edge'] + groups['app'] }}"
    observed_by: fence
    vault_log: /var/log/openbao/audit.log
    known: ["ldap-*"]
  run_once: true
  register: audit
"""

RETURN = r"""
lines:
  description: The printed table.
  returned: success
  type: list
  elements: str
events:
  description: How many reads and changes the logs have.
  returned: success
  type: int
  sample: 12
unknown:
  description: Who did those that no run and no known identity explains.
  returned: success
  type: list
  elements: str
  sample: ["token from 10.0.0.99"]
missing:
  description: How many reads and changes of runs no log has.
  returned: success
  type: int
  sample: 0
"""
