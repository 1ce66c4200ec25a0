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
    sequence,
    struct,
    text,
)

Reference = Mapping[str, Any]

TURNS = ("one in use", "one to be changed")
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
    "vault_roles": struct(
        {
            # Static roles of the database engine that take turns: each is rotated while the app uses the other.
            "vault_roles": sequence(text(pattern=r"[A-Za-z0-9_.-]+", means="the name of a static role")),
            "mount": text("database"),
            "url": text(pattern=r"[^{}]*\{username\}:\{password\}[^{}]*", means="a URL with {username}:{password}"),
        }
    ),
    "aws": struct(
        {
            "aws": text(),
            "key": text(None),
            "stage": text("AWSCURRENT"),
            "version": text(None),  # the id of a version; it precedes the stage
        }
    ),
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
                # Who reads the values: the controller, or each app host with a login of its own.
                "secrets_from": text("controller", choices=("controller", "host")),
                "host_role": text(None),  # the AppRole that hosts log in by
                "host_auth_mount": text("approle"),
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


def settings_of(reference: Reference) -> str:
    """Return the key of ``app_secret_sources`` that says how to reach a reference's source."""
    return source_of(reference).partition("_")[0]


def takes_turns(reference: Reference) -> bool:
    """Whether the store changes the secret by itself, so that an old version of it is no way back."""
    return "vault_roles" in reference


def by_host(reference: Reference, sources: Mapping[str, Any]) -> bool:
    """Whether the app hosts read a secret, and the controller only knows its version."""
    return source_of(reference) == "vault" and (sources.get("vault") or {}).get("secrets_from") == "host"


def pinned(reference: Reference, version: str, sources: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a reference to one version, by which any later run finds the same value; None where the source keeps no versions."""
    if "vault" in reference and version:
        mount = reference.get("mount") or (sources.get("vault") or {}).get("mount")
        return {"vault": reference["vault"], "key": reference["key"], "mount": mount, "version": int(version)}
    if "aws" in reference and version:
        return {"aws": reference["aws"], "key": reference["key"], "version": version}
    return None


def described(reference: Reference, version: str = "") -> str:
    """Return how output calls a reference: ``vault secret/marketplace/jwt, key value, version 7``. It holds no value."""
    source = source_of(reference)
    if takes_turns(reference):
        # Its version is the role whose turn it is, and since when.
        role, _unused, since = version.partition(" ")
        where = f"vault {reference['mount']}/static-creds/{role or '|'.join(reference['vault_roles'])}"
        return f"{where}, version {since}" if since else where
    mount = f"{reference['mount']}/" if reference.get("mount") else ""
    parts = [f"{source} {mount}{reference[source]}"]
    if reference.get("key"):
        parts.append(f"key {reference['key']}")
    version = version or str(reference.get("version") or "")
    return ", ".join([*parts, *([f"version {version}"] if version else [])])


def check(references: Mapping[str, Reference], sources: Mapping[str, Any], problems: Problems, raw: Any) -> None:
    """Require the settings of the sources that are used."""
    used = {settings_of(reference) for reference in references.values()}
    for name, reference in references.items():
        if takes_turns(reference) and len(set(reference["vault_roles"])) != len(TURNS):
            problems.add(f"app_secrets.{name}", "must name two static roles that take turns", raw.get("app_secrets"))
    vault = sources.get("vault")
    if "vault" in used and not vault:
        name = next(name for name, reference in references.items() if settings_of(reference) == "vault")
        problems.add(
            f"app_secrets.{name}",
            "names vault: set app_secret_sources.vault, with its url and how to log in",
            raw.get("app_secrets"),
        )
    if vault and vault["secrets_from"] == "host" and not vault["host_role"]:
        problems.add(
            "app_secret_sources.vault.secrets_from",
            "is 'host', which needs host_role: the AppRole that app hosts log in by",
            raw.get("app_secret_sources"),
        )
