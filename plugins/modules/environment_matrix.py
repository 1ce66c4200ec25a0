#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: environment_matrix
short_description: Compare the environments with the matrix that says in what they differ
version_added: 0.1.0
description:
  - Runs on the controller and contacts no host. Reads the inventories that O(matrix) names, which lie beside it, as a deploy would see them.
  - Prints each variable of the app's services in each environment, the other settings that differ, and what is wrong, which is a variable that is
    missing, unnamed in the matrix, or not what it says, a secret that is a plain value or is shared by two environments, and a setting that differs
    although the matrix does not allow it.
  - Secrets are compared by fingerprints made by scrypt, of a URL that of its password. Those in stores are compared by their places, unless O(read).
  - What is encrypted with a key that is not here is V(unknown), not wrong.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  matrix:
    description: The file with the matrix. The inventories are folders beside it.
    type: path
    required: true
  read:
    description: Whether to read secrets from their stores, to compare them by value.
    type: bool
    default: false
  json_file:
    description: Where to write all of it as JSON.
    type: path
  examples:
    description: A folder in which to write a file C(.env.NAME.example) for each environment.
    type: path
"""

EXAMPLES = r"""
- name: Environments | Compare them
  sluice.stack.environment_matrix:
    matrix: inventories/matrix.yml
"""

RETURN = r"""
checks:
  description: What is not as the matrix says, with the fields of a gate.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: JWT_SECRET, state: failed, evidence: staging and production have the same, fix: give each environment its own}
wrong:
  description: The names of those that failed; the task itself does not fail for them. What could not be read for want of a key is not among them.
  returned: success
  type: list
  elements: str
  sample: [JWT_SECRET]
"""
