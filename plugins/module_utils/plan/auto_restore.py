# SPDX-License-Identifier: Apache-2.0
"""The command by which a deploy that failed takes the data back: the one it would else print for a person. Pure.

See docs/decisions/0016-schema-and-data-on-rollback.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def options(release: str) -> list[str]:
    """What rollback.yml is told, and a person tells it."""
    return ["-e", "release_data=restore", "-e", f"rollback_confirm={release}"]


def command(argv: Sequence[str], playbooks: Sequence[str], rollback: str, release: str) -> list[str]:
    """The run's own command line with the playbook ``rollback`` in the place of its ``playbooks``, all of which are words of ``argv``.

    Its options are those of this run: the same inventory, vault passwords, variables, verbosity.
    """
    summary = list(argv)
    place = summary.index(playbooks[0], 1)
    for playbook in playbooks:
        summary.pop(summary.index(playbook, 1))
    summary[place:place] = [rollback, *options(release)]
    return summary


def asks(given: Mapping[str, Any]) -> str | None:
    """The option of a command line (``CLIARGS``) that has a person type a password, which no second command gets; None without one."""
    flags = {
        "ask_vault_pass": "--ask-vault-pass",
        "ask_pass": "--ask-pass",
        "become_ask_pass": "--ask-become-pass",
    }
    found = [flag for name, flag in flags.items() if given.get(name)]
    prompts = [f"--vault-id {one}" for one in given.get("vault_ids") or () if str(one).endswith("@prompt")]
    return next(iter(found + prompts), None)
