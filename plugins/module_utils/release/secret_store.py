# SPDX-License-Identifier: Apache-2.0
"""A host's root-only store of secret values by version, so that a rollback gets the secrets its release had."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release import at_rest


def secret_version(app: str, name: str, value: str) -> str:
    """Return a short version for a secret's value, equal for equal values, from which the value cannot be recovered.

    scrypt (RFC 7914) makes each guess as expensive as a login; 40 bits are enough to distinguish two values.
    """
    digest = hashlib.scrypt(value.encode(), salt=f"sluice/{app}/{name}".encode(), n=2**13, r=8, p=1, dklen=5)
    return digest.hex()


def unseen_version(app: str, name: str, place: str, created: str) -> str:
    """Return the version of a secret that only hosts read: of its place and the moment it was written, since nobody here knows the value."""
    return secret_version(app, name, f"{place}, {created}")


class SecretMissing(Exception):
    """A release needs a version of a secret that is neither in the inventory's vault nor on this host."""


def values_for(manifest: Mapping[str, Any], current: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the value of every secret of a release, at the release's version.

    ``current`` are the current values from the inventory. Raises SecretMissing.
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
            values[name] = at_rest.read(_kept(folder), f"{name}.{version}")
        except at_rest.Unreadable as error:
            raise SecretMissing(
                f"release {manifest['id']} needs secret {name} at version {version}, and {error}: deploy a version with the current secrets"
            ) from None
        except FileNotFoundError:
            raise SecretMissing(
                f"release {manifest['id']} needs secret {name} at version {version}, but the inventory's vault has another version and this "
                "host never stored it: restore the old value in the vault, or deploy a version with the current secrets"
            ) from None
    return values


def keep(manifest: Mapping[str, Any], values: Mapping[str, str], folder: str) -> None:
    """Store the values a release uses, each under its version, readable by root only and encrypted where the host can."""
    at_rest.seal(_kept(folder))
    for service in manifest["services"].values():
        keep_versions(service["secrets"], values, folder)


def keep_versions(versions: Mapping[str, str], values: Mapping[str, str], folder: str) -> None:
    """Store values under their versions, except those that are there."""
    kept = _kept(folder)
    for name, version in versions.items():
        if not at_rest.kept(kept, f"{name}.{version}"):
            at_rest.write(kept, f"{name}.{version}", values[name])


def held(folder: str) -> list[str]:
    """Return which values this host has and can read, as ``NAME.version``."""
    kept = _kept(folder)
    return [name for name in at_rest.names(kept) if at_rest.kept(kept, name)]


def _kept(folder: str) -> str:
    return os.path.join(folder, "secrets")
