# SPDX-License-Identifier: Apache-2.0
"""What a host shows to this machine: open ports, SSH, TLS, headers. Runs on the controller; it connects and asks, and sends no attack."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from ansible_collections.sluice.stack.plugins.module_utils.security import declared

CONNECT_SECONDS, ANSWER_SECONDS, TOOL_SECONDS = 1.5, 8.0, 120.0
AT_ONCE = 64
# A dropped packet and a busy machine look alike: what did not answer is asked once more.
TRIES = 2
SLOW_CURVES = frozenset(("X448", "secp521r1"))
OLD = {"TLS 1.0": ssl.TLSVersion.TLSv1, "TLS 1.1": ssl.TLSVersion.TLSv1_1}


# -- ports -------------------------------------------------------------------------------------------------------------


def addresses(named: str, own: Iterable[str], more: Iterable[str]) -> list[str]:
    """Return the addresses to look at: those of the name that Ansible uses, ``more`` of the inventory, and the host's own public ones.

    Private addresses that only the host knows are left out: here they may belong to somebody else.
    """
    found = []
    with contextlib.suppress(OSError):
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(named, None, type=socket.SOCK_STREAM)]
    found += [str(one) for one in more]
    found += [one for one in own if ipaddress.ip_address(one).is_global]
    return list(dict.fromkeys(found))


def source(address: str) -> str:
    """Return this machine's address on the way to another one, empty where there is no way. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((address, 9))
        return str(way.getsockname()[0])
    return ""


def pinged(address: str) -> bool:
    """Whether an address answers a ping; the control of a scan in which every port is dropped."""
    argv = ["ping", *(["-6"] if ":" in address else []), "-n", "-c", "1", "-W", "2", address]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(argv, capture_output=True, check=False, timeout=5).returncode == 0
    return False


def attempt(address: str, port: int) -> str:
    """Return what a connection came to: open, refused or dropped."""
    for _unused in range(TRIES):
        try:
            socket.create_connection((address, port), CONNECT_SECONDS).close()
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            continue
        return "open"
    return "dropped"


def scan(where: Sequence[str], tried: Sequence[int], ssh_port: int) -> dict[str, Any]:
    """Try ports of addresses. Returns by address whether it was ``reached``, and the ``states`` of its ports.

    The port for SSH is the last control: hosts count connections to it that never log in.
    """
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for address in where:
            if not source(address):
                found[address] = {"reached": False, "states": {}}
                continue
            states = dict(
                zip(map(str, tried), pool.map(lambda port, to=address: attempt(to, port), tried), strict=True)
            )
            reached = any(state != "dropped" for state in states.values()) or pinged(address)
            found[address] = {"reached": reached or attempt(address, ssh_port) != "dropped", "states": states}
    return found


# -- programs ----------------------------------------------------------------------------------------------------------


def ssh_audit(address: str, port: int) -> dict[str, Any]:
    """Return what ssh-audit fails, a line each, or why it cannot be said."""
    if not shutil.which("ssh-audit"):
        return {"missing": "ssh-audit is not installed on the controller"}
    argv = ["ssh-audit", "--json", "--skip-rate-test", "--timeout", "10", "--port", str(port), address]
    return ssh_problems(_output(argv))


def ssh_problems(text: str) -> dict[str, Any]:
    """Read ssh-audit's JSON."""
    try:
        found = json.loads(text)
        kinds = {kind: found[kind] for kind in ("kex", "key", "enc", "mac")}
    except (ValueError, KeyError, TypeError):
        return {"missing": f"ssh-audit said: {' '.join(text.split())[:200]}"}
    wrong = [
        f"{item['algorithm']}: {note}"
        for items in kinds.values()
        for item in items
        for note in item.get("notes", {}).get("fail", [])
    ]
    wrong += [f"{item['name']}: {item.get('description', '')}" for item in found.get("cves") or []]
    return {"problems": wrong} if kinds["kex"] else {"missing": "ssh-audit saw no key exchange"}


def sslyze(address: str, port: int, name: str) -> dict[str, Any]:
    """Return what sslyze holds against Mozilla's intermediate configuration, a line each, or why it cannot be said."""
    if not shutil.which("sslyze"):
        return {"missing": "sslyze is not installed on the controller"}
    where = f"{name}:{port}{{[{address}]}}" if ":" in address else f"{name}:{port}{{{address}}}"
    argv = ["sslyze", "--mozilla_config=intermediate", where]
    return sslyze_problems(_output(argv), name)


def sslyze_problems(text: str, name: str) -> dict[str, Any]:
    """Read sslyze's section about compliance."""
    _unused, found, section = text.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    verdict = [line.strip() for line in section.splitlines() if line.strip()]
    if not found or not any(name in line for line in verdict):
        return {"missing": f"sslyze said: {' '.join(text.split())[-200:] or 'nothing'}"}
    wrong = [line.removeprefix("* ") for line in verdict if line.startswith("* ")]
    return {"problems": [line for line in wrong if not _elsewhere(line)]}


def _elsewhere(line: str) -> bool:
    """Whether an objection is another check's, or about curves that are not on the list for being slow, and are not weak."""
    if line.startswith("tls_curves"):
        return set(re.findall(r"'([^']+)'", line)) <= SLOW_CURVES
    return line.startswith(("certificate_path_validation", "maximum_certificate_lifespan"))


def _output(argv: Sequence[str]) -> str:
    # In a directory of its own: whatever a program leaves goes with it.
    with tempfile.TemporaryDirectory(prefix="sluice-security-") as folder:
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=TOOL_SECONDS,
                cwd=folder,
                env={**os.environ, "HOME": folder, "COLUMNS": "200"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{argv[0]}: {error}"
    return done.stdout or done.stderr


# -- the edge ----------------------------------------------------------------------------------------------------------


class Site:
    """A host name of an edge, at one of its addresses."""

    def __init__(self, address: str, host: str, ports: tuple[int, int], ca: str = "") -> None:
        """``ports`` are those of HTTP and of TLS, 0 without; ``ca`` is a file that vouches besides what this machine trusts."""
        self.address, self.host = address, host
        self.http, self.https = ports
        # Routes without a host name are asked for by the address, and their certificate has to have it.
        self.name = host or address
        self._ca = ca

    def look(self, paths: Iterable[str]) -> dict[str, Any]:
        """Return the facts about it."""
        found: dict[str, Any] = {"host": self.name if self.https else self.host, "tls": bool(self.https)}
        try:
            if not self.https:
                return {**found, "headers": {path: self._ask(path, secure=False)[1] for path in paths}}
            found |= {
                "redirect": self._plain(),
                "certificate": self.certificate(),
                "old_versions": [name for name, version in OLD.items() if self._accepts(version)],
                "sslyze": sslyze(self.address, self.https, self.name),
                "headers": {path: self._ask(path, secure=True)[1] for path in paths},
            }
        except (OSError, http.client.HTTPException) as error:
            return {**found, "missing": f"{self.name}: {error}"}
        return found

    def _ask(self, path: str, *, secure: bool) -> tuple[int, dict[str, str]]:
        """Ask once; returns status and headers."""
        connection = http.client.HTTPConnection(
            self.address, self.https if secure else self.http, timeout=ANSWER_SECONDS
        )
        if secure:
            connection.sock = _trusting().wrap_socket(self._connect(), server_hostname=self.name)
        try:
            connection.request("GET", path, headers={"Host": self.name, "User-Agent": "sluice-security"})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def _plain(self) -> int:
        """Return how HTTP is answered; 0 where it is not."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._ask("/", secure=False)[0]
        return 0

    def _connect(self) -> socket.socket:
        return socket.create_connection((self.address, self.https), ANSWER_SECONDS)

    def certificate(self) -> dict[str, Any]:
        """Return when the certificate begins and ends, and why clients do not trust it."""
        from cryptography import x509  # noqa: PLC0415  (on the controller only)

        with self._connect() as plain, _trusting().wrap_socket(plain, server_hostname=self.name) as connection:
            raw = connection.getpeercert(binary_form=True)
        if not raw:
            return {"missing": "no certificate"}
        found = x509.load_der_x509_certificate(raw)
        return {
            "begins": found.not_valid_before_utc.timestamp(),
            "ends": found.not_valid_after_utc.timestamp(),
            "untrusted": self._untrusted(),
        }

    def _untrusted(self) -> str:
        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(cadata=self._ca)
        try:
            with self._connect() as plain, context.wrap_socket(plain, server_hostname=self.name):
                return ""
        except ssl.SSLCertVerificationError as error:
            return error.verify_message

    def _accepts(self, version: ssl.TLSVersion) -> bool:
        context = _trusting()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with self._connect() as plain, context.wrap_socket(plain, server_hostname=self.name):
                return True
        except (ssl.SSLError, ConnectionResetError):
            return False


def _trusting() -> ssl.SSLContext:
    """Trust anybody: what is looked at may be wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def sites(routes: Iterable[Mapping[str, Any]], tls: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Return each host name that an edge serves, empty for any, with its port for TLS, 0 without, and its paths."""
    names = Tls(int(tls.get("port", 0)), source=str(tls.get("source", "acme")), hosts=tls.get("hosts") or {})
    found: dict[str, list[str]] = {}
    for route in routes:
        found.setdefault(str(route.get("host") or ""), []).append(str(route.get("path") or "/"))
    return [(host, names.port if names.of(host) else 0, sorted(set(paths))) for host, paths in sorted(found.items())]


def listening(host: Mapping[str, Any]) -> list[int]:
    """Return the ports that a host says are open beyond its loopback, those of its containers too."""
    sockets = host["listening"] if isinstance(host["listening"], list) else []
    published = [port for one in host["containers"].get("running", []) for _address, port in one["published"]]
    return [one["port"] for one in sockets if not declared.loopback(one["address"])] + published


def look(asked: Mapping[str, Any], host: Mapping[str, Any], tried: Sequence[int]) -> dict[str, Any]:
    """Return everything that a host shows to this machine. ``asked`` are the module's parameters, ``host`` the host's own facts."""
    own = host["addresses"] if isinstance(host["addresses"], list) else []
    where = addresses(asked["address"], own, asked["addresses"])
    first = where[0] if where else asked["address"]
    served = sites(asked["routes"], asked["tls"])
    return {
        "ports": scan(where, tried, asked["ssh_port"]),
        "sources": [*filter(None, map(source, where)), *asked["sources"]],
        "ssh_audit": ssh_audit(first, asked["ssh_port"]),
        "sites": [
            Site(first, name, (asked["http_port"], port), asked["ca"]).look(paths) for name, port, paths in served
        ],
    }
