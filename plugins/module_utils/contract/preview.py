# SPDX-License-Identifier: Apache-2.0
"""app_preview: an app of its own for a pull request, made from this one. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Problems,
    mapping,
    number,
    scalar,
    sequence,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.contract.secret_reference import by_host, is_reference

# What a secret of the app becomes: a URL to the preview's own database, to a Redis database of its own, or a value made for it.
KINDS = ("database", "redis", "own")
LONGEST_NAME = 31
REDIS_DATABASES = 15  # of Redis' 16, without the app's own

PREVIEW = struct(
    {
        "host": text("pr-{number}.{host}", r"[a-z0-9.{}-]+", "a host name with {number}, and {host} for a route's own"),
        "secrets": mapping(text(choices=KINDS), {}),
        "scrub": text(None, r"[^\n]+", "a file of SQL in the inventory's folder"),
        "without": sequence(
            text(
                pattern=r'"?[A-Za-z_][\w.$"-]*',
                means="a table by its name as it is written, such as Event or public.events",
            ),
            default=[],
        ),
        "env": mapping(scalar(), {}),
        "max_age_days": number(7, 0.01, 366),
        "data_max_age_days": number(7, 0.01, 366),
        "most": number(5, 1, 100, whole=True),
    },
    default=None,
)


class PreviewError(Exception):
    """There can be no such preview; the message says why."""


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that app_preview fits the app."""
    preview, raw = contract["app_preview"], given.get("app_preview")
    if not preview:
        return
    if "{number}" not in preview["host"]:
        problems.add("app_preview.host", f"is {preview['host']!r}: it must have {{number}}", raw)
    for name in preview["secrets"]:
        if name not in contract["app_secrets"]:
            problems.add(f"app_preview.secrets.{name}", "is not in app_secrets", raw)
        elif is_reference(contract["app_secrets"][name]) and by_host(
            contract["app_secrets"][name], contract["app_secret_sources"]
        ):
            problems.add(
                f"app_preview.secrets.{name}",
                "is read by the app hosts alone (app_secret_sources.vault.secrets_from), and the preview's own is made from its value",
                raw,
            )
    databases = [name for name, kind in preview["secrets"].items() if kind == "database"]
    if len(databases) > 1:
        problems.add("app_preview.secrets", f"has several databases: {', '.join(sorted(databases))}", raw)
    if databases and not preview["scrub"]:
        problems.add("app_preview.scrub", "is missing: a copy of the data is scrubbed first, by a file of SQL", raw)


def parse(given: Any) -> int:
    """Return the number of a pull request. Raises PreviewError for any other text: it becomes part of names and commands."""
    said = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""
    if not re.fullmatch(r"[1-9][0-9]{0,5}", said, re.ASCII):
        shown = repr(given)[:40]
        raise PreviewError(f"preview is {shown}: it must be the number of a pull request, 1 to 999999")
    return int(said)


def app_name(app: str, number: int) -> str:
    """Return the preview's name. Raises PreviewError where it would be too long."""
    found = f"{app}-pr-{number}"
    if len(found) > LONGEST_NAME:
        raise PreviewError(f"{found} is longer than {LONGEST_NAME} characters: app_name is too long for previews")
    return found


def numbered(app: str, names: Sequence[str]) -> set[int]:
    """Return the numbers of the app's previews among names of apps."""
    found = (re.fullmatch(rf"{re.escape(app)}-pr-([1-9][0-9]{{0,5}})", name) for name in names)
    return {int(match[1]) for match in found if match}


def database_name(app: str, number: int) -> str:
    """Return the name of a preview's database, which is also its role's: pg_hba.conf lets a role into the database of its own name."""
    return f"{group(app)}_{number}"


def group(app: str) -> str:
    """Return the role that owns what is copied, and whose members are the previews' roles."""
    return f"{app.replace('-', '_')}_preview"


def derived(key: str, app: str, number: int, purpose: str) -> str:
    """Return a secret for one preview, made from one of the app's: whoever has that could make it, and nobody else."""
    return hmac.new(key.encode(), f"sluice preview {app} {number} {purpose}".encode(), hashlib.sha256).hexdigest()[:48]


def secrets(contract: Mapping[str, Any], number: int, values: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that are the preview's own; ``values`` are the app's. Raises PreviewError, without a value."""
    app, found = contract["app_name"], {}
    for name, kind in contract["app_preview"]["secrets"].items():
        value = values[name]
        if kind == "own":
            found[name] = derived(value, app, number, name)
            continue
        try:
            parts = urlsplit(value)
            key, port = unquote(parts.password or ""), parts.port
        except ValueError:
            raise PreviewError(f"app_secrets.{name} is no URL, which app_preview.secrets takes it for") from None
        if not key or not parts.hostname:
            raise PreviewError(f"app_secrets.{name} is no URL with a password, which app_preview.secrets takes it for")
        if kind == "redis":
            found[name] = urlunsplit(parts._replace(path=f"/{1 + number % REDIS_DATABASES}"))
            continue
        own = database_name(app, number)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = f"{own}:{derived(key, app, number, name)}@{host}" + (f":{port}" if port else "")
        found[name] = urlunsplit(parts._replace(netloc=netloc, path=f"/{own}"))
    return found


def database(contract: Mapping[str, Any], number: int, values: Mapping[str, str]) -> dict[str, str] | None:
    """Return the preview's database: its name, its role's password, the database that is copied; None where it has none."""
    name = next((one for one, kind in contract["app_preview"]["secrets"].items() if kind == "database"), None)
    if name is None:
        return None
    own = urlsplit(secrets(contract, number, values)[name])
    source = unquote(urlsplit(values[name]).path.lstrip("/"))
    if not source:
        raise PreviewError(f"app_secrets.{name} names no database to copy")
    return {"name": own.path.lstrip("/"), "password": unquote(own.password or ""), "source": source}


def variables(
    given: Mapping[str, Any], contract: Mapping[str, Any], number: int, values: Mapping[str, str]
) -> dict[str, Any]:
    """Return the ``app_*`` variables that differ for a preview; everything else is the app's. Raises PreviewError.

    ``given`` are the app's as the inventory has them, and ``contract`` the same with every default.
    """
    preview, app = contract["app_preview"], contract["app_name"]
    hosts = {route["host"]: _host(preview["host"], number, route["host"]) for route in contract["app_routes"]}
    routes = [{**route, "host": hosts[route.get("host")]} for route in given.get("app_routes") or []]
    places = [(hosts[route["host"]], route["path"]) for route in contract["app_routes"]]
    if len(places) != len({*places}):
        raise PreviewError("app_preview.host makes two routes the same: put {host} into it")
    migration = given.get("app_migration")
    return {
        "app_name": app_name(app, number),
        "app_environment": "preview",
        "app_services": {
            name: _service(service, hosts, preview["env"]) for name, service in given["app_services"].items()
        },
        "app_routes": routes,
        "app_secrets": {**given.get("app_secrets", {}), **secrets(contract, number, values)},
        "app_migration": {**migration, "gate": "warn"} if migration else None,
        # There is nothing to compare it with, to restore, or to prove: it is what is tried. Nobody signs images before.
        "app_canary": None,
        "app_watch": None,
        "app_slo": None,
        "app_load_test": None,
        "app_chaos": {},
        "app_rotations": {},
        "app_gates": [],
        "app_signature": None,
        "app_backup": {"restore_point": False},
        "app_rehearsal": {},
        "app_rollback": {},
        "app_keep_releases": 1,
        "app_drain_seconds": 1,
    }


def _host(template: str, number: int, host: str | None) -> str:
    if "{host}" in template and not host:
        raise PreviewError("app_preview.host has {host}, and a route has none: write the preview's host name out")
    return template.replace("{number}", str(number)).replace("{host}", host or "")


def _service(service: Mapping[str, Any], hosts: Mapping[str | None, str], env: Mapping[str, str]) -> dict[str, Any]:
    found = {**service, "env": {**(service.get("env") or {}), **env}}
    found.pop("replicas", None)
    health = service.get("health") or {}
    if health.get("host") and health["host"] in hosts:
        found["health"] = {**health, "host": hosts[health["host"]]}
    return found


def expired(used: Mapping[int, float], now: float, days: float) -> list[int]:
    """Return the previews that nobody deployed for so many days; ``used`` is when each was last."""
    return sorted(number for number, at in used.items() if now - at > days * 86400)
