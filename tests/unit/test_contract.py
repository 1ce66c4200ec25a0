# SPDX-License-Identifier: Apache-2.0
"""What the app_* variables may say, and what they mean when they are silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts

Variables = Callable[..., dict[str, Any]]


def problems(variables: dict[str, Any]) -> list[str]:
    with pytest.raises(contracts.ContractError) as caught:
        contracts.resolve(variables)
    return caught.value.problems


def test_the_smallest_app_gets_safe_defaults() -> None:
    contract = contracts.resolve(
        {
            "app_name": "blog",
            "app_version": "v1",
            "app_services": {"web": {"image": "registry.test/blog", "port": 8080}},
        }
    )
    assert contract["services"]["web"] == {
        "image": "registry.test/blog:v1",
        "port": 8080,
        "command": None,
        "env": {},
        "secrets": {},
        "health": {
            "path": None,
            "status": "200",
            "host": None,
            "headers": {},
            "interval": 0.3,
            "timeout": 2.0,
            "window": 60.0,
            "successes": 2,
            "min_ready": 3.0,
        },
        "replicas": 1,
        "memory": 512 * 2**20,
        "cpus": 0.0,
        "pids": 512,
        "read_only": True,
        "tmpfs": ["/tmp"],
        "capabilities": [],
        "stop_grace": 30.0,
        "schedule": None,
        "update_order": "stop_first",
        "hosts": None,
        "strategy": "blue_green",
    }
    assert contract["routes"] == []
    assert contract["migration"] is None
    assert contract["port_range"] == [20000, 20999]


def test_secrets_are_named_by_version_and_their_values_left_behind(contract: dict[str, Any]) -> None:
    assert list(contract["services"]["backend"]["secrets"]) == ["DATABASE_URL"]
    assert "hunter2" not in str(contract)


def test_the_environment_of_the_app_reaches_every_service_and_a_services_own_wins(variables: Variables) -> None:
    services = contracts.resolve(variables(app_env={"LOG_LEVEL": "warn", "REGION": "eu"}))["services"]
    assert services["backend"]["env"] == {"LOG_LEVEL": "info", "REGION": "eu"}
    assert services["frontend"]["env"] == {"LOG_LEVEL": "warn", "REGION": "eu"}


def test_a_route_is_verified_by_its_own_path_unless_told_otherwise(variables: Variables) -> None:
    routes = [{"path": "/api", "service": "backend", "verify": "/api/version"}, {"path": "/", "service": "frontend"}]
    assert [route["verify"] for route in contracts.resolve(variables(app_routes=routes))["routes"]] == [
        "/api/version",
        "/",
    ]


def test_a_service_is_asked_by_the_name_its_users_use(variables: Variables) -> None:
    routes = [
        {"path": "/api", "service": "backend"},
        {"path": "/", "service": "frontend", "host": "b.example.com"},
        {"path": "/", "service": "frontend", "host": "c.example.com"},
    ]
    given = variables(app_routes=routes)
    contract = contracts.resolve(given)
    assert contract["services"]["frontend"]["health"]["host"] == "b.example.com"
    assert contract["services"]["backend"]["health"]["host"] is None
    assert [one["verify_host"] for one in contract["routes"]] == [None, "b.example.com", "c.example.com"]
    # Said for the service, it counts on both ways; where a route of its own has that name, the edge would send it there.
    for host, verified in (("api.example.com:8080", "api.example.com"), ("c.example.com", None)):
        given["app_services"]["backend"]["health"] = {"path": "/ready", "host": host}
        contract = contracts.resolve(given)
        assert contract["services"]["backend"]["health"]["host"] == host
        assert contract["routes"][0]["verify_host"] == verified


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("registry.test:5000/web", "registry.test:5000/web:v1"),
        ("registry.test:5000/web:stable", "registry.test:5000/web:stable"),
        ("registry.test/web@sha256:0123", "registry.test/web@sha256:0123"),
        ("web", "web:v1"),
    ],
)
def test_an_image_without_a_tag_is_taken_at_the_apps_version(image: str, expected: str) -> None:
    assert contracts.with_tag(image, "v1") == expected


def test_images_that_services_share_are_asked_for_once(variables: Variables) -> None:
    services = {name: {"image": "registry.test/web", "port": 80} for name in ("a", "b")}
    contract = contracts.resolve(variables(app_services=services, app_routes=[], app_migration=None))
    assert contracts.references(contract) == ["registry.test/web:v1.0.0"]


@pytest.mark.parametrize("version", [None, ""])
def test_an_empty_version_says_how_to_give_one(variables: Variables, version: str | None) -> None:
    given = {**variables(), "app_version": version}
    assert problems(given) == [
        "app_version is empty: set the version to deploy with -e app_version=... or in APP_VERSION"
    ]


def test_what_is_no_deploy_needs_no_version(variables: Variables) -> None:
    assert contracts.resolve(variables(app_version=None), needs_version=False)["version"] == "none"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"app_name": "My Shop"},
            "app_name is 'My Shop': it must be lower-case letters, digits and '-', a letter first, at most 31 characters",
        ),
        ({"app_name": None}, "app_name is missing"),
        ({"app_version": 1.1}, "app_version must be a string, not 1.1"),
        ({"app_version": "v1/2"}, "app_version is 'v1/2': it must be a tag: letters, digits, '_', '.' and '-'"),
        ({"app_services": []}, "app_services must be a map, not a list"),
        (
            {"app_services": {}, "app_routes": [], "app_migration": None},
            "app_services is empty: an app has at least one service",
        ),
        (
            {"app_routes": [{"path": "api", "service": "backend"}]},
            "app_routes[0].path is 'api': it must be a URL path that begins with '/'",
        ),
        (
            {"app_routes": [{"path": "/", "service": "backned"}]},
            "app_routes[0].service is 'backned': did you mean 'backend'?",
        ),
        ({"app_routes": [{"path": "/"}]}, "app_routes[0].service is missing"),
        (
            {"app_routes": [{"path": "/", "service": "backend"}, {"service": "frontend"}]},
            "app_routes[1] repeats the host and path of app_routes[0]",
        ),
        (
            {"app_routes": [{"host": "Shop.example", "service": "backend"}]},
            "app_routes[0].host is 'Shop.example': it must be a DNS name in lower case",
        ),
        (
            {"app_migration": {"engine": "prism", "service": "backend"}},
            "app_migration.engine is 'prism': did you mean 'prisma'?",
        ),
        (
            {"app_migration": {"engine": "prisma", "service": "db"}},
            "app_migration.service is 'db': known: backend, frontend",
        ),
        (
            {"app_migration": {"engine": "command", "service": "backend"}},
            "app_migration.command is missing: the engine 'command' runs it in the image",
        ),
        (
            {"app_migration": {"engine": "sql", "service": "backend"}},
            "app_migration.path is missing: the engine 'sql' reads its files there, in the image",
        ),
        (
            {"app_migration": {"engine": "prisma", "service": "backend", "status": ["x"]}},
            "app_migration.status is only for the engine 'command': remove it",
        ),
        (
            {"app_migration": {"engine": "prisma", "service": "backend", "database": "DB_URL"}},
            "app_migration.database is 'DB_URL', which is not in env or secrets of service backend: it names the variable with the "
            "database's URL",
        ),
        (
            {"app_migration": {"engine": "prisma", "service": "backend", "gate": "wran"}},
            "app_migration.gate is 'wran': did you mean 'warn'?",
        ),
        (
            {"app_secrets": {}},
            "app_services.backend.secrets names DATABASE_URL, which has no value: set app_secrets.DATABASE_URL, from the inventory's vault or another source",
        ),
        (
            {"app_secrets": {"DATABASE_URL": ""}},
            "app_services.backend.secrets names DATABASE_URL, which has no value: set app_secrets.DATABASE_URL, from the inventory's vault or another source",
        ),
        (
            {"app_env": {"DATABASE_URL": "x"}},
            "app_services.backend.env sets DATABASE_URL, which is also a secret: keep it in one place",
        ),
        ({"app_port_range": "30000-20000"}, "app_port_range is '30000-20000': it must rise and lie in 1024-65535"),
        ({"app_confirm_seconds": 0}, "app_confirm_seconds is 0: it must be 2 to 3600"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(
    variables: Variables, changes: dict[str, Any], problem: str
) -> None:
    given = {**variables(), **changes}
    assert problems({name: value for name, value in given.items() if value is not None}) == [problem]


def test_a_misspelt_key_deep_down_is_named_with_its_path(variables: Variables) -> None:
    given = variables()
    given["app_services"]["backend"]["health"] = {"paht": "/ready"}
    assert problems(given) == ["app_services.backend.health.paht is not known: did you mean 'path'?"]


@pytest.mark.parametrize("path", ["/a b", "/a;", "/{x}", '/"', "/$x", "/a\nb"])
def test_a_path_that_would_break_out_of_the_edges_configuration_is_refused(variables: Variables, path: str) -> None:
    assert problems(variables(app_routes=[{"path": path, "service": "backend"}]))


def test_several_problems_are_counted_in_the_first_line(variables: Variables) -> None:
    error = contracts.ContractError(["a is wrong", "b is wrong", "c is wrong"])
    assert str(error).split("\n") == ["a is wrong (and 2 more)", "b is wrong", "c is wrong"]


ROLES = {
    "nginx": ["nginx_http_port", "nginx_user"],
    "release": ["release_to", "release_exclude_hosts"],
    "docker_host": ["docker_host_registries"],
}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("app_nmae", "app_nmae is not a variable of the contract: did you mean 'app_name'? (set in hosts.yml)"),
        (
            "nginx_htp_port",
            "nginx_htp_port is not an input of role nginx: did you mean 'nginx_http_port'? (set in hosts.yml)",
        ),
        (
            "docker_host_registeries",
            "docker_host_registeries is not an input of role docker_host: did you mean 'docker_host_registries'? (set in hosts.yml)",
        ),
        (
            "release_exclude_host",
            "release_exclude_host is not an input of a release: did you mean 'release_exclude_hosts'? (set in hosts.yml)",
        ),
        (
            "release_force",
            "release_force is not an input of a release: known: release_exclude_hosts, release_to (set in hosts.yml)",
        ),
    ],
)
def test_a_misspelt_name_is_refused_with_a_suggestion_and_its_place(name: str, problem: str) -> None:
    assert contracts.check_names([name], ROLES, lambda name: "hosts.yml") == [problem]


@pytest.mark.parametrize(
    "name",
    [
        "app_name",
        "app_extra",
        "application",
        "nginx_http_port",
        "nginx_company_banner",
        "docker_hosts",
        "release_to",
        "my_app_name",
        "stack_address",
    ],
)
def test_known_names_and_names_that_are_not_ours_are_left_alone(name: str) -> None:
    assert contracts.check_names([name], ROLES, lambda name: None) == []


def problems_of(app: dict[str, Any], **service: Any) -> str:
    """What is wrong with an app that has one more service."""
    app["app_services"]["more"] = {"image": "example/more", **service}
    try:
        contracts.resolve(app)
    except contracts.ContractError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        ({}, ""),
        ({"schedule": "*-*-* 03:00", "hosts": ["app1"]}, ""),
        ({"update_order": "start_first", "replicas": 2}, ""),
        ({"port": 80, "schedule": "daily"}, "app_services.more.schedule is for services without a port"),
        ({"port": 80, "hosts": ["app1", "app2"]}, ""),
        ({"port": 80, "hosts": []}, "app_services.more.hosts is empty: name hosts, or remove it"),
        ({"port": 80, "health": {"status": "200-399", "headers": {"X-Forwarded-Proto": "https"}}}, ""),
        (
            {"port": 80, "health": {"status": "399-200"}},
            "app_services.more.health.status is '399-200': it must be 100 to 599",
        ),
        (
            {"port": 80, "health": {"host": "Example"}},
            "app_services.more.health.host is 'Example': it must be a DNS name",
        ),
        ({"port": 80, "health": {"hots": "a"}}, "app_services.more.health.hots is not known: did you mean 'host'?"),
        (
            {"port": 80, "health": {"headers": {"host": "a"}}},
            "app_services.more.health.headers sets Host: set health.host instead",
        ),
        (
            {"port": 80, "health": {"headers": {"X-A": "a\r\nX-B: b"}}},
            "app_services.more.health.headers.X-A is 'a\\r\\nX-B: b': it must be printable ASCII",
        ),
        ({"health": {"path": "/ready"}}, "app_services.more.health.path needs a port"),
        (
            {"schedule": "daily", "hosts": ["a", "b"]},
            "app_services.more.hosts names several hosts: a job runs on one host",
        ),
        ({"schedule": "daily", "replicas": 2}, "app_services.more.replicas is 2: a job runs once"),
        ({"port": 80, "strategy": "recreate", "hosts": ["app1"]}, ""),
        ({"port": 80, "strategy": "rolling"}, "app_services.more.strategy is 'rolling'"),
        (
            {"strategy": "recreate"},
            "app_services.more.strategy is for services with a port: a worker has 'update_order'",
        ),
        (
            {"port": 80, "strategy": "recreate", "replicas": 2},
            "app_services.more.replicas is 2: a singleton service runs",
        ),
        (
            {"port": 80, "strategy": "recreate", "hosts": ["a", "b"]},
            "app_services.more.hosts names several hosts: a singleton service runs on one host",
        ),
        ({"update_order": "both"}, "app_services.more.update_order is 'both'"),
    ],
)
def test_a_service_is_for_the_web_a_worker_or_a_job(
    variables: Variables, service: dict[str, Any], problem: str
) -> None:
    found = problems_of(variables(), **service)
    assert found.startswith(problem) if problem else found == ""


def test_requests_go_to_no_worker(variables: Variables) -> None:
    app = variables()
    app["app_services"]["backend"].pop("port")
    app["app_services"]["backend"]["health"] = {}
    with pytest.raises(contracts.ContractError, match=r"app_routes\[0\].service is 'backend', which has no port"):
        contracts.resolve(app)


def test_a_canarys_settings_are_read_as_its_verdict_wants_them(variables: Variables) -> None:
    judge = {"min_requests": 400, "block_seconds": 1, "max_p99_seconds": "2.5"}
    found = contracts.resolve(variables(app_canary={"steps": [30], "analysis": judge}))["canary"]
    assert found["steps"] == [30] and found["interval"] == 300
    assert found["analysis"] == {"min_requests": 400, "block_seconds": 1, "max_p99_seconds": 2.5}


@pytest.mark.parametrize(
    ("canary", "problem"),
    [
        ({"steps": [50, 10]}, "app_canary.steps must rise from step to step"),
        ({"steps": []}, "app_canary.steps must rise from step to step"),
        ({"analysis": {"min_request": 5}}, "canary setting min_request is not known: did you mean 'min_requests'?"),
        ({"analysis": {"checks": 2.5}}, "canary setting checks is 2.5: it must be a whole number"),
    ],
)
def test_a_canary_that_cannot_be_meant(variables: Variables, canary: dict[str, Any], problem: str) -> None:
    assert problem in problems(variables(app_canary=canary))[0]
