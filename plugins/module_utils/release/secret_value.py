# SPDX-License-Identifier: Apache-2.0
"""A secret's value out of what its store answered: the same on the controller and on hosts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version, unseen_version

# Linux limits an argument or variable to 128 KiB, name included (MAX_ARG_STRLEN, execve(2)).
LONGEST_ENV = 130_000


class SecretError(Exception):
    """A secret cannot be read; the message says which, where and why."""


def field(fields: Any, key: str | None) -> str:
    """Return one value of a map as text; ``a.b`` goes into the map a. Without a key the map has only one."""
    if key is None:
        if len(fields) != 1:
            raise SecretError(f"it has {len(fields)} keys: name one with key ({', '.join(sorted(fields))})")
        value = next(iter(fields.values()))
    elif isinstance(fields, Mapping) and key in fields:
        value = fields[key]
    else:
        value = fields
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                names = ", ".join(sorted(map(str, fields))) if isinstance(fields, Mapping) else "none"
                raise SecretError(f"it has no key {key!r}; its keys: {names}")
            value = value[part]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list) or value is None:
        raise SecretError(f"key {key!r} is no text" if key else "its only value is no text")
    return str(value)


def fits(value: str) -> None:
    """Refuse what an environment variable cannot hold."""
    if not value:
        raise SecretError("it is empty")
    if "\0" in value or len(value.encode(errors="surrogatepass")) > LONGEST_ENV:
        raise SecretError(f"it does not fit into an environment variable ({LONGEST_ENV} bytes, no NUL)")


def is_version(app: str, name: str, version: str, value: str, place: str, created: str) -> bool:
    """Whether a value is the version of a secret that a release names, whoever has read it before: the controller or a host."""
    return version in (secret_version(app, name, value), unseen_version(app, name, place, created))
