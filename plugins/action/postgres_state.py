# SPDX-License-Identifier: Apache-2.0
"""Sends the module of this name to its host without Ansible's wrapper."""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.modules import postgres_state
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program


class ActionModule(HostModule):
    """See the documentation in plugins/modules/postgres_state.py."""

    PROGRAM = Program(postgres_state)
