#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preview_expired
short_description: Say which previews are up and which are too old, and take these away
version_added: 0.1.0
description:
  - Runs on the controller with what M(sluice.stack.preview_list) found on the hosts.
  - With O(number) it only checks that one more preview may be up.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  listed_by:
    description: The variable with each host's answer.
    type: str
    required: true
  settings:
    description: The variable C(app_preview), with its defaults.
    type: dict
    required: true
  number:
    description: A preview that is about to come up.
    type: int
  remove:
    description: Whether to take away those that nobody deployed for C(app_preview.max_age_days), each with a run of its own.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Preview | Take away what is too old
  sluice.stack.preview_expired:
    listed_by: __preview_list
    settings: "{{ __preview.settings }}"
    remove: true
  run_once: true
"""

RETURN = r"""
previews:
  description: The previews that are up.
  returned: without O(number)
  type: list
  elements: int
  sample: [7, 123]
expired:
  description: Those that are too old.
  returned: without O(number)
  type: list
  elements: int
  sample: [7]
"""
