# SPDX-License-Identifier: Apache-2.0
"""Attributes of modules that only read a host."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes; a module's own documentation takes precedence."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""
