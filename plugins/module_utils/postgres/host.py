# SPDX-License-Identifier: Apache-2.0
"""A Postgres cluster as it is on its host: files, certificate, and what the server answers over its socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.host_files import Desired, compare, observe
from ansible_collections.sluice.stack.plugins.module_utils.postgres import state

SECONDS = 20
RENEW_SECONDS = 90 * 86400
# Of the role's own certificates.
FILES = (
    ("authority.key", "root", 0o600),
    ("authority.pem", "root", 0o644),
    ("server.key", "postgres", 0o640),
    ("server.pem", "root", 0o644),
)


class NoAnswer(Exception):
    """The server does not answer; the message is psql's."""


def cluster(version: str) -> dict[str, bool]:
    """Return whether Debian's cluster ``main`` has a configuration, is fenced by a promotion, and is a standby."""
    folder = f"/etc/postgresql/{version}/main"
    start = observe(f"{folder}/start.conf", "file").content.splitlines()
    return {
        "configured": os.path.exists(f"{folder}/postgresql.conf"),
        "fenced": "disabled" in start,
        "standby": os.path.exists(f"/var/lib/postgresql/{version}/main/standby.signal"),
    }


def ask(query: str, database: str, port: int) -> Any:
    """Return the JSON answer to a query, asked as the server's own user over its socket. Raises NoAnswer."""
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "/var/run/postgresql", "-p", str(port), "-d", database]
    # Whoever owns a database can put functions into it that fit a call better than the server's own do.
    options = {"PGCONNECT_TIMEOUT": "5", "PGOPTIONS": f"-c statement_timeout={SECONDS}s -c search_path=pg_catalog"}
    try:
        done = subprocess.run(
            command,
            input=query,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * SECONDS,
            user="postgres",
            group="postgres",
            extra_groups=[],
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", **options},
        )
    except (OSError, LookupError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(str(error)) from error
    if done.returncode:
        raise NoAnswer(" ".join(done.stderr.split()))
    return json.loads(done.stdout)


def deaf(addresses: Collection[str], port: int) -> list[str]:
    """Return the addresses nothing accepts connections at."""
    found = []
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout=3).close()
        except OSError:
            found.append(address)
    return found


def openssl(*words: str) -> tuple[int, str]:
    """Return the exit code and output of openssl; one that is not installed fails."""
    try:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout


def certificate(folder: str, names: Collection[str]) -> list[str]:
    """Return why the role's own certificate has to be made or signed again, one line each."""
    found = []
    for name, group, mode in FILES:
        path = os.path.join(folder, name)
        there = observe(path, "file")
        change = compare(Desired(path, "file", "root", group, mode, there.content), there, None)
        if change:
            found.append(change.summary)
    if found:
        return found
    authority, server = (os.path.join(folder, name) for name in ("authority", "server"))
    _unused, root = openssl("x509", "-in", f"{authority}.pem", "-noout", "-pubkey", "-ext", "basicConstraints,keyUsage")
    code, mine = openssl(
        *("x509", "-in", f"{server}.pem", "-noout", "-pubkey", "-ext", "subjectAltName,extendedKeyUsage"),
        *("-checkend", str(RENEW_SECONDS)),
    )
    _unused, root_key = openssl("pkey", "-in", f"{authority}.key", "-pubout")
    _unused, my_key = openssl("pkey", "-in", f"{server}.key", "-pubout")
    if not root_key or root_key not in root or "CA:TRUE" not in root or "Certificate Sign" not in root:
        found.append(f"{authority}.pem: not of {authority}.key, or no authority")
    if not my_key or my_key not in mine:
        found.append(f"{server}.pem: not of {server}.key")
    if code:
        found.append(f"{server}.pem: less than 90 days left")
    if state.certificate_names(mine) != state.plain_names(names) or "TLS Web Server Authentication" not in mine:
        found.append(f"{server}.pem: for other names")
    if openssl("verify", "-CAfile", f"{authority}.pem", f"{server}.pem")[0]:
        found.append(f"{server}.pem: not signed by {authority}.pem")
    return found


def server(
    files: Collection[str], port: int, desired: Mapping[str, Any], passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the server runs with, and how it differs from ``desired`` when that is given. Raises NoAnswer."""
    answer: dict[str, Any] = ask(state.server_query(files), "postgres", port)
    inside = {}
    if desired:
        needed = {item["name"] for item in desired["databases"] if item.get("extensions")}
        needed |= {item["database"] for item in desired["grants"]}
        inside = {name: ask(state.DATABASE_QUERY, name, port) for name in sorted(needed & set(answer["databases"]))}
    result = {key: answer[key] for key in ("settings", "checksums", "unread", "pending", "refused")}
    return {**result, "differences": state.differences(desired, passwords, answer, inside) if desired else []}
