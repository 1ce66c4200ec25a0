# SPDX-License-Identifier: Apache-2.0
"""How the edge protects an app's routes: limits, and who may use them. Not part of a release: see docs/decisions/0020."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import networks
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    mapping,
    number,
    sequence,
    shown,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.edge.passwords import LONGEST_PASSWORD, is_hash
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version

USER = (r"[A-Za-z0-9._@-]{1,64}", "letters, digits, '.', '_', '@' and '-'")


def _network() -> Kind:
    def read(value: Any, path: str, problems: Problems) -> str | None:
        try:
            return networks.normal(str(value))
        except networks.BadNetwork as error:
            problems.add(path, f"is {shown(value)}{error}", value)
            return None

    return Kind(read)


def _or_off(kind: Kind) -> Kind:
    """``false`` turns off for one route what ``app_protection`` has for all."""

    def read(value: Any, path: str, problems: Problems) -> Any:
        return {} if value is False else kind.read(value, path, problems)

    return Kind(read, None)


KEYS: dict[str, Kind] = {
    "rate_limit": _or_off(
        struct(
            {
                "requests": number(least=1, most=100_000, whole=True),
                "per": text("second", choices=("second", "minute")),
                "burst": number(None, 1, 100_000, whole=True),  # none: as many as requests
            }
        )
    ),
    "connection_limit": number(None, 0, 100_000, whole=True),  # 0: none
    "allow": sequence(_network(), default=None),
    "deny": sequence(_network(), default=None),
    # User → name of app_secrets; a password written here by mistake does not appear in messages.
    "basic_auth": _or_off(
        mapping(text(pattern=r"[A-Za-z_][A-Za-z0-9_]*", means="a name of app_secrets", secret=True), None, *USER)
    ),
}
_OFF: dict[str, Any] = {"rate_limit": {}, "connection_limit": 0, "allow": [], "deny": [], "basic_auth": {}}


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that passwords exist and can be used, and that no network is both allowed and denied."""
    levels = {f"app_routes[{index}]": route for index, route in enumerate(contract["app_routes"])}
    raw = {f"app_routes[{index}]": route for index, route in enumerate(given.get("app_routes", []))}
    for path, level in {"app_protection": contract["app_protection"], **levels}.items():
        value = raw.get(path, given.get("app_protection"))
        for user, secret in (level["basic_auth"] or {}).items():
            fault = _password_fault(secret, contract["app_secrets"].get(secret))
            if fault:
                problems.add(f"{path}.basic_auth.{user}", fault, value)
        both = sorted({*(level["allow"] or [])} & {*(level["deny"] or [])})
        if both:
            problems.add(f"{path}.deny", f"has {both[0]}, which is also in allow: the smaller network decides", value)


def _password_fault(secret: str, password: Any) -> str | None:
    if not password:
        return f"names {secret}, which has no value: set app_secrets.{secret} from the inventory's vault"
    if isinstance(password, Mapping):
        # Every run that writes an edge's configuration needs it, a rollback too, which must not need the store.
        return f"names {secret}, which is kept in a store of secrets: set app_secrets.{secret} to its value or hash, from the inventory's vault"
    if not is_hash(password) and (len(password.encode()) > LONGEST_PASSWORD or not password.isprintable()):
        return f"names {secret}, which is no password for a browser: at most {LONGEST_PASSWORD} bytes on one line, or a hash made by htpasswd -nB"
    return None


def resolved(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protection of each route and of other paths, with passwords as names and versions of secrets.

    ``app_protection`` is for routes that say nothing, and for paths of a release that the routes no longer have.
    """
    default = _level(contract, contract["app_protection"], _OFF)
    return {
        "default": default,
        "routes": [
            {**{key: route[key] for key in ("host", "path", "assets")}, **_level(contract, route, default)}
            for route in contract["app_routes"]
        ],
    }


def _level(contract: Mapping[str, Any], level: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: default[key] if level[key] is None else level[key] for key in KEYS}
    rate = found["rate_limit"]
    app, secrets = contract["app_name"], contract["app_secrets"]
    return {
        **found,
        "rate_limit": rate and {**rate, "burst": rate["burst"] or rate["requests"]},
        "allow": sorted({*found["allow"]}),
        "deny": sorted({*found["deny"]}),
        "basic_auth": {
            user: secret
            if isinstance(secret, Mapping)
            else {"secret": secret, "version": secret_version(app, secret, secrets[secret])}
            for user, secret in sorted(found["basic_auth"].items())
        },
    }
