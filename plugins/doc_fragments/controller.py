# SPDX-License-Identifier: Apache-2.0
"""What all action plugins have in common that work on the controller alone."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes; what a plugin says itself comes before them."""

    DOCUMENTATION = r"""
attributes:
  action:
    description: There is only an action plugin; nothing is sent to a host.
    support: full
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""
