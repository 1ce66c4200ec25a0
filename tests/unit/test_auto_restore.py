# SPDX-License-Identifier: Apache-2.0
"""The command by which a deploy that failed takes the data back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore

OURS = ["-e", "release_data=restore", "-e", "rollback_confirm=r2"]


@pytest.mark.parametrize(
    ("argv", "playbooks", "expected"),
    [
        (
            ["/bin/ansible-playbook", "deploy.yml", "-i", "inventories/staging", "-e", "app_version=v2"],
            ["deploy.yml"],
            ["/bin/ansible-playbook", "rollback.yml", *OURS, "-i", "inventories/staging", "-e", "app_version=v2"],
        ),
        # With options before it, and one that is a program of Python's.
        (
            ["/lib/ansible/__main__.py", "playbook", "-v", "sluice.stack.deploy"],
            ["sluice.stack.deploy"],
            ["/lib/ansible/__main__.py", "playbook", "-v", "rollback.yml", *OURS],
        ),
        # After a playbook of somebody's own.
        (
            ["ansible-playbook", "before.yml", "-v", "deploy.yml", "-i", "hosts"],
            ["before.yml", "deploy.yml"],
            ["ansible-playbook", "rollback.yml", *OURS, "-v", "-i", "hosts"],
        ),
    ],
)
def test_it_is_the_runs_own_command_with_another_playbook(
    argv: list[str], playbooks: list[str], expected: list[str]
) -> None:
    assert auto_restore.command(argv, playbooks, "rollback.yml", auto_restore.options("r2")) == expected


def test_a_protected_environment_is_named() -> None:
    assert auto_restore.options("r2", "production") == [*OURS, "-e", "confirm_environment=production"]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, None),
        ({"ask_vault_pass": False, "vault_ids": ["prod@scripts/vault"], "vault_password_files": ["key"]}, None),
        ({"ask_vault_pass": True}, "--ask-vault-pass"),
        ({"become_ask_pass": True}, "--ask-become-pass"),
        ({"vault_ids": ["staging@key", "prod@prompt"]}, "--vault-id prod@prompt"),
    ],
)
def test_a_password_that_a_person_types_is_not_there_a_second_time(given: dict[str, Any], option: str | None) -> None:
    assert auto_restore.prompting_option(given) == option
