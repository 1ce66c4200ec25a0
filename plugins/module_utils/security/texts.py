# SPDX-License-Identifier: Apache-2.0
"""The output of a host's programs as facts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SSHD = (
    *(
        "passwordauthentication",
        "kbdinteractiveauthentication",
        "permitrootlogin",
        "permitemptypasswords",
        "hostbasedauthentication",
    ),
    *("x11forwarding", "permituserenvironment", "port"),
)


def sshd(text: str) -> dict[str, str]:
    """Read the settings that matter from ``sshd -T``."""
    found = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return {name: found[name].strip() for name in SSHD if name in found}


def security_upgrades(text: str) -> list[str]:
    """Read packages with a pending upgrade from a security archive from ``apt-get --simulate dist-upgrade``: name, old and new version.

    ``Inst libssl3t64 [3.5.1-1] (3.5.4-1~deb13u1 Debian-Security:13/stable-security [amd64])``; another origin may be named first.
    """
    found = []
    for name, old, new, origins in re.findall(r"(?m)^Inst (\S+) \[([^\]]*)\] \((\S+) ([^)]*)\)", text):
        if re.search(r"(?i)security", origins):
            found.append(f"{name} {old} → {new}")
    return sorted(found)


def listening(text: str) -> list[dict[str, Any]]:
    """Read ``ss -Hlntp``: address, port and program of each TCP socket."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 5:
            continue
        address, _unused, port = fields[3].rpartition(":")
        program = re.search(r'\(\("([^"]+)"', line)
        # eth0's own link-local address has its name behind a %.
        bare = address.strip("[]").partition("%")[0].strip("[]")
        found.append({"address": bare, "port": int(port), "program": program[1] if program else ""})
    return found


def addresses(text: str) -> list[str]:
    """Read ``ip -brief address``: addresses of interfaces that are no container network's and not the loopback."""
    found = []
    for line in text.splitlines():
        name, _state, *nets = line.split()
        if not re.match(r"(lo$|docker|br-|veth|virbr)", name):
            found += [net.partition("/")[0] for net in nets if "/" in net]
    return found


def container(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a container, as the engine describes it, what it may do."""
    host, config = inspected["HostConfig"], inspected["Config"]
    ports = (inspected.get("NetworkSettings") or {}).get("Ports") or {}
    return {
        "name": inspected["Name"].lstrip("/"),
        "image": config.get("Image", ""),
        "user": config.get("User") or "",
        "privileged": bool(host.get("Privileged")),
        "added": [one.removeprefix("CAP_") for one in host.get("CapAdd") or []],
        "dropped": [one.removeprefix("CAP_") for one in host.get("CapDrop") or []],
        "options": list(host.get("SecurityOpt") or []),
        "namespaces": sorted(
            kind
            for kind, mode in (("pid", "PidMode"), ("network", "NetworkMode"), ("ipc", "IpcMode"))
            if host.get(mode) == "host"
        ),
        "mounts": [
            {"source": one["Source"], "writable": bool(one.get("RW"))}
            for one in inspected.get("Mounts") or []
            if one.get("Type") == "bind"
        ],
        "published": sorted({(one["HostIp"], int(one["HostPort"])) for bound in ports.values() for one in bound or ()}),
    }


def settings(text: str) -> dict[str, str]:
    """Read a file of sysctl.d."""
    found = {}
    for line in text.splitlines():
        name, mark, value = line.partition("=")
        if mark and not line.lstrip().startswith(("#", ";")):
            found[name.strip().lstrip("-")] = " ".join(value.split())
    return found


def accounts(passwd: str, shadow: str, group: str) -> dict[str, list[str]]:
    """Return who is root under another name, who needs no password, and who may use the container engine, which is being root."""
    users = [line.split(":") for line in passwd.splitlines() if line.count(":") >= 6]
    secrets = [line.split(":") for line in shadow.splitlines() if line.count(":") >= 2]
    members = [line.split(":")[3] for line in group.splitlines() if line.startswith("docker:") and line.count(":") == 3]
    return {
        "root": [user[0] for user in users if user[2] == "0" and user[0] != "root"],
        "empty": [secret[0] for secret in secrets if secret[1] == ""],
        "docker": sorted(name for line in members for name in line.split(",") if name),
    }


def lynis(text: str) -> dict[str, Any]:
    """Read a report of lynis: its index and its warnings."""
    index = re.search(r"(?m)^hardening_index=(\d+)", text)
    return {
        "index": int(index[1]) if index else None,
        "warnings": re.findall(r"(?m)^warning\[\]=([^|\n]*\|[^|\n]*)", text),
    }
