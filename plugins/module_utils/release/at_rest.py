# SPDX-License-Identifier: Apache-2.0
"""Secrets on a host's disk, encrypted by systemd-creds with the host's own key, /var/lib/systemd/credential.secret.

A copy of the files without that key is worth nothing; whoever is root on the host can read them, as before. Where systemd-creds is missing or has no key,
they are kept plain, readable by root only. See systemd-creds(1).
"""

from __future__ import annotations

import os
import subprocess

from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic

PROGRAM = "/usr/bin/systemd-creds"
KEY = "/var/lib/systemd/credential.secret"
SUFFIX = ".cred"
SECONDS = 30.0


class Unreadable(Exception):
    """A secret is on this host and cannot be decrypted; the message says why, without a value."""


def names(folder: str) -> list[str]:
    """Return what is kept in a folder, encrypted or not."""
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted({name.removesuffix(SUFFIX) for name in found if not name.startswith(".")})


def kept(folder: str, name: str) -> bool:
    """Whether a value is there and can be read: one that is older than the host's key was encrypted with another."""
    path = os.path.join(folder, name)
    try:
        return os.stat(f"{path}{SUFFIX}").st_mtime >= os.stat(KEY).st_mtime
    except FileNotFoundError:
        return os.path.exists(path) and not os.path.exists(f"{path}{SUFFIX}")


def write(folder: str, name: str, value: str) -> None:
    """Keep a value under its name, encrypted where that is to be had."""
    path = os.path.join(folder, name)
    sealed = _run("encrypt", name, value.encode())
    other = f"{path}{SUFFIX}" if sealed is None else path
    if sealed is None:
        write_atomic(path, value)
    else:
        write_atomic(f"{path}{SUFFIX}", sealed.decode())
    if os.path.exists(other):
        os.unlink(other)


def read(folder: str, name: str) -> str:
    """Return a value. Raises FileNotFoundError, or Unreadable."""
    path = os.path.join(folder, name)
    try:
        with open(f"{path}{SUFFIX}", "rb") as handle:
            sealed = handle.read()
    except FileNotFoundError:
        return _plain(folder, name)
    value = _run("decrypt", name, sealed)
    if value is None:
        raise Unreadable(f"{path}{SUFFIX} cannot be decrypted by systemd-creds with this host's key")
    return value.decode()


def _plain(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as handle:
        return handle.read()


def seal(folder: str) -> None:
    """Encrypt what is kept plain, as earlier versions did; where that is not to be had it stays as it is."""
    for name in names(folder):
        if os.path.exists(os.path.join(folder, name)):
            write(folder, name, _plain(folder, name))


def remove(folder: str, name: str) -> None:
    """Remove a value, in either form."""
    for path in (os.path.join(folder, name), os.path.join(folder, f"{name}{SUFFIX}")):
        if os.path.exists(path):
            os.unlink(path)


def _run(action: str, name: str, text: bytes) -> bytes | None:
    """Run systemd-creds over standard input and output; None where it cannot. The name is a part of what is encrypted, and is checked."""
    key = ["--with-key=host"] if action == "encrypt" else []
    try:
        done = subprocess.run(
            [PROGRAM, action, *key, f"--name={name}", "-", "-"],
            input=text,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
