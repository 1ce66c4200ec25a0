# SPDX-License-Identifier: Apache-2.0
"""Send a set of directories and files to a host in one call."""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.modules import host_files
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostFilesModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program


class ActionModule(HostFilesModule):
    """See the documentation in plugins/modules/host_files.py."""

    PROGRAM = Program(host_files)
