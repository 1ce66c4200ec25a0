# SPDX-License-Identifier: Apache-2.0
"""Options of modules that also write the ledger or release the lease."""

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
    description: Release the lease on this host afterwards.
    type: bool
    default: false
"""
