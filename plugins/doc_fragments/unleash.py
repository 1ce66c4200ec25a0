# SPDX-License-Identifier: Apache-2.0
"""Options of modules that talk to Unleash."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of ``unleash.UNLEASH_ARGUMENTS``."""

    DOCUMENTATION = r"""
options:
  url:
    description: Address of Unleash.
    type: str
    required: true
  ca:
    description: Certificates in PEM that vouch for it, besides those the host trusts.
    type: str
    default: ""
  timeout:
    description: How long one answer may take, in seconds.
    type: float
    default: 10
  project:
    description: Project in Unleash.
    type: str
    default: default
  environment:
    description: Environment in Unleash.
    type: str
    required: true
"""
