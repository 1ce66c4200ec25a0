# SPDX-License-Identifier: Apache-2.0
"""What the audit reads on a host: recorded output of its programs, and files of a directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import NoEngine
from ansible_collections.sluice.stack.plugins.module_utils.security import files, host, texts

APT = """\
Inst login.defs [1:4.17.4-2] (1:4.17.4-2+deb13u1 Debian-Security:13/stable-security [all])
Inst perl [5.36.0-7+deb12u3] (5.36.0-7+deb12u4 Debian-Security:12/oldstable-security [amd64]) []
Inst libc6 [2.41-12] (2.41-13 Debian:13.2/stable, Debian-Security:13/stable-security [amd64])
Inst bash [5.2-1] (5.2-2 Debian:13.2/stable [amd64])
Inst new-package (1.0 Debian-Security:13/stable-security [amd64])
Conf login.defs (1:4.17.4-2+deb13u1 Debian-Security:13/stable-security [all])
"""
SS = """\
LISTEN 0      4096   127.0.0.11:38667 0.0.0.0:*
LISTEN 0      128       0.0.0.0:22    0.0.0.0:* users:(("sshd",pid=81,fd=6))
LISTEN 0      128          [::]:22       [::]:* users:(("sshd",pid=81,fd=7))
LISTEN 0      511             *:80          *:* users:(("nginx",pid=9,fd=7),("nginx",pid=8,fd=7))
LISTEN 0      128    [fe80::1]%eth0:546 [::]:* users:(("dhclient",pid=7,fd=7))
"""
IP = """\
lo               UNKNOWN        127.0.0.1/8 ::1/128
eth0@if747       UP             10.213.71.11/24 fd00:213:71::11/64 fe80::42:aff:fed5:470b/64
docker0          DOWN           172.17.0.1/16
br-0a1b2c        UP             172.20.0.1/16
"""
INSPECTED: dict[str, Any] = {
    "Name": "/shop",
    "Config": {"Image": "shop:1", "User": "1000", "Env": ["PASSWORD=hunter2"]},
    "HostConfig": {
        "Privileged": True,
        "CapAdd": ["CAP_SYS_ADMIN"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidMode": "host",
        "NetworkMode": "bridge",
        "IpcMode": "private",
    },
    "Mounts": [
        {"Type": "bind", "Source": "/var/run/docker.sock", "RW": False},
        {"Type": "volume", "Source": "/var/lib/docker/volumes/x", "RW": True},
    ],
    "NetworkSettings": {
        "Ports": {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "81/tcp": None,
        }
    },
}


def test_only_upgrades_from_a_security_archive_count() -> None:
    assert texts.security_upgrades(APT) == [
        "libc6 2.41-12 → 2.41-13",
        "login.defs 1:4.17.4-2 → 1:4.17.4-2+deb13u1",
        "perl 5.36.0-7+deb12u3 → 5.36.0-7+deb12u4",
    ]


def test_what_listens() -> None:
    assert [(one["address"], one["port"], one["program"]) for one in texts.listening(SS)] == [
        ("127.0.0.11", 38667, ""),
        ("0.0.0.0", 22, "sshd"),
        ("::", 22, "sshd"),
        ("*", 80, "nginx"),
        ("fe80::1", 546, "dhclient"),
    ]


def test_addresses_are_those_of_no_container_network() -> None:
    assert texts.addresses(IP) == ["10.213.71.11", "fd00:213:71::11", "fe80::42:aff:fed5:470b"]


def test_a_container_without_its_environment() -> None:
    found = texts.container(INSPECTED)
    assert "hunter2" not in str(found)
    assert found["privileged"] and found["added"] == ["SYS_ADMIN"] and found["namespaces"] == ["pid"]
    assert found["mounts"] == [{"source": "/var/run/docker.sock", "writable": False}]
    assert found["published"] == [("0.0.0.0", 8080), ("::", 8080)]


def test_settings_accounts_and_reports() -> None:
    assert texts.sshd("port 22\npasswordauthentication yes\nsubsystem sftp x\n") == {
        "port": "22",
        "passwordauthentication": "yes",
    }
    assert texts.settings("# a\nnet.a = 1\n-net.b=2  3\n") == {"net.a": "1", "net.b": "2 3"}
    passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nci:x:1:1::/:/bin/sh\n"
    shadow = "root:!:1::::::\nci::1::::::\n"
    assert texts.accounts(passwd, shadow, "docker:x:9:ci,ann\n") == {
        "root": ["toor"],
        "empty": ["ci"],
        "docker": ["ann", "ci"],
    }
    assert texts.lynis("hardening_index=71\nwarning[]=NETW-2705|no resolver|-|-|\n") == {
        "index": 71,
        "warnings": ["NETW-2705|no resolver"],
    }


def test_a_part_that_cannot_be_read_says_why_and_the_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine() -> None:
        raise NoEngine("the engine is not reachable")

    monkeypatch.setattr(
        host, "run", lambda *_command, **_options: (_ for _ in ()).throw(host.Missing("sshd: not found"))
    )
    monkeypatch.setattr(host, "containers", no_engine)
    monkeypatch.setattr(host, "firewall", lambda: {"loaded": True})
    found = host.gather()
    assert found["sshd"] == {"missing": "sshd: not found"}
    assert found["containers"] == {"missing": "the engine is not reachable"}
    assert found["firewall"] == {"loaded": True}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of the host, and that anybody can get to."""
    monkeypatch.setattr(files, "ROOTS", (str(tmp_path),))
    monkeypatch.setattr(files, "_passable", lambda _path: True)
    return tmp_path


def write(path: Path, text: str, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    path.write_text(text)
    path.chmod(mode)
    return path


KEY = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMHc\n"


def test_secrets_that_anybody_can_read_are_found(tree: Path) -> None:
    readable = [
        write(tree / "a.pem", KEY, 0o644),
        write(tree / "app/.env", "A=b", 0o604),
        write(tree / "x/.pgpass", "", 0o644),
    ]
    write(tree / "b.pem", KEY, 0o640)
    write(tree / "public.pem", KEY.split("-----BEGIN EC", maxsplit=1)[0], 0o644)
    closed = write(tree / "closed/c.pem", KEY, 0o644)
    closed.parent.chmod(0o700)
    (tree / "link.pem").symlink_to(closed)
    found = files.look()
    assert found["readable"] == sorted(map(str, readable)) and found["writable"] == []


def test_what_anybody_can_write_is_found(tree: Path) -> None:
    bad = write(tree / "unit.service", "", 0o666)
    folder = tree / "open"
    folder.mkdir()
    folder.chmod(0o777)
    shared = tree / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert files.look()["writable"] == sorted([str(bad), str(folder)])


def test_too_many_files_are_no_clean_bill(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST", 1)
    write(tree / "a", "", 0o644)
    write(tree / "b", "", 0o644)
    assert "more than 1 files" in files.look()["missing"]


def test_a_command_that_fails_says_so() -> None:
    with pytest.raises(host.Missing, match="no such thing"):
        host.run(sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(host.Missing, match="nowhere"):
        host.run("nowhere-at-all")
