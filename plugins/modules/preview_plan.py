#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preview_plan
short_description: Make the variables of a preview from those of its app
version_added: 0.1.0
description:
  - Runs on the controller. Reads the C(app_*) variables of the host it runs for, and returns those that a preview has others of, which are its name, its
    routes, and a database, secrets and settings of its own.
  - The result holds secrets and is never shown.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  number:
    description: The number of the pull request, as it was given. Anything else is refused.
    type: raw
  state:
    description: What is about to be done. Only V(present) and V(absent) are about one preview.
    type: str
    choices: [present, absent, expired, listed]
    default: present
"""

EXAMPLES = r"""
- name: Preview | Check the request
  sluice.stack.preview_plan:
    number: "{{ lookup('sluice.stack.command_line', 'preview') }}"
  register: preview
  run_once: true
"""

RETURN = r"""
app:
  description: The app it is made from.
  returned: success
  type: str
  sample: marketplace
settings:
  description: The variable C(app_preview), with its defaults.
  returned: success
  type: dict
group:
  description: The role of the previews' databases; empty without these.
  returned: success
  type: str
  sample: marketplace_preview
number:
  description: The number of the preview.
  returned: with O(state=present) and O(state=absent)
  type: int
  sample: 123
app_name:
  description: The name of the preview's app.
  returned: with O(state=present) and O(state=absent)
  type: str
  sample: marketplace-pr-123
variables:
  description: The C(app_*) variables.
  returned: with O(state=present) and O(state=absent)
  type: dict
database:
  description: The database, with the password of its role and what it is copied from; empty without one.
  returned: with O(state=present) and O(state=absent)
  type: dict
scrub:
  description: The SQL that scrubs the copy.
  returned: with O(state=present)
  type: str
"""
