# SPDX-License-Identifier: Apache-2.0
"""What a module is told that also writes the ledger, or gives the app back, in its round."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of ``guard.OUTCOME_ARGUMENTS``."""

    DOCUMENTATION = r"""
options:
  entries:
    description: Ledger entries to write, each once however often the module runs.
    type: list
    elements: dict
    default: []
  release_lease:
    description: Give the app back on this host afterwards.
    type: bool
    default: false
"""
