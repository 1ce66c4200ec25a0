# SPDX-License-Identifier: Apache-2.0
"""Attributes of action plugins that run only on the controller."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes; a plugin's own documentation takes precedence."""

    DOCUMENTATION = r"""
attributes:
  action:
    description: There is only an action plugin; nothing is sent to a host.
    support: full
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""
