# SPDX-License-Identifier: Apache-2.0
"""Load once what every worker would load for itself.

Ansible forks a worker for each host and task, and the worker imports the plugins that its task needs: filters, the connection, the
templating they rest on. With many hosts that is a third of what a deploy costs the controller. What is loaded before the fork is there
for all of them.
"""

from __future__ import annotations

import contextlib

from ansible.plugins.loader import become_loader, connection_loader, filter_loader, shell_loader, test_loader

FILTERS = ("sluice.stack.verdict", "ansible.builtin.difference", "ansible.builtin.combine")


def up() -> None:
    """Load them; whatever is not there stays the workers' business."""
    for loader, names in (
        (filter_loader, FILTERS),
        (test_loader, ("ansible.builtin.success",)),
        (connection_loader, ("ansible.builtin.ssh",)),
        (shell_loader, ("ansible.builtin.sh",)),
        (become_loader, ("ansible.builtin.sudo",)),
    ):
        for name in names:
            with contextlib.suppress(Exception):
                loader.get(name, class_only=True)
