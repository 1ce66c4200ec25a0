# SPDX-License-Identifier: Apache-2.0
"""References to secrets that are kept elsewhere: their form in the inventory, and how messages name them. Pure.

A value of ``app_secrets`` is the secret itself, from Ansible Vault, or a map that names its source:
``{vault: path, key: field}``, ``{aws: name}``, ``{sops: file, key: field}`` or ``{env: VARIABLE}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    Kind,
    Problems,
    mapping,
    number,
    scalar,
    struct,
    text,
)

Reference = Mapping[str, Any]

ENV_NAME = (r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_'")
_VAULT_PATH = (r"[^/\s][^\s]*", "a path below the mount, such as 'marketplace/jwt'")

# What a map may hold, by the key that names its source.
FORMS: dict[str, Kind] = {
    "vault": struct(
        {
            "vault": text(REQUIRED, *_VAULT_PATH),
            "key": text(None),  # none: the only field
            "mount": text(None),  # none: that of app_secret_sources
            "version": number(None, 1, whole=True),  # none: the newest
        }
    ),
    "aws": struct({"aws": text(), "key": text(None), "stage": text("AWSCURRENT")}),
    "sops": struct({"sops": text(), "key": text()}),
    "env": struct({"env": text(REQUIRED, *ENV_NAME)}),
}

# A source over plain HTTP would show every secret to the network; loopback is an agent on the same machine.
_URL = (r"https://\S+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?/?", "an https:// address")

SOURCES: Kind = struct(
    {
        "vault": struct(
            {
                "url": text(REQUIRED, *_URL),
                "auth": text("token", choices=("token", "approle", "jwt")),
                "token": text(None, secret=True),
                "role_id": text(None, secret=True),
                "secret_id": text(None, secret=True),
                "jwt": text(None, secret=True),
                "role": text(None),
                "auth_mount": text(None),  # none: the method's own
                "namespace": text(None),
                "ca": text(None),  # a file with the authority's certificate
                "mount": text("secret"),
                "timeout": number(10, 1, 120),
            },
            default=None,
        ),
        "aws": struct(
            {
                "region": text(None),
                "profile": text(None),
                "role": text(None, r"arn:[^\s]+:role/\S+", "the ARN of a role to assume"),
                "endpoint": text(None, *_URL),
                "ca": text(None),
                "timeout": number(10, 1, 120),
            },
            default={},
        ),
        "sops": struct({"age_key_file": text(None)}, default={}),
    },
    default={},
)

# What each way to log in needs.
CREDENTIALS = {"token": ("token",), "approle": ("role_id", "secret_id"), "jwt": ("role", "jwt")}


def secret() -> Kind:
    """A secret: its value, or a reference to it."""
    plain = scalar(secret=True)

    def read(value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, Mapping):
            return plain.read(value, path, problems)
        named = [source for source in FORMS if source in value]
        if len(named) != 1:
            problems.add(path, f"must be a string, or a map that names one source: {', '.join(FORMS)}", value)
            return None
        return FORMS[named[0]].read(value, path, problems)

    return Kind(read)


def secrets(name: tuple[str, str]) -> Kind:
    """The map of all secrets by name."""
    return mapping(secret(), {}, *name, secret=True)


def is_reference(value: Any) -> bool:
    """Whether a value of ``app_secrets`` only names where the secret is."""
    return isinstance(value, Mapping)


def source_of(reference: Reference) -> str:
    """Return the source that a reference names."""
    return next(source for source in FORMS if source in reference)


def described(reference: Reference, version: str = "") -> str:
    """Return how output calls a reference: ``vault secret/marketplace/jwt, key value, version 7``. It holds no value."""
    source = source_of(reference)
    mount = f"{reference['mount']}/" if reference.get("mount") else ""
    parts = [f"{source} {mount}{reference[source]}"]
    if reference.get("key"):
        parts.append(f"key {reference['key']}")
    version = version or str(reference.get("version") or "")
    return ", ".join([*parts, *([f"version {version}"] if version else [])])


def check(references: Mapping[str, Reference], sources: Mapping[str, Any], problems: Problems, raw: Any) -> None:
    """Require the settings of the sources that are used."""
    used = {source_of(reference) for reference in references.values()}
    vault = sources.get("vault")
    if "vault" in used and not vault:
        name = next(name for name, reference in references.items() if source_of(reference) == "vault")
        problems.add(
            f"app_secrets.{name}",
            "names vault: set app_secret_sources.vault, with its url and how to log in",
            raw.get("app_secrets"),
        )
    if vault:
        missing = [key for key in CREDENTIALS[vault["auth"]] if not vault[key]]
        if missing:
            problems.add(
                "app_secret_sources.vault",
                f"logs in by {vault['auth']}, which needs {' and '.join(missing)}",
                raw.get("app_secret_sources"),
            )
