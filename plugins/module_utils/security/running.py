# SPDX-License-Identifier: Apache-2.0
"""What runs: containers, the engine, upgrades. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import span
from ansible_collections.sluice.stack.plugins.module_utils.security import declared
from ansible_collections.sluice.stack.plugins.module_utils.security.rule import Answer, Facts, NotHere, Unknown, part

DAY = 86400.0
# Package lists older than that say nothing about today.
LISTS_AGE = 3 * DAY
# With one of these a container leaves its walls.
STRONG = frozenset(
    ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "NET_ADMIN", "BPF", "SYS_BOOT")
)
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock")
# Writable in a container they are the host itself.
SYSTEM_PATHS = (
    "/",
    "/etc",
    "/root",
    "/home",
    "/usr",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/var",
    "/var/run",
    "/run",
    "/var/lib",
    "/var/lib/docker",
)
REFRESH = "apt-get update on the host"
ENGINE_PORTS = (2375, 4243)
ANY = ("0.0.0.0", "::", "")  # noqa: S104  (compared, not bound)


def containers_escape(facts: Facts) -> Answer:
    """No container is root on its host: privileged, with the engine's socket, the host's files or its processes."""
    wrong = []
    for one in _running(facts):
        reasons = ["is privileged"] if one["privileged"] else []
        reasons += [f"has capability {name}" for name in sorted(STRONG & set(one["added"]))]
        reasons += [f"mounts {mount['source']}" for mount in one["mounts"] if _is_host(mount)]
        reasons += ["sees the host's processes"] if "pid" in one["namespaces"] else []
        wrong += [f"{one['name']} {reason}" for reason in reasons]
    return Answer(wrong, _count(facts))


def containers_user(facts: Facts) -> Answer:
    """No container runs as root."""
    wrong = [
        f"{one['name']} runs as root" for one in _running(facts) if one["user"].partition(":")[0] in ("", "0", "root")
    ]
    return Answer(wrong, _count(facts))


def containers_rights(facts: Facts) -> Answer:
    """Each container gave up what the engine gives by default."""
    wrong = []
    for one in _running(facts):
        reasons = [] if one["privileged"] or "ALL" in one["dropped"] else ["keeps the default capabilities"]
        if not any(
            option.startswith("no-new-privileges") and not option.endswith("false") for option in one["options"]
        ):
            reasons.append("may gain privileges")
        reasons += [
            f"has no {kind}"
            for kind in ("seccomp", "apparmor")
            if any(f"{kind}{mark}unconfined" in one["options"] for mark in "=:")
        ]
        reasons += [f"is in the host's {name} namespace" for name in one["namespaces"] if name != "pid"]
        wrong += [f"{one['name']} {reason}" for reason in reasons]
    return Answer(wrong, _count(facts))


def containers_published(facts: Facts) -> Answer:
    """A port is published on one address: on all of them, only the firewall is in front of it."""
    wrong = [
        f"{one['name']} publishes {port} on all addresses"
        for one in _running(facts)
        for port in sorted({port for address, port in one["published"] if address in ANY})
    ]
    return Answer(wrong, _count(facts))


def engine(facts: Facts) -> Answer:
    """The engine obeys root and its group, and nobody over the network without a certificate."""
    found = part(facts, "containers")
    if not found["engine"]:
        raise NotHere
    wrong = ["anybody may use its socket"] if found["socket_mode"] & 0o006 else []
    open_ports = {
        one["port"]
        for one in part(facts, "listening")
        if one["port"] in ENGINE_PORTS and not declared.loopback(one["address"])
    }
    return Answer(
        [*wrong, *(f"it listens on port {port}" for port in sorted(open_ports))], "its socket is for root and its group"
    )


def upgrades(facts: Facts) -> Answer:
    """No security upgrade is waiting."""
    found = part(facts, "upgrades")
    if found["age"] is None:
        raise Unknown("the host has no package lists", REFRESH)
    if found["security"]:
        return Answer(found["security"], "")
    if found["age"] > LISTS_AGE:
        raise Unknown(f"its package lists are {span(found['age'])} old", REFRESH)
    return Answer([], f"none pending, package lists {span(found['age'])} old")


def upgrades_daily(facts: Facts) -> Answer:
    """They are installed by themselves."""
    return Answer([] if part(facts, "upgrades")["daily"] else ["apt-daily-upgrade.timer is off"], "daily")


def reboot(facts: Facts) -> Answer:
    """What was upgraded is what runs."""
    found = part(facts, "upgrades")
    return Answer(
        [f"a reboot is due for {', '.join(found['reboot_for']) or 'an upgrade'}"] if found["reboot"] else [],
        "not needed",
    )


def _running(facts: Facts) -> Sequence[Mapping[str, Any]]:
    found = part(facts, "containers")
    if not found["engine"]:
        raise NotHere
    return list(found["running"])


def _count(facts: Facts) -> str:
    count = len(part(facts, "containers")["running"])
    return f"{count} container{'' if count == 1 else 's'}"


def _is_host(mount: Mapping[str, Any]) -> bool:
    source = str(mount["source"]).rstrip("/") or "/"
    return source in SOCKETS or (source in SYSTEM_PATHS and (mount["writable"] or source in ("/", "/var/run", "/run")))
