# SPDX-License-Identifier: Apache-2.0
"""The action plugin of every module that runs on a host: plugins/action has a link to this file for each of them.

Ansible finds an action by the module's name, and this file finds the module the same way.
"""

from __future__ import annotations

from importlib import import_module

from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import PACKAGE, Program

NAME = __name__.rpartition(".")[2]

# By its own name it is nobody's action, but Ansible's tests import every file.
if NAME != "host_action":

    class ActionModule(HostModule):
        """Runs the module with the link's name on its host without Ansible's wrapper."""

        PROGRAM = Program(import_module(f"{PACKAGE}.modules.{NAME}"))
