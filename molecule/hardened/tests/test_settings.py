# SPDX-License-Identifier: Apache-2.0
"""The rest of the baseline, as the programs see it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from conftest import HARDENED, Shell

EACH = pytest.mark.parametrize("host", HARDENED)


@EACH
def test_only_security_upgrades_are_unattended_and_nothing_reboots(shell: Shell, host: str) -> None:
    settings = shell(host, "apt-config dump Unattended-Upgrade; apt-config dump APT::Periodic")
    origins = re.findall(r'Unattended-Upgrade::Origins-Pattern:: "(.*)"', settings)
    assert len(origins) == 1 and "label=Debian-Security" in origins[0]
    assert 'Automatic-Reboot "false"' in settings
    assert 'APT::Periodic::Unattended-Upgrade "1"' in settings
    assert shell(host, "systemctl is-enabled apt-daily-upgrade.timer").strip() == "enabled"


@EACH
def test_the_kernel_has_the_settings_of_its_network(shell: Shell, host: str) -> None:
    assert shell(host, "sysctl -n net.ipv4.conf.all.accept_redirects net.ipv4.tcp_syncookies").split() == ["0", "1"]


def test_docker_forwards(shell: Shell) -> None:
    assert shell("app1", "sysctl -n net.ipv4.ip_forward").strip() == "1"


@EACH
def test_a_containers_kernel_is_left_to_its_host(shell: Shell, host: str) -> None:
    """In these hosts, which are containers: on a machine these are set."""
    assert "kernel." not in shell(host, "cat /etc/sysctl.d/80-sluice.conf")
    assert shell(host, "ls /etc/audit/rules.d/sluice.rules /swapfile 2>/dev/null", check=False) == ""


@EACH
def test_a_person_leaves_no_core(shell: Shell, host: str) -> None:
    assert shell(host, "su jane -c 'ulimit -Hc'").strip() == "0"


@EACH
def test_the_journal_is_kept_with_limits(shell: Shell, host: str) -> None:
    settings = shell(host, "systemd-analyze cat-config systemd/journald.conf")
    assert "SystemMaxUse=1G" in settings and "Storage=persistent" in settings
    assert shell(host, "ls /var/log/journal").strip()


@EACH
def test_time_zone_and_locale(shell: Shell, host: str) -> None:
    assert shell(host, "date +%Z").strip() == "GMT"
    assert "C.UTF-8" in shell(host, "localectl status")


@EACH
def test_sshguard_runs(shell: Shell, host: str) -> None:
    assert shell(host, "systemctl is-active sshguard").strip() == "active"
    assert "sshguard" in shell(host, "nft list tables")


def test_lynis_finds_little(lynis: Callable[[], str]) -> None:
    """With the waivers of waived.prf."""
    report = lynis()
    assert int(re.findall(r"hardening_index=(\d+)", report)[0]) >= 80
    # Upgrades are a matter of the image that the hosts are made from.
    assert [line for line in report.splitlines() if line.startswith("warning[]=") and "PKGS-7392" not in line] == []
