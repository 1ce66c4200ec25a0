# SPDX-License-Identifier: Apache-2.0
"""A host's root-only store of secret values by version, so that a release can be gone back to with the secrets it had."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic


def secret_version(app: str, name: str, value: str) -> str:
    """A short name for a secret's value, the same for the same value, from which the value cannot be had back.

    scrypt (RFC 7914) makes each guess cost about as much as a log-in does; 40 bits are enough to tell two values apart.
    """
    digest = hashlib.scrypt(value.encode(), salt=f"sluice/{app}/{name}".encode(), n=2**13, r=8, p=1, dklen=5)
    return digest.hex()


class SecretMissing(Exception):
    """A release wants a version of a secret that is neither in the inventory's vault nor on this host."""


def values_for(manifest: Mapping[str, Any], current: Mapping[str, str], folder: str) -> dict[str, str]:
    """The value of every secret a release names, at the release's version.

    ``current`` are today's values from the inventory. Raises SecretMissing.
    """
    app = manifest["app"]
    wanted = {
        name: version for service in manifest["services"].values() for name, version in service["secrets"].items()
    }
    values: dict[str, str] = {}
    for name, version in sorted(wanted.items()):
        if name in current and secret_version(app, name, str(current[name])) == version:
            values[name] = str(current[name])
            continue
        try:
            with open(_path(folder, name, version), encoding="utf-8") as handle:
                values[name] = handle.read()
        except FileNotFoundError:
            raise SecretMissing(
                f"release {manifest['id']} wants secret {name} at version {version}, the inventory's vault holds another one and this "
                "host never had it: put the old value back into the vault, or deploy a version with today's secrets"
            ) from None
    return values


def keep(manifest: Mapping[str, Any], values: Mapping[str, str], folder: str) -> None:
    """Store the values a release uses, each under its version, readable by root alone."""
    for service in manifest["services"].values():
        for name, version in service["secrets"].items():
            path = _path(folder, name, version)
            if not os.path.exists(path):
                write_atomic(path, values[name])


def _path(folder: str, name: str, version: str) -> str:
    return os.path.join(folder, "secrets", f"{name}.{version}")
