# SPDX-License-Identifier: Apache-2.0
"""Each check of the audit: fine on a hardened host, and failed by the one thing it is there for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.security import checks, sites
from ansible_collections.sluice.stack.plugins.module_utils.security.check import SEVERITIES, Look

NOW = 1_800_000_000.0
DAY = 86400.0
CONTAINER = {
    "name": "shop-backend",
    "image": "registry.test/shop@sha256:1",
    "user": "1000:1000",
    "privileged": False,
    "added": [],
    "dropped": ["ALL"],
    "options": ["no-new-privileges"],
    "namespaces": [],
    "mounts": [{"source": "/srv/shop", "writable": True}],
    "published": [("10.0.0.21", 20000)],
}
SITE = {
    "host": "shop.test",
    "tls": True,
    "redirect": 308,
    "certificate": {"begins": NOW - 30 * DAY, "ends": NOW + 60 * DAY, "untrusted": ""},
    "old_versions": [],
    "sslyze": {"problems": []},
    "headers": {
        "/": {
            "strict-transport-security": "max-age=31536000",
            "x-content-type-options": "nosniff",
            "x-frame-options": "SAMEORIGIN",
            "referrer-policy": "strict-origin",
            "server": "nginx",
        }
    },
}
GOOD: dict[str, Any] = {
    "now": NOW,
    "limits": {"lynis": 70},
    "declared": [
        {"ports": [22, 443], "from": ["any"]},
        {"ports": ["20000-20999"], "from": ["10.0.0.11"]},
        {"ports": [9100], "from": ["10.0.0.0/28"]},
    ],
    "host": {
        "sshd": {
            "passwordauthentication": "no",
            "kbdinteractiveauthentication": "no",
            "permitrootlogin": "prohibit-password",
        },
        "firewall": {"loaded": True, "drift": [], "at_boot": True},
        "upgrades": {"security": [], "age": DAY, "daily": True, "reboot": False, "reboot_for": []},
        "listening": [
            {"address": "0.0.0.0", "port": 443, "program": "nginx"},
            {"address": "127.0.0.1", "port": 6379, "program": "redis"},
        ],
        "addresses": ["10.0.0.21"],
        "containers": {"engine": True, "running": [CONTAINER], "socket_mode": 0o660},
        "kernel": {"settings": 20, "different": {}},
        "accounts": {"root": [], "empty": [], "docker": []},
        "files": {"readable": [], "writable": [], "seen": 300},
        "lynis": {"index": 83, "warnings": [], "age": DAY},
    },
    "outside": {
        "ports": {"10.0.0.21": {"reached": True, "states": {"443": "open", "6379": "dropped", "9100": "refused"}}},
        "sources": ["10.0.0.9"],
        "ssh_audit": {"problems": []},
        "sites": [SITE],
    },
}


def seen(facts: dict[str, Any]) -> dict[str, Look]:
    return {look.name: look for look in checks.looks("app1", facts)}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The facts of a good host with one of them changed."""
    facts: Any = copy.deepcopy(GOOD)
    inner = facts
    *way, last = path.split("/")
    for key in way:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[last] = value
    return dict(facts)


def test_a_hardened_host_passes_every_check() -> None:
    found = seen(GOOD)
    assert [(look.name, look.problems, look.unknown) for look in found.values() if look.problems or look.unknown] == []
    assert set(found) == set(checks.NAMES) - {checks.REACHED}
    assert all(look.fine and look.severity in SEVERITIES for look in found.values())


RUNNING, SITES = "host/containers/running/0", "outside/sites/0"
PORTS = "outside/ports/10.0.0.21"


@pytest.mark.parametrize(
    ("path", "value", "name", "problem"),
    [
        ("host/sshd/passwordauthentication", "yes", "ssh_settings", "passwordauthentication yes"),
        ("host/sshd/permitrootlogin", "yes", "ssh_settings", "permitrootlogin yes"),
        ("outside/ssh_audit/problems", ["3des-cbc: broken"], "ssh_algorithms", "3des-cbc: broken"),
        ("host/accounts/root", ["toor"], "accounts", "toor is root under another name"),
        ("host/accounts/empty", ["guest"], "accounts", "guest needs no password"),
        ("host/accounts/docker", ["ci"], "docker_group", "ci is in group docker"),
        ("host/firewall/loaded", False, "firewall", "table inet sluice is not loaded"),
        ("host/firewall/drift", ["table inet sluice: differs"], "firewall", "table inet sluice: differs"),
        ("host/firewall/at_boot", False, "firewall", "nftables is not started at boot"),
        (f"{PORTS}/states/6379", "open", "ports", "10.0.0.21 port 6379 is open (redis)"),
        (f"{PORTS}/states/6379", "refused", "ports_dropped", "10.0.0.21 refuses instead of dropping: 6379"),
        ("outside/sources", ["192.0.2.1"], "ports_dropped", "10.0.0.21 refuses instead of dropping: 9100"),
        ("host/listening/1/address", "*", "listening", "redis on port 6379"),
        ("host/listening/1/address", "::", "listening", "redis on port 6379"),
        (f"{RUNNING}/privileged", True, "containers_escape", "shop-backend is privileged"),
        (f"{RUNNING}/added", ["SYS_ADMIN"], "containers_escape", "shop-backend has capability SYS_ADMIN"),
        (
            f"{RUNNING}/mounts",
            [{"source": "/run/docker.sock", "writable": False}],
            "containers_escape",
            "shop-backend mounts /run/docker.sock",
        ),
        (f"{RUNNING}/mounts", [{"source": "/", "writable": False}], "containers_escape", "shop-backend mounts /"),
        (
            f"{RUNNING}/mounts",
            [{"source": "/etc/", "writable": True}],
            "containers_escape",
            "shop-backend mounts /etc/",
        ),
        (f"{RUNNING}/namespaces", ["pid"], "containers_escape", "shop-backend sees the host's processes"),
        (f"{RUNNING}/namespaces", ["network"], "containers_rights", "shop-backend is in the host's network namespace"),
        (f"{RUNNING}/user", "", "containers_user", "shop-backend runs as root"),
        (f"{RUNNING}/user", "0:0", "containers_user", "shop-backend runs as root"),
        (f"{RUNNING}/dropped", [], "containers_rights", "shop-backend keeps the default capabilities"),
        (f"{RUNNING}/options", [], "containers_rights", "shop-backend may gain privileges"),
        (
            f"{RUNNING}/options",
            ["no-new-privileges", "seccomp=unconfined"],
            "containers_rights",
            "shop-backend has no seccomp",
        ),
        (
            f"{RUNNING}/published",
            [("0.0.0.0", 8080), ("::", 8080)],
            "containers_published",
            "shop-backend publishes 8080 on all addresses",
        ),
        ("host/containers/socket_mode", 0o666, "engine", "anybody may use its socket"),
        ("host/upgrades/security", ["openssl 1 → 2"], "upgrades", "openssl 1 → 2"),
        ("host/upgrades/daily", False, "upgrades_daily", "apt-daily-upgrade.timer is off"),
        ("host/upgrades/reboot", True, "reboot", "a reboot is due for an upgrade"),
        ("host/files/readable", ["/etc/key.pem"], "secret_files", "anybody can read /etc/key.pem"),
        ("host/files/writable", ["/etc/passwd"], "writable_files", "anybody can write /etc/passwd"),
        (
            "host/kernel/different",
            {"net.ipv4.tcp_syncookies": {"wanted": "1", "found": "0"}},
            "kernel",
            "net.ipv4.tcp_syncookies is 0, not 1",
        ),
        ("host/lynis/index", 60, "lynis", "index 60, below 70"),
        ("host/lynis/warnings", ["SSH-7412|root"], "lynis", "SSH-7412: root"),
        (f"{SITES}/tls", False, "plain_http", "shop.test: served without TLS"),
        (f"{SITES}/redirect", 200, "plain_http", "shop.test: HTTP is answered with 200 instead of a redirect"),
        (f"{SITES}/certificate/ends", NOW - 3 * DAY, "certificate", "shop.test: expired 3 days ago"),
        (f"{SITES}/certificate/ends", NOW + 3 * DAY, "certificate", "shop.test: 3 days left and not renewed"),
        (f"{SITES}/certificate/untrusted", "unknown CA", "certificate", "shop.test: unknown CA"),
        (f"{SITES}/old_versions", ["TLS 1.0"], "tls_versions", "shop.test: accepts TLS 1.0"),
        (f"{SITES}/sslyze", {"problems": ["ciphers: weak"]}, "tls_grade", "shop.test: ciphers: weak"),
    ],
)
def test_one_weakness_fails_one_check(path: str, value: Any, name: str, problem: str) -> None:
    found = seen(changed(path, value))
    assert {look.name: look.problems for look in found.values() if look.problems} == {name: (problem,)}
    assert found[name].fix


def test_an_engine_that_listens_on_the_network_is_found() -> None:
    found = seen(changed("host/listening", [{"address": "0.0.0.0", "port": 2375, "program": "dockerd"}]))
    assert found["engine"].problems == ("it listens on port 2375",) and found["listening"].problems


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("strict-transport-security", "no Strict-Transport-Security"),
        ("x-content-type-options", "no X-Content-Type-Options: nosniff"),
        ("x-frame-options", "may be framed: no X-Frame-Options, no frame-ancestors"),
        ("referrer-policy", "no Referrer-Policy"),
    ],
)
def test_a_missing_header_is_named(name: str, problem: str) -> None:
    headers = {key: value for key, value in SITE["headers"]["/"].items() if key != name}  # type: ignore[index]
    assert list(sites.header_problems(headers, tls=True)) == [problem]


@pytest.mark.parametrize(("name", "value"), [("server", "nginx/1.26.3"), ("x-powered-by", "Express")])
def test_a_program_that_names_itself_is_named(name: str, value: str) -> None:
    headers = {**SITE["headers"]["/"], name: value}  # type: ignore[dict-item]
    assert list(sites.header_problems(headers, tls=True)) == [f"{name} says {value}"]


def test_frame_ancestors_do_what_x_frame_options_does() -> None:
    headers = {**SITE["headers"]["/"], "content-security-policy": "frame-ancestors 'none'"}  # type: ignore[index]
    del headers["x-frame-options"]
    assert list(sites.header_problems(headers, tls=True)) == []


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("host/sshd", {"missing": "sshd: not found"}, "ssh_settings"),
        ("host/upgrades/age", None, "upgrades"),
        ("host/upgrades/age", 9 * DAY, "upgrades"),
        ("host/lynis", {"missing": "no report"}, "lynis"),
        ("host/lynis/age", 90 * DAY, "lynis"),
        ("outside/ssh_audit", {"missing": "not installed"}, "ssh_algorithms"),
        (f"{SITES}/sslyze", {"missing": "not installed"}, "tls_grade"),
        (f"{PORTS}/reached", False, "ports"),
        (f"{SITES}/missing", "no answer", "certificate"),
    ],
)
def test_what_cannot_be_seen_is_unknown_and_not_fine(path: str, value: Any, name: str) -> None:
    look = seen(changed(path, value))[name]
    assert look.unknown and not look.problems


def test_pending_upgrades_count_however_old_the_lists_are() -> None:
    facts = changed("host/upgrades/age", 9 * DAY)
    facts["host"]["upgrades"]["security"] = ["openssl 1 → 2"]
    assert seen(facts)["upgrades"].problems == ("openssl 1 → 2",)


def test_a_check_is_left_out_where_there_is_nothing_to_check() -> None:
    facts = changed("host/containers", {"engine": False, "running": []})
    facts["outside"]["sites"] = []
    assert {"containers_user", "engine", "certificate", "headers"} & set(seen(facts)) == set()


def test_a_host_that_was_not_seen_fails() -> None:
    (look,) = checks.looks("app1", None, "unreachable")
    assert look.name == checks.REACHED and look.problems == ("unreachable",)
