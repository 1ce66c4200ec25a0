# SPDX-License-Identifier: Apache-2.0
"""Options of every module that changes a host: its run."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of ``guard.RUN_ARGUMENTS``."""

    DOCUMENTATION = r"""
options:
  app:
    description: Name of the app.
    type: str
    required: true
  run_id:
    description: Id of the run.
    type: str
    required: true
  token:
    description: The run's fencing token.
    type: int
    required: true
"""
