# SPDX-License-Identifier: Apache-2.0
"""The Docker engine, seen with its own tools."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

POOL = ipaddress.ip_network("172.20.0.0/14")


def engine(host: Any) -> dict[str, Any]:
    return json.loads(host.check_output("docker info --format '{{json .}}'"))


def test_runs_now_and_at_boot(host: Any) -> None:
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled


def test_runs_with_what_was_configured(host: Any) -> None:
    info = engine(host)
    assert info["LiveRestoreEnabled"]
    assert info["DefaultAddressPools"] == [{"Base": str(POOL), "Size": 24}]
    assert info["LoggingDriver"] in ("json-file", "local")


def test_logs_are_bounded(host: Any) -> None:
    written = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert set(written["log-opts"]) == {"max-size", "max-file"}


def test_the_default_bridge_is_where_it_was_pinned(host: Any) -> None:
    written = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert written["bip"] in host.check_output("ip -brief -4 address show docker0")
    assert not ipaddress.ip_interface(written["bip"]).network.overlaps(POOL)


def test_a_migration_finds_libpq(host: Any) -> None:
    """As the modules run: isolated, and without the packages of the host but for this one."""
    program = "import sys; sys.path.append('/usr/lib/python3/dist-packages'); import psycopg2; print(psycopg2.extensions.libpq_version())"
    assert int(host.check_output("/usr/bin/python3 -I -S -c %s", program)) >= 150000


def test_the_engine_listens_on_no_network(host: Any) -> None:
    assert not [line for line in host.check_output("ss -Hltnp").splitlines() if "dockerd" in line]
    assert host.file("/var/run/docker.sock").mode == 0o660


def test_login_is_roots_alone(host: Any) -> None:
    login = host.file("/root/.docker/config.json")
    if not login.exists:
        assert "docker_host_registries" not in host.ansible.get_variables()
        return
    assert (login.user, login.mode) == ("root", 0o600)
