#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_command
short_description: Look at keys, make one or end the others by a command of the user's
version_added: 0.2.0
description:
  - Runs on the controller. Keys of an API are made and ended where they are checked, which a command knows how to do.
  - The command gets C(list), C(create) or C(revoke) as its last argument, and on its standard input a JSON object with C(app), C(environment), C(secret)
    and C(value), the stored key. It has a minute each time.
  - C(list) prints a JSON object with C(valid), whether the stored key works, and C(others), a map from the names of all others that work to lists of who
    uses them. Names are shown and recorded.
  - C(create) prints a new key and nothing else. C(revoke) ends all keys but the stored one.
  - No key is in an argument. When the command fails, the last line of its standard error is shown, without the stored key.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  name:
    description: The secret.
    type: str
    required: true
  app:
    description: The app's name, for the command.
    type: str
    required: true
  environment:
    description: The environment's name, for the command.
    type: str
    default: ""
  command:
    description: The command and its first arguments. A path begins at the inventory's folder.
    type: list
    elements: str
    required: true
  value:
    description: The stored key.
    type: str
    required: true
  state:
    description:
      - With V(observed) nothing is changed.
      - With V(prepared) a key is made, which works at once.
      - With V(unused) the module waits until C(list) names nobody who uses another key.
      - With V(revoked) the other keys end.
    type: str
    choices: [observed, prepared, unused, revoked]
    default: observed
  wait_seconds:
    description: How long O(state=unused) waits.
    type: float
    default: 60
attributes:
  check_mode:
    description: It asks for the list only, and does not wait.
    support: full
"""

EXAMPLES = r"""
- name: Rotation | See which keys there are
  sluice.stack.secret_command:
    name: PAYMENT_KEY
    app: shop
    command: [files/payment-key]
    value: "{{ payment_key }}"
  register: keys
"""

RETURN = r"""
value:
  description: The new key. Only the registered variable has it.
  returned: when it was made
  type: str
  sample: "…"
logins:
  description: The keys that exist, and whether each works.
  returned: success
  type: dict
  sample: {the stored key: true, key-17: true}
accepted:
  description: Whether the stored key works.
  returned: success
  type: bool
  sample: true
seen:
  description: Empty; the command compares nothing.
  returned: success
  type: dict
  sample: {}
in_use:
  description: By key, who uses it.
  returned: success
  type: dict
  sample: {key-17: ["last used at 10:02"]}
closed:
  description: How many keys O(state=revoked) ended.
  returned: when it revoked
  type: int
  sample: 1
"""
