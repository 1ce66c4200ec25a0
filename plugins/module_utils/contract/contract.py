# SPDX-License-Identifier: Apache-2.0
"""The contract: the schema and defaults of the ``app_*`` variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import (
    chaos,
    coherence,
    flags,
    gates,
    load_test,
    preview,
    protection,
    rollback,
    rotation,
    secret_reference,
    slo,
)
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    Kind,
    Origin,
    Problems,
    flag,
    mapping,
    number,
    ranges,
    scalar,
    sequence,
    size,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import IDLE_SECONDS
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.module_utils.suggest import closest, did_you_mean

Contract = dict[str, Any]

NAME = (r"[a-z][a-z0-9-]{0,30}", "lower-case letters, digits and '-', a letter first, at most 31 characters")
ENV_NAME = secret_reference.ENV_NAME
TAG = (r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "a tag: letters, digits, '_', '.' and '-'")
URL_PATH = (r"/[^\s{};\"'$\\]*", "a URL path that begins with '/'")
HOST_NAME = (r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", "a DNS name in lower case")

HEALTH = struct(
    {
        "path": text(None, *URL_PATH),  # none: the port must accept a connection
        "status": ranges("200", 100, 599),
        "host": text(None, HOST_NAME[0] + r"(:\d+)?", HOST_NAME[1]),  # none: the host of the service's first route
        "headers": mapping(text(pattern=r"[ -~]*", means="printable ASCII"), {}, r"[A-Za-z0-9-]+", "a header's name"),
        "interval": number(0.3, 0.05, 60),
        "timeout": number(2, 0.1, 60),
        "window": number(60, 1, 3600),
        "successes": number(2, 1, 20, whole=True),
        "min_ready": number(3, 0, 600),  # a worker is ready when it has run this long
    },
    default={},
)

SERVICE = struct(
    {
        "image": text(pattern=r"\S+", means="an image reference without white space"),
        "port": number(None, 1, 65535, whole=True),  # none: a worker or a job
        "schedule": text(None, r"\S.*", "a calendar expression of systemd like '*-*-* 03:00'"),
        "update_order": text("stop_first", choices=("stop_first", "start_first")),
        "strategy": text("blue_green", choices=("blue_green", "recreate")),
        "hosts": sequence(text(), default=None),  # none: all app hosts; a job or singleton service: the first
        "command": sequence(text(), default=None),
        "env": mapping(scalar(), {}, *ENV_NAME),
        # Names; values written here by mistake do not appear in messages.
        "secrets": sequence(
            text(pattern=ENV_NAME[0], means=f"a name of app_secrets: {ENV_NAME[1]}", secret=True), [], secret=True
        ),
        "health": HEALTH,
        "replicas": number(1, 1, 16, whole=True),
        "memory": size(512 * 2**20),
        "cpus": number(0, 0, 256),  # 0: no limit
        "pids": number(512, 16, 65536, whole=True),
        "read_only": flag(True),
        "tmpfs": sequence(text(pattern=r"/[^\s:]+", means="an absolute path"), default=["/tmp"]),  # noqa: S108 - inside the container, and its own
        "capabilities": sequence(text(pattern=r"[A-Z_]+", means="a capability like NET_BIND_SERVICE"), default=[]),
        "stop_grace": number(30, 0, 600),
        "flags": sequence(text(pattern=flags.NAME[0], means=f"a name of app_flags: {flags.NAME[1]}"), default=[]),
    }
)

ROUTE = struct(
    {
        "host": text(None, *HOST_NAME),  # none: any host
        "path": text("/", *URL_PATH),
        "service": text(),
        "verify": text(None, *URL_PATH),  # none: the route's own path
        "assets": text(None, *URL_PATH),
        "timeout": number(IDLE_SECONDS, 1, 86400, whole=True),
        "body_limit": size(None),  # none: the edge's own; 0: no limit
        "buffering": flag(True),
        **protection.KEYS,
    }
)

MIGRATION = struct(
    {
        "engine": text(choices=("prisma", "sql", "command")),
        "service": text(),
        "command": sequence(text(), default=None),
        "status": sequence(text(), default=None),  # of the engine `command`: prints what is pending
        "down": sequence(text(), default=None),  # of the engine `command`: reverts the migrations appended to it
        "path": text(None, r"\S+", "a directory in the image"),
        "database": text("DATABASE_URL", *ENV_NAME),
        "timeout": number(600, 1, 86400),
        "lock_timeout": number(3, 0.1, 3600),
        "statement_timeout": number(None, 1, 86400),  # none: the timeout
        "retries": number(5, 0, 100, whole=True),
        "gate": text("refuse", choices=("refuse", "warn", "off")),
    },
    default=None,
)

CANARY = struct(
    {
        "steps": sequence(number(least=1, most=99, whole=True), default=[10, 50]),
        "interval": number(300, 1, 86400),  # seconds before each check
        "checks": number(3, 1, 100, whole=True),  # at each step, at most
        "analysis": mapping(number(), {}, r"[a-z][a-z0-9_]*", "a setting of the canary's verdict"),
    },
    default=None,
)

WATCH = struct(
    {
        "seconds": number(10, 0, 600),  # 0: real requests are not watched
        "max_errors": number(0.05, 0.001, 1),  # how much more may fail than before the flip
        "min_requests": number(20, 1, 1_000_000, whole=True),
    },
    default={},
)

BACKUP = struct(
    {
        "restore_point": flag(None),  # none: when the app has a migration and the backup engine can set one
        "seconds": number(60, 1, 3600),  # until the restore point is in the archive
        "max_age_hours": number(None, 0.01, 8784),  # none: the age of the newest backup is not checked
        "drill_max_age_hours": number(None, 0.01, 8784),
        "incremental_after_hours": number(None, 0.01, 8784),
    },
    default={},
)

REHEARSAL = struct(
    {
        "service": text(""),  # the service whose image runs the check
        "command": sequence(text(), default=[]),
        "timeout": number(300, 1, 86400),
        "in_deploy": flag(False),
    },
    default={},
)

SEED = struct(
    {"service": text(), "command": sequence(text()), "timeout": number(600, 1, 86400)},
    default=None,
)

VARIABLES: dict[str, Kind] = {
    "app_name": text(REQUIRED, *NAME),
    "app_version": text(REQUIRED, *TAG),
    "app_services": mapping(SERVICE, REQUIRED, *NAME),
    "app_routes": sequence(ROUTE, default=[]),
    "app_protection": struct(protection.KEYS, default={}),
    "app_migration": MIGRATION,
    "app_canary": CANARY,
    "app_watch": WATCH,
    "app_backup": BACKUP,
    "app_rehearsal": REHEARSAL,
    "app_rollback": rollback.ROLLBACK,
    "app_gates": gates.APP_GATES,
    "app_gate_evidence": text("", r"[^\n]*", "a directory of the controller"),
    "app_gate_waivers": gates.APP_GATE_WAIVERS,
    "app_signature": gates.SIGNATURE,
    "app_slo": slo.SLO,
    "app_seed": SEED,
    "app_load_test": load_test.LOAD_TEST,
    "app_chaos": chaos.CHAOS,
    "app_flags": flags.FLAGS,
    "app_rollout": flags.ROLLOUT,
    "app_preview": preview.PREVIEW,
    "app_environment": text("production", *NAME),  # the safe assumption when it is not set
    "app_env": mapping(scalar(), {}, *ENV_NAME),
    "app_secrets": secret_reference.secrets(ENV_NAME),
    "app_secret_sources": secret_reference.SOURCES,
    "app_rotations": rotation.rotations(ENV_NAME),
    "app_confirm_seconds": number(60, 2, 3600),
    "app_drain_seconds": number(30, 0, 3600),
    "app_lease_seconds": number(15, 5, 3600),
    "app_pull_seconds": number(300, 5, 7200),
    "app_port_range": text("20000-20999", r"\d{4,5}-\d{4,5}", "a port range like '20000-20999'"),
    "app_disk_free": size(2**30),
    "app_keep_releases": number(5, 1, 100, whole=True),
}
FREE_USE = "app_extra"
# The version of a secret that was not read: only what makes a release needs it.
UNREAD = "unread"


class ContractError(Exception):
    """The contract is invalid; ``problems`` has a line for each fault."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__("\n".join([problems[0] + more, *problems[1:]]))


def check_names(
    names: Iterable[str], role_variables: Mapping[str, Iterable[str]], origin: Callable[[str], str | None]
) -> list[str]:
    """Return problems with names of variables: unknown ``app_*`` and ``release_*``, near misses of other roles' inputs.

    ``role_variables`` maps each role to its inputs; other names are ignored, since an inventory may hold
    anything. ``origin`` returns where a variable was set.
    """
    problems = Problems()
    known_app = [*VARIABLES, FREE_USE]
    for name in sorted(names):
        where = origin(name)
        suffix = f" (set in {where})" if where else ""
        if name.startswith("app_") and name not in known_app:
            problems.lines.append(
                f"{name} is not a variable of the contract: {did_you_mean(name, known_app, 'app_')}{suffix}"
            )
            continue
        for role, known in role_variables.items():
            inputs = list(known)
            if name.startswith(f"{role}_") and name not in inputs:
                # All release_* names are ours: an unknown one would be ignored, so it is an error even without a near match.
                if role == "release":
                    problems.lines.append(
                        f"{name} is not an input of a release: {did_you_mean(name, inputs, 'release_')}{suffix}"
                    )
                elif match := closest(name, inputs, f"{role}_"):
                    what = "a variable of the environment" if role == "environment" else f"an input of role {role}"
                    problems.lines.append(f"{name} is not {what}: did you mean {match!r}?{suffix}")
                break
    return problems.lines


def resolve(
    variables: Mapping[str, Any], *, needs_version: bool = True, origin: Origin = lambda _unused: None
) -> Contract:
    """Resolve the ``app_*`` variables to the contract with every default filled in; raises ContractError.

    The result is plain data and holds no secret's value: a service's ``secrets`` map names to versions, and ``secret_references`` names
    those that are kept elsewhere.
    """
    return _resolved(read(variables, needs_version=needs_version, origin=origin))


def read(
    variables: Mapping[str, Any], *, needs_version: bool = True, origin: Origin = lambda _unused: None
) -> Contract:
    """Return the ``app_*`` variables as they are, checked and with every default, secrets included; raises ContractError."""
    problems = Problems(origin)
    given = {name: value for name, value in variables.items() if name in VARIABLES}
    if not needs_version:
        given["app_version"] = "none"
    elif given.get("app_version") in (None, ""):
        problems.add("app_version", "is empty: set the version to deploy with -e app_version=... or in APP_VERSION")
        given["app_version"] = "none"
    contract: Contract = struct(VARIABLES).read(given, "", _Unprefixed(problems))
    if problems.lines:
        raise ContractError(problems.lines)
    coherence.check(contract, given, problems)
    if problems.lines:
        raise ContractError(problems.lines)
    return contract


class _Unprefixed(Problems):
    """Writes top-level paths as variable names: ``app_routes[0]`` and not ``.app_routes[0]``."""

    def __init__(self, inner: Problems) -> None:
        super().__init__(inner.origin, inner.lines)

    def add(self, path: str, message: str, value: Any = None) -> None:
        super().add(path.removeprefix("."), message, value)


def _resolved(contract: Contract) -> Contract:
    app, version = contract["app_name"], contract["app_version"]
    used = sorted({secret for service in contract["app_services"].values() for secret in service["secrets"]})
    values = contract["app_secrets"]
    elsewhere = {name: values[name] for name in used if secret_reference.is_reference(values[name])}
    # The version of one that is kept elsewhere is known when it was read: see with_read.
    versions = {name: UNREAD if name in elsewhere else secret_version(app, name, values[name]) for name in used}
    low, high = (int(part) for part in contract["app_port_range"].split("-"))
    routes = contract["app_routes"]
    return {
        "app": app,
        "version": version,
        "services": {
            name: {
                # Without any, a release is what it was before there were flags.
                **{key: value for key, value in service.items() if key != "flags" or value},
                "image": with_tag(service["image"], version),
                "env": {**contract["app_env"], **service["env"]},
                "secrets": {secret: versions[secret] for secret in service["secrets"]},
                "health": {**service["health"], "host": service["health"]["host"] or _first_host(name, routes)},
            }
            for name, service in contract["app_services"].items()
        },
        "secret_references": elsewhere,
        "secrets_in_turns": [name for name, one in elsewhere.items() if secret_reference.takes_turns(one)],
        "rotations": contract["app_rotations"],
        "routes": [
            {
                **{key: value for key, value in route.items() if key not in protection.KEYS},
                "verify": route["verify"] or route["path"],
                "verify_host": route["host"] or _own_host(contract["app_services"][route["service"]], routes),
            }
            for route in routes
        ],
        "protection": protection.resolved(contract),
        "migration": contract["app_migration"],
        "canary": contract["app_canary"],
        "watch": contract["app_watch"],
        "backup": contract["app_backup"],
        "rehearsal": contract["app_rehearsal"],
        "rollback": contract["app_rollback"],
        "gates": gates.resolved(contract),
        "gate_evidence": contract["app_gate_evidence"],
        "gate_waivers": contract["app_gate_waivers"],
        "signature": contract["app_signature"],
        "slo": contract["app_slo"],
        "seed": contract["app_seed"],
        "chaos": contract["app_chaos"],
        "flags": flags.resolved(contract),
        "rollout": contract["app_rollout"],
        "flags_in_code": flags.asked_for(contract),
        "environment": contract["app_environment"],
        "confirm_seconds": contract["app_confirm_seconds"],
        "drain_seconds": contract["app_drain_seconds"],
        "lease_seconds": contract["app_lease_seconds"],
        "pull_seconds": contract["app_pull_seconds"],
        "port_range": [low, high],
        "disk_free": contract["app_disk_free"],
        "keep_releases": contract["app_keep_releases"],
    }


def with_read(contract: Contract, secrets: Mapping[str, Any]) -> Contract:
    """Return the contract with the ``versions`` of secrets that were looked for at their sources, and where they were ``read``.

    ``places`` are references to those versions; ``unseen`` are secrets whose values only the app hosts read.
    """
    versions = secrets.get("versions") or {}
    return {
        **contract,
        "services": {
            name: {**service, "secrets": {**service["secrets"], **_those(versions, service["secrets"])}}
            for name, service in contract["services"].items()
        },
        "secrets_read": dict(secrets.get("read") or {}),
        "secret_places": dict(secrets.get("places") or {}),
        "secrets_unseen": list(secrets.get("unseen") or []),
    }


def _those(versions: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: versions[name] for name in names if name in versions}


def _first_host(service: str, routes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the host name of a service's first route, which most of its requests have."""
    return next((route["host"] for route in routes if route["service"] == service and route["host"]), None)


def _own_host(service: Mapping[str, Any], routes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the host name for requests to a route without a host: health.host of its service, unless another route has that host."""
    host = (service["health"]["host"] or "").partition(":")[0]
    return host if host and all(route["host"] != host for route in routes) else None


def with_tag(image: str, version: str) -> str:
    """Return the image reference to resolve: unchanged when it has a tag or digest, else tagged with the app's version."""
    return image if "@" in image or ":" in image.rsplit("/", 1)[-1] else f"{image}:{version}"


def references(contract: Contract) -> list[str]:
    """Return the distinct image references of a contract."""
    return sorted({service["image"] for service in contract["services"].values()})
