#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_keys
short_description: Export the keys of all backups, encrypted to a recipient of age
version_added: 0.1.0
description:
  - Runs on the controller and contacts no host. Gathers where the backups of all hosts are, their passphrases and their object store keys, from the
    inventory, and writes them to one file that only the recipient's private key opens.
  - They go to C(age) by its standard input, and are in no argument, result or output.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  recipients:
    description: A public key of age or of SSH, or several; each one's private key opens the file.
    type: raw
    required: true
  environment:
    description: The environment's name, for the document.
    type: str
    default: ""
  path:
    description: The file to write.
    type: path
    required: true
attributes:
  check_mode:
    description: Nothing is written.
    support: full
"""

EXAMPLES = r"""
- name: Keys | Export them
  sluice.stack.backup_keys:
    recipients: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    environment: production
    path: backup-keys-production.age
  run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts whose keys are in it.
  returned: success
  type: list
  elements: str
  sample: [db1]
"""
