# SPDX-License-Identifier: Apache-2.0
"""The keys without which backups are worth nothing, as a document that is encrypted and kept elsewhere. Pure.

It has variables of the inventory as they are: given to a run with ``-e @file``, or copied into a new inventory, they are all that a restore needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Everything about where backups are and how they are encrypted; not what is backed up when.
VARIABLES = ("backup_engine", "backup_stanza", "backup_repositories", "file_backup_repositories")
# An X25519 recipient, or a public SSH key; see age(1).
RECIPIENT = re.compile(
    r"age1[02-9ac-hj-np-z]{58}|age1[a-z0-9]+1[02-9ac-hj-np-z]+|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( [^\n]*)?"
)
PRIVATE = re.compile(r"AGE-SECRET-KEY-|PRIVATE KEY")


class EscrowError(Exception):
    """The keys cannot be exported; the message says why, without one of them."""


def recipients(given: Any) -> list[str]:
    """Return the recipients. Raises EscrowError."""
    found = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not found or not all(isinstance(one, str) and one for one in found):
        raise EscrowError(
            "backup_keys_recipient is not set: name a public key of age, which age-keygen prints, or several"
        )
    for one in found:
        if PRIVATE.search(one):
            raise EscrowError(
                "backup_keys_recipient is a private key: name the public one, age1…, and keep that one away from here"
            )
        if not RECIPIENT.fullmatch(one):
            raise EscrowError(
                f"backup_keys_recipient is {one[:60]!r}: it must be a public key like age1… or ssh-ed25519 …"
            )
    return found


def document(hosts: Mapping[str, Mapping[str, Any]], environment: str, made: str) -> dict[str, Any]:
    """Return all that a restore needs: for each host with backups its variables, resolved. Raises EscrowError where there is nothing."""
    kept = {host: {name: own[name] for name in VARIABLES if own.get(name)} for host, own in hosts.items()}
    kept = {host: own for host, own in kept.items() if any(name.endswith("repositories") for name in own)}
    if not kept:
        raise EscrowError("no host has backup_repositories or file_backup_repositories: there are no keys to export")
    return {"schema": 1, "environment": environment, "made": made, "hosts": kept}


def lines(kept: Mapping[str, Any], path: str) -> list[str]:
    """Say what was exported, without a value."""
    said = []
    for host, own in kept["hosts"].items():
        for variable in (name for name in own if name.endswith("repositories")):
            for one in own[variable]:
                secret = [key for key in ("passphrase", "access_key", "secret_key") if one.get(key)]
                said.append(
                    f"{host}  {variable.removesuffix('_repositories')} {one.get('name')}: {', '.join(secret) or 'no keys'}"
                )
    return [
        *said,
        f"encrypted to {path}: keep it, and the recipient's private key, where neither these hosts nor this machine are",
    ]
