# SPDX-License-Identifier: Apache-2.0
"""Options of action plugins that use the stores of an app's secrets."""

from __future__ import annotations


class ModuleDocFragment:
    """Options; checked in plugins/module_utils/contract/secret_reference.py."""

    DOCUMENTATION = r"""
options:
  references:
    description: The secrets that are kept elsewhere by name, C(secret_references) of the contract that M(sluice.stack.app_contract) returned.
    type: dict
    required: true
  sources:
    description: How to reach the stores, the variable C(app_secret_sources). Relative paths begin at the inventory's folder.
    type: dict
    default: {}
"""
