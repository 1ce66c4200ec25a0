#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_units
short_description: Start and enable units of systemd
version_added: 0.2.0
description:
  - Asks C(systemctl show) for all units in one call, and calls M(ansible.builtin.systemd_service) only for those that differ from the desired state, or
    whose file changed since systemd read it.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The units, with their suffix, such as C(docker.service). No aliases.
    type: list
    elements: str
    required: true
  started:
    description: Whether to start them. V(false) changes nothing.
    type: bool
    default: true
  enabled:
    description: Whether to enable them at boot. V(false) changes nothing.
    type: bool
    default: true
attributes:
  action:
    description: The action plugin compares, and calls systemd's module where something differs.
    support: full
  check_mode:
    description: Reports what would change; a unit that is not installed yet would.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run | Start the timers now and at boot
  sluice.stack.host_units:
    name: [example-daily.timer, example-weekly.timer]
"""

RETURN = r"""
units:
  description: The units that were changed.
  returned: success
  type: list
  elements: str
  sample: [example-daily.timer]
"""
