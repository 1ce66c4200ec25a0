#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_packages
short_description: Install packages on a Debian host
version_added: 0.2.0
description:
  - Asks C(dpkg-query) which packages are missing, and calls M(ansible.builtin.apt) only for those. A host that has them all costs one short
    command instead of loading apt.
  - Recommended packages are not installed.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The packages. A name with a version (C(name=1.2)) or a release (C(name/backports)) always goes to apt.
    type: list
    elements: str
    required: true
  cache_valid_time:
    description: The maximum age in seconds of the package lists before they are updated.
    type: int
    default: 3600
attributes:
  action:
    description: The action plugin compares, and calls apt's module where something is missing.
    support: full
  check_mode:
    description: Reports which packages would be installed.
    support: full
  diff_mode:
    description: Shows apt's diff.
    support: full
"""

EXAMPLES = r"""
- name: Install | Install the server
  sluice.stack.host_packages:
    name: [redis-server]
"""

RETURN = r"""
missing:
  description: The packages that were missing.
  returned: success
  type: list
  elements: str
  sample: [redis-server]
"""
