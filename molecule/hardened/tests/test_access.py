# SPDX-License-Identifier: Apache-2.0
"""Who gets in by SSH, and how."""

from __future__ import annotations

import json

import pytest
from conftest import HARDENED, V4, Shell, on

SSH = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5"


@pytest.mark.parametrize("host", HARDENED)
def test_a_password_is_refused(shell: Shell, host: str) -> None:
    """Even the right one: the server offers no way to give it."""
    shell(host, "echo 'admin:right-password' | chpasswd")
    try:
        ask = f"sshpass -p right-password {SSH} -o PubkeyAuthentication=no admin@{{}} true"
        said = shell("outside1", ask.format(V4[host]), check=False)
        assert "Permission denied (publickey)" in said
    finally:
        shell(host, "passwd --lock admin >/dev/null")


@pytest.mark.parametrize("host", HARDENED)
def test_ssh_audit_has_nothing_against_it(host: str) -> None:
    found = json.loads(on("outside1", "ssh-audit", "--json", "--skip-rate-test", V4[host], check=False))
    failures = [
        (kind, item["algorithm"], note)
        for kind in ("kex", "key", "enc", "mac")
        for item in found[kind]
        for note in item["notes"].get("fail", [])
    ]
    assert found["kex"] and failures == []


@pytest.mark.parametrize("host", HARDENED)
def test_the_effective_settings(shell: Shell, host: str) -> None:
    settings = dict(line.split(" ", 1) for line in shell(host, "sshd -T").splitlines())
    assert settings["passwordauthentication"] == settings["kbdinteractiveauthentication"] == "no"
    assert settings["permitrootlogin"] == "no", "there is an admin"


@pytest.mark.parametrize("host", HARDENED)
def test_the_admin_gets_in_by_key_and_becomes_root(shell: Shell, host: str) -> None:
    assert shell(host, "su jane -c 'sudo -n id -u'").strip() == "0"
    assert shell(host, "stat -c '%U %a' /home/jane/.ssh/authorized_keys").split() == ["jane", "600"]
    assert shell(host, "passwd --status jane").split()[1] == "L"


@pytest.mark.parametrize("host", HARDENED)
def test_no_change_waits_for_its_confirmation(shell: Shell, host: str) -> None:
    assert "pending" not in shell(host, "ls /var/lib/sluice-access").split()
    assert shell(host, "systemctl is-active sluice-access-undo.timer", check=False).strip() == "inactive"
