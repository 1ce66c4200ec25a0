# SPDX-License-Identifier: Apache-2.0
"""Have ``ansible-playbook`` end with a code of ours. A callback plugin cannot return one: Ansible ends with 2 for every failure.

The last thing that the command does is to call ``sys.exit`` with its own code. So this changes nothing about how Ansible ends, cleans up or
stops at a signal, and an error of Ansible itself keeps its code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# What Ansible's runs end with: all went well, hosts failed, hosts were unreachable, a play was broken off.
# https://github.com/ansible/ansible/blob/stable-2.19/lib/ansible/executor/task_queue_manager.py
RESULTS = (0, 2, 4, 8)


class _Exit:
    """Stands in for ``sys.exit``."""

    def __init__(self, leave: Callable[..., object]) -> None:
        self._leave = leave
        self._process = os.getpid()
        self.code = 0

    def __call__(self, status: object = None) -> object:
        # Not in the workers that Ansible forks.
        ours = os.getpid() == self._process and status in RESULTS
        return self._leave(self.code if ours else status)


def end_with(code: int) -> None:
    """End with this code, or with the highest of those asked for. A program that runs playbooks as a library is left alone."""
    if "ansible.cli.playbook" not in sys.modules:
        return
    if not isinstance(sys.exit, _Exit):
        sys.exit = _Exit(sys.exit)  # type: ignore[assignment]
    sys.exit.code = max(sys.exit.code, code)  # type: ignore[attr-defined]
