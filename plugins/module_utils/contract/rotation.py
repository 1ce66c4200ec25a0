# SPDX-License-Identifier: Apache-2.0
"""app_rotations: which secrets are rotated by playbooks/secrets/rotate.yml, and how. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    Kind,
    Problems,
    mapping,
    number,
    sequence,
    shown,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

# Two characters are left for the suffixes of the pair: a name of Postgres has 63.
ROLE = (r"[a-z_][a-z0-9_]{0,60}", "lower-case letters, digits and '_', at most 61 characters")
# Sources that this collection can write to.
WRITABLE = ("vault", "aws", "sops")
_COMMON: dict[str, Kind] = {
    "kind": text(),
    "max_age_days": number(None, 0.01, 3660),  # none: its age is not judged
    "wait_seconds": number(60, 1, 3600),  # for the last connection of the old credential to end
}
# What a map may hold, by its kind.
KINDS: dict[str, Kind] = {
    # Two login roles, <role>_a and <role>_b, take turns; both act as the role, which owns what the app makes.
    "postgres": struct({**_COMMON, "role": text(REQUIRED, *ROLE)}),
    # Two users, <user>_a and <user>_b; before the first rotation the default user.
    "redis": struct({**_COMMON, "user": text(REQUIRED, *ROLE)}),
    # Keys that a command makes and ends, on the controller: see the module secret_command.
    "command": struct({**_COMMON, "command": sequence(text())}),
    # The app signs with the secret and believes a second one as well, which is the old key for some hours.
    "signing_key": struct(
        {**_COMMON, "previous": text(REQUIRED, *secret_reference.ENV_NAME), "verify_hours": number(24, 0, 8784)}
    ),
}


def _one() -> Kind:
    def read(value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a map with a kind, not {shown(value)}", value)
            return None
        kind = value.get("kind")
        if kind not in KINDS:
            said = "is missing" if kind is None else f"is {shown(kind)}: {did_you_mean(str(kind), KINDS)}"
            problems.add(f"{path}.kind", said, value)
            return None
        return KINDS[kind].read(value, path, problems)

    return Kind(read)


def rotations(name: tuple[str, str]) -> Kind:
    """The map of rotated secrets by name."""
    return mapping(_one(), {}, *name)


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that each rotated secret is one of the app's, and is kept where a new value can be written."""
    used = {secret for service in contract["app_services"].values() for secret in service["secrets"]}
    for name in contract["app_rotations"]:
        path, raw = f"app_rotations.{name}", given["app_rotations"][name]
        if name not in used:
            problems.add(path, f"is a secret that no service lists: {did_you_mean(name, used)}", raw)
            continue
        _check_place(path, contract, name, raw, problems)
        if contract["app_rotations"][name].get("command") == []:
            problems.add(f"{path}.command", "is empty: it must name a program", raw)
        other = contract["app_rotations"][name].get("previous")
        if other and other not in used:
            problems.add(f"{path}.previous", f"is {other}, which no service lists: {did_you_mean(other, used)}", raw)
        elif other:
            _check_place(f"{path}.previous", contract, other, raw, problems)


def _check_place(path: str, contract: Mapping[str, Any], name: str, raw: Any, problems: Problems) -> None:
    """Check that a new value can be written to where the secret is kept, and is the one that is read then."""
    secret = contract["app_secrets"][name]
    source = secret_reference.source_of(secret) if secret_reference.is_reference(secret) else "the inventory"
    if source not in WRITABLE:
        problems.add(
            path,
            f"is kept in {source}, where a rotation cannot write: keep it in {', '.join(WRITABLE[:-1])} or {WRITABLE[-1]}",
            raw,
        )
    elif secret_reference.by_host(secret, contract["app_secret_sources"]):
        problems.add(
            path,
            "is read by the app hosts alone (app_secret_sources.vault.secrets_from), and a rotation makes the new value on the controller",
            raw,
        )
    elif secret.get("version") or secret.get("stage", "AWSCURRENT") != "AWSCURRENT":
        problems.add(path, "names a version, and a rotation writes a new one: take version or stage out", raw)
