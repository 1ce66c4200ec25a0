# SPDX-License-Identifier: Apache-2.0
"""What provisioning was told in confidence is in no log and no process's arguments."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Shell = Callable[[str], str]
NAMES = ["vault_postgres_app_password", "vault_redis_password", "vault_registry_password"]
# What the log of every provisioned host does hold.
CANARY = "sudo"


@pytest.mark.parametrize("name", NAMES)
def test_in_no_log(shell: Shell, secrets: dict[str, str], name: str) -> None:
    logs = shell("journalctl --no-pager --output=cat; find /var/log -type f -not -path '*/journal/*' -exec cat {} +")
    assert CANARY in logs
    shown = [line.replace(secrets[name], "<shown>") for line in logs.splitlines() if secrets[name] in line]
    assert shown == []


@pytest.mark.parametrize("name", NAMES)
def test_in_no_process(shell: Shell, secrets: dict[str, str], name: str) -> None:
    arguments = shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "systemd" in arguments
    assert arguments.replace(secrets[name], "<shown>") == arguments
