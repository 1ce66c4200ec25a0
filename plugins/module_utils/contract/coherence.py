# SPDX-License-Identifier: Apache-2.0
"""Checks across values of the contract: whether its parts fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from ansible_collections.sluice.stack.plugins.module_utils.contract import (
    flags,
    gates,
    load_test,
    preview,
    protection,
    rollback,
    rotation,
    secret_reference,
)
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Problems,
)
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import kind
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check the references between the parts."""
    services = contract["app_services"]
    if not services:
        problems.add("app_services", "is empty: an app has at least one service", given["app_services"])
    for name, service in services.items():
        path = f"app_services.{name}"
        raw = given["app_services"][name]
        for secret in service["secrets"]:
            if not contract["app_secrets"].get(secret):
                problems.add(
                    f"{path}.secrets",
                    f"names {secret}, which has no value: set app_secrets.{secret}, from the inventory's vault or another source",
                    raw,
                )
            if secret in service["env"] or secret in contract["app_env"]:
                problems.add(f"{path}.env", f"sets {secret}, which is also a secret: keep it in one place", raw)
        _check_kind(path, service, raw, problems)
    used = {secret for service in services.values() for secret in service["secrets"]}
    values = contract["app_secrets"]
    elsewhere = {name: values[name] for name in sorted(used) if secret_reference.is_reference(values.get(name))}
    secret_reference.check(elsewhere, contract["app_secret_sources"], problems, given)
    seen: dict[tuple[str | None, str], int] = {}
    for index, route in enumerate(contract["app_routes"]):
        path, raw = f"app_routes[{index}]", given["app_routes"][index]
        if route["service"] not in services:
            problems.add(f"{path}.service", f"is {route['service']!r}: {did_you_mean(route['service'], services)}", raw)
        elif not services[route["service"]]["port"]:
            problems.add(f"{path}.service", f"is {route['service']!r}, which has no port to send requests to", raw)
        key = (route["host"], route["path"])
        if key in seen:
            problems.add(path, f"repeats the host and path of app_routes[{seen[key]}]", raw)
        seen.setdefault(key, index)
    migration = contract["app_migration"]
    if migration:
        if migration["service"] not in services:
            problems.add(
                "app_migration.service",
                f"is {migration['service']!r}: {did_you_mean(migration['service'], services)}",
                given["app_migration"],
            )
        _check_migration(migration, contract, given, problems)
    protection.check(contract, given, problems)
    load_test.check(contract, given, problems)
    rollback.check(contract, given, problems)
    rotation.check(contract, given, problems)
    gates.check(contract, given, problems)
    flags.check(contract, given, problems)
    preview.check(contract, given, problems)
    _check_commands(contract, given, problems)
    _check_canary(contract["app_canary"], given, problems)
    low, high = (int(part) for part in contract["app_port_range"].split("-"))
    if not 1024 <= low < high <= 65535:
        problems.add(
            "app_port_range",
            f"is {contract['app_port_range']!r}: it must rise and lie in 1024-65535",
            given.get("app_port_range"),
        )


def _check_migration(
    migration: Mapping[str, Any], contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems
) -> None:
    """Check the settings of the migration engine."""
    raw, engine = given["app_migration"], migration["engine"]
    if engine == "command" and not migration["command"]:
        problems.add("app_migration.command", "is missing: the engine 'command' runs it in the image", raw)
    if engine == "sql" and not migration["path"]:
        problems.add("app_migration.path", "is missing: the engine 'sql' reads its files there, in the image", raw)
    if engine != "command":
        for key in ("status", "down"):
            if migration[key]:
                problems.add(f"app_migration.{key}", "is only for the engine 'command': remove it", raw)
    service = contract["app_services"].get(migration["service"])
    named = {*service["env"], *service["secrets"], *contract["app_env"]} if service else set()
    if service and engine != "command" and migration["database"] not in named:
        problems.add(
            "app_migration.database",
            f"is {migration['database']!r}, which is not in env or secrets of service {migration['service']}: it names the variable "
            "with the database's URL",
            raw,
        )


def _check_kind(path: str, service: Mapping[str, Any], raw: Any, problems: Problems) -> None:
    """Check a service's keys: a web service has a port, a job a schedule, a worker neither; each has keys the others lack."""
    given = raw if isinstance(raw, Mapping) else {}
    if service["port"]:
        for key in ("schedule", "update_order"):
            if given.get(key) is not None:
                problems.add(f"{path}.{key}", "is for services without a port: remove one of the two", raw)
        if "host" in (name.lower() for name in service["health"]["headers"]):
            problems.add(f"{path}.health.headers", "sets Host: set health.host instead", raw)
    else:
        if service["health"]["path"]:
            problems.add(f"{path}.health.path", "needs a port", raw)
        if given.get("strategy") is not None:
            problems.add(f"{path}.strategy", "is for services with a port: a worker has 'update_order'", raw)
    if service["hosts"] is not None and not service["hosts"]:
        problems.add(f"{path}.hosts", "is empty: name hosts, or remove it", raw)
    if kind(service) in ("job", "singleton"):
        one = "a job" if service["schedule"] else "a singleton service"
        if len(service["hosts"] or []) > 1:
            problems.add(f"{path}.hosts", f"names several hosts: {one} runs on one host", raw)
        if service["replicas"] != 1:
            problems.add(f"{path}.replicas", f"is {service['replicas']}: {one} runs once", raw)


def _check_commands(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that a command's service exists."""
    services, rehearsal = contract["app_services"], contract["app_rehearsal"]
    if bool(rehearsal["service"]) != bool(rehearsal["command"]):
        problems.add(
            "app_rehearsal",
            "needs both service and command, or neither: the check runs the command in the service's image",
            given["app_rehearsal"],
        )
    for variable in ("app_rehearsal", "app_seed"):
        service = (contract[variable] or {}).get("service")
        if service and service not in services:
            problems.add(f"{variable}.service", f"is {service!r}: {did_you_mean(service, services)}", given[variable])


def _check_canary(canary: Mapping[str, Any] | None, given: Mapping[str, Any], problems: Problems) -> None:
    if not canary:
        return
    if not canary["steps"] or sorted(set(canary["steps"])) != canary["steps"]:
        problems.add(
            "app_canary.steps",
            "must rise from step to step: clients of the new release stay on it",
            given["app_canary"],
        )
    try:
        Settings.from_data(canary["analysis"])
    except SettingsError as error:
        problems.add("app_canary.analysis", f"is wrong: {error}", given["app_canary"])
