# SPDX-License-Identifier: Apache-2.0
"""The group that all modules of the collection are in."""

from __future__ import annotations


class ModuleDocFragment:
    """The attribute of ``action_groups`` in meta/runtime.yml."""

    DOCUMENTATION = r"""
attributes:
  action_group:
    description: Use C(group/sluice.stack.release) in C(module_defaults) to set options of all of these modules at once.
    support: full
    membership: [sluice.stack.release]
"""
