# SPDX-License-Identifier: Apache-2.0
"""The command a run types itself: a failed deploy to restore the data, a reboot to drain a host and to bring it back. Pure.

See docs/decisions/0016-schema-and-data-on-rollback.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def options(release: str, environment: str = "") -> list[str]:
    """Return the extra arguments of rollback.yml. app_rollback.automatic has confirmed it for the protected ``environment``."""
    confirmed = ["-e", f"confirm_environment={environment}"] if environment else []
    return ["-e", "release_data=restore", "-e", f"rollback_confirm={release}", *confirmed]


def command(argv: Sequence[str], playbooks: Sequence[str], other: str, more: Sequence[str]) -> list[str]:
    """Return the run's command line with ``other`` and its options in place of its ``playbooks``, each an element of ``argv``.

    The options stay: the same inventory, vault passwords, variables, verbosity.
    """
    summary = list(argv)
    place = summary.index(playbooks[0], 1)
    for playbook in playbooks:
        summary.pop(summary.index(playbook, 1))
    summary[place:place] = [other, *more]
    return summary


def prompting_option(given: Mapping[str, Any]) -> str | None:
    """Return the option in ``CLIARGS`` that prompts for a password, which a second command cannot answer; None without one."""
    flags = {
        "ask_vault_pass": "--ask-vault-pass",
        "ask_pass": "--ask-pass",
        "become_ask_pass": "--ask-become-pass",
    }
    found = [flag for name, flag in flags.items() if given.get(name)]
    prompts = [f"--vault-id {one}" for one in given.get("vault_ids") or () if str(one).endswith("@prompt")]
    return next(iter(found + prompts), None)
