# SPDX-License-Identifier: Apache-2.0
"""How the edge protects routes: what the contract may say, what it becomes, and when it takes effect. tests/edge asks a real Nginx."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge import htpasswd, install, passwords
from ansible_collections.sluice.stack.plugins.module_utils.edge.changes import reasons
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import render_app

Variables = Callable[..., dict[str, Any]]

SECRETS = {"DATABASE_URL": "postgresql://shop:hunter2@db/shop", "STAGING": "correct horse"}
NOTHING = {"rate_limit": {}, "connection_limit": 0, "allow": [], "deny": [], "basic_auth": {}}
HOSTS = {"app1": "10.0.0.21"}


def routes(**more: Any) -> list[dict[str, Any]]:
    """Two routes; ``more`` is for the first one."""
    return [{"path": "/api", "service": "backend", **more}, {"path": "/", "service": "frontend"}]


def rules(contract: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["path"]: {key: rule[key] for key in NOTHING} for rule in contract["protection"]["routes"]}


# the contract


def test_nothing_is_protected_unless_asked_for(variables: Variables) -> None:
    contract = contracts.resolve(variables())
    assert contract["protection"]["default"] == NOTHING
    assert rules(contract) == {"/api": NOTHING, "/": NOTHING}


def test_a_route_takes_what_it_does_not_say_from_the_app(variables: Variables) -> None:
    everywhere = {"rate_limit": {"requests": 20}, "allow": ["192.0.2.7"], "basic_auth": {"team": "STAGING"}}
    own = {"rate_limit": False, "allow": [], "connection_limit": 5}
    contract = contracts.resolve(variables(app_protection=everywhere, app_routes=routes(**own), app_secrets=SECRETS))
    default = contract["protection"]["default"]
    assert default["rate_limit"] == {"requests": 20, "per": "second", "burst": 20}
    assert default["allow"] == ["192.0.2.7/32"]
    found = rules(contract)
    assert found["/"] == default
    assert found["/api"] == {**default, "rate_limit": {}, "allow": [], "connection_limit": 5}
    assert "correct horse" not in str(contract)


def test_protection_is_no_part_of_a_release(variables: Variables) -> None:
    plain = contracts.resolve(variables(app_routes=routes()))
    protected = contracts.resolve(
        variables(app_routes=routes(rate_limit={"requests": 1}), app_protection={"deny": ["192.0.2.7"]})
    )
    assert plain["routes"] == protected["routes"]
    assert plain["protection"] != protected["protection"]


@pytest.mark.parametrize(
    ("protection", "problem"),
    [
        ({"rate_limit": 20}, "app_protection.rate_limit must be a map, not 20"),
        ({"rate_limit": {}}, "app_protection.rate_limit.requests is missing"),
        ({"rate_limit": {"requests": 0}}, "app_protection.rate_limit.requests is 0: it must be 1 to 100000"),
        (
            {"rate_limit": {"requests": 1, "per": "hour"}},
            "app_protection.rate_limit.per is 'hour': known: minute, second",
        ),
        (
            {"rate_limit": {"requests": 1, "bursts": 2}},
            "app_protection.rate_limit.bursts is not known: did you mean 'burst'?",
        ),
        ({"rate_limt": {}}, "app_protection.rate_limt is not known: did you mean 'rate_limit'?"),
        ({"connection_limit": -1}, "app_protection.connection_limit is -1: it must be 0 to 100000"),
        ({"allow": "192.0.2.7"}, "app_protection.allow must be a list, not '192.0.2.7'"),
        (
            {"allow": ["example.com"]},
            "app_protection.allow[0] is 'example.com': write an address or a network, like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        ),
        (
            {"deny": ["192.0.2.7/24"]},
            "app_protection.deny[0] is '192.0.2.7/24', which is neither one address nor a network: write 192.0.2.7 or 192.0.2.0/24",
        ),
        (
            {"allow": ["192.0.2.7", "10.0.0.0/8"], "deny": ["192.0.2.7/32"]},
            "app_protection.deny has 192.0.2.7/32, which is also in allow: the smaller network decides",
        ),
        (
            {"basic_auth": {"team": "hunter2!"}},
            "app_protection.basic_auth.team is a string: it must be a name of app_secrets",
        ),
        (
            {"basic_auth": {"te:am": "STAGING"}},
            "app_protection.basic_auth.te:am is not a valid name: it must be letters, digits, '.', '_', '@' and '-'",
        ),
        (
            {"basic_auth": {"team": "OTHER"}},
            "app_protection.basic_auth.team names OTHER, which has no value: set app_secrets.OTHER from the inventory's vault",
        ),
        (
            {"basic_auth": {"team": "STORED"}},
            "app_protection.basic_auth.team names STORED, which is kept in a store of secrets: set app_secrets.STORED to its value or hash, "
            "from the inventory's vault",
        ),
    ],
)
def test_a_wrong_value_is_named(variables: Variables, protection: dict[str, Any], problem: str) -> None:
    with pytest.raises(contracts.ContractError) as caught:
        contracts.resolve(variables(app_protection=protection, app_secrets={**SECRETS, "STORED": {"env": "STORED"}}))
    assert caught.value.problems == [problem]


@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37, "two\nlines", "tab\t"])
def test_a_password_that_a_browser_cannot_send_is_refused_and_not_shown(variables: Variables, password: str) -> None:
    given = variables(app_routes=routes(basic_auth={"team": "STAGING"}), app_secrets={**SECRETS, "STAGING": password})
    with pytest.raises(contracts.ContractError) as caught:
        contracts.resolve(given)
    assert caught.value.problems == [
        "app_routes[0].basic_auth.team names STAGING, which is no password for a browser: at most 72 bytes on one line, or a hash made by "
        "htpasswd -nB"
    ]


# the configuration


def release(*paths: tuple[str, str]) -> dict[str, Any]:
    table = [
        {"host": None, "path": path, "service": service, "verify": path, "assets": None} for path, service in paths
    ]
    names = {service for _unused, service in paths}
    ports = {name: {"blue": [20000], "green": [20001]} for name in names}
    return {"id": "r", "app": "shop", "services": {name: {} for name in names}, "routes": table, "ports": ports}


def location(text: str, path: str) -> str:
    found = re.search(rf"^    location {re.escape(path)} \{{\n(.*?)^    \}}", text, re.M | re.S)
    assert found, path
    return found[1]


def rule(path: str, **more: Any) -> dict[str, Any]:
    return {"host": None, "path": path, "assets": None, **NOTHING, **more}


RATE = {"requests": 5, "per": "minute", "burst": 3}


def render(protection: dict[str, Any], *paths: tuple[str, str]) -> str:
    return render_app(None, release(*paths), HOSTS, protection={"default": NOTHING, "routes": [], **protection})


def test_without_protection_the_configuration_is_what_it_was() -> None:
    both = release(("/", "frontend"), ("/api", "backend"))
    text = render_app(None, both, HOSTS)
    assert text == render({"routes": [rule("/"), rule("/api")]}, ("/", "frontend"), ("/api", "backend"))
    assert not re.search(r"limit_|geo |auth_basic|request_uri", text)


def test_a_path_and_everything_below_it_are_counted_together() -> None:
    text = render({"routes": [rule("/"), rule("/api", rate_limit=RATE)]}, ("/", "frontend"), ("/api", "backend"))
    (zone,) = re.findall(r"^limit_req_zone \$sluice_client zone=(\w+):4m rate=5r/m;$", text, re.M)
    for path in ("= /api", "/api/"):
        assert f"limit_req zone={zone} burst=2 nodelay;" in location(text, path)
        assert "set $sluice_wait 12;" in location(text, path)
    assert "limit_req" not in location(text, "/")


def test_a_burst_of_one_is_none() -> None:
    text = render({"routes": [rule("/", rate_limit={**RATE, "burst": 1})]}, ("/", "frontend"))
    assert re.search(r"limit_req zone=\w+;", location(text, "/"))


def test_a_path_the_contract_does_not_have_takes_the_rule_above_it() -> None:
    """As in an older release that is rolled back to."""
    guarded = rule("/", deny=["192.0.2.7/32"])
    old = (("/", "frontend"), ("/api", "backend"))
    for protection in ({"routes": [guarded]}, {"default": guarded, "routes": [rule("/new")]}):
        text = render(protection, *old)
        assert all("$sluice_denied_" in location(text, path) for path in ("/", "/api/"))


@pytest.mark.parametrize(
    ("protected", "services", "evadable"),
    [
        (True, ("web", "web"), True),
        (True, ("frontend", "backend"), False),  # the other service does not answer there
        (False, ("web", "web"), False),
    ],
)
def test_other_spellings_of_a_path_matter_where_one_service_answers_both(
    protected: bool, services: tuple[str, str], evadable: bool
) -> None:
    limit = {"rate_limit": RATE} if protected else {}
    text = render({"routes": [rule("/"), rule("/api", **limit)]}, ("/", services[0]), ("/api", services[1]))
    assert ("(?i:/api)" in text, "if ($request_uri" in text) == (evadable, evadable)


def test_an_app_with_a_hyphen_has_names_that_nginx_can_read() -> None:
    guarded = {"routes": [rule("/", rate_limit=RATE, connection_limit=1, allow=["10.0.0.0/8"], deny=["10.1.0.0/16"])]}
    text = render_app(None, {**release(("/", "web")), "app": "my-shop"}, HOSTS, protection=guarded)
    assert not re.search(r"\$\w*-", text)
    assert "    default 1;\n    10.0.0.0/8 0;\n    10.1.0.0/16 1;\n" in text


# passwords


def protected_by(**users: str) -> dict[str, Any]:
    return {
        "default": {
            **NOTHING,
            "basic_auth": {user: {"secret": secret, "version": "1"} for user, secret in users.items()},
        },
        "routes": [],
    }


def test_a_password_is_hashed_the_same_way_in_every_run() -> None:
    first = htpasswd.files("shop", protected_by(team="STAGING", boss="STAGING"), SECRETS)
    assert first == htpasswd.files("shop", protected_by(boss="STAGING", team="STAGING"), SECRETS)
    ((name, text),) = first.items()
    lines = dict(line.split(":") for line in text.splitlines())
    assert list(lines) == ["boss", "team"] and lines["boss"] != lines["team"], "a salt each"
    for made in lines.values():
        assert made.startswith("$2b$05$")
        assert bcrypt.checkpw(b"correct horse", made.encode()) and not bcrypt.checkpw(b"correct hors", made.encode())
    assert list(htpasswd.files("shop", protected_by(team="STAGING", boss="STAGING"), {"STAGING": "another"})) == [name]
    assert list(htpasswd.files("shop", protected_by(team="STAGING"), SECRETS)) != [name]


@pytest.mark.parametrize(
    "made",
    [
        "$2y$05$xD4YBGdHYm7xWF1OXzuVjenupRl3ej4zdwsjIljkTYjdm/iUYWQYq",
        "$6$rounds=1000$abc$Zs5o5qDqYmY4sQ6a8pBe0Rj1bCqvJ9y1o3Kxw0nQfQm1",
    ],
)
def test_a_hash_is_kept_as_it_is(made: str) -> None:
    assert list(htpasswd.files("shop", protected_by(team="HASH"), {"HASH": made}).values()) == [f"team:{made}\n"]


def test_without_bcrypt_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htpasswd, "bcrypt", None)
    with pytest.raises(htpasswd.PasswordError, match="needs the Python package bcrypt on the controller"):
        htpasswd.files("shop", protected_by(team="STAGING"), SECRETS)


def test_files_of_passwords_are_for_the_workers_only_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "EDGE_CONFIGS", str(tmp_path))
    monkeypatch.setattr(install, "GROUP", "root")
    (tmp_path / "shop-two.1.users").write_text("x")
    wanted = {"shop.1.users": "a"}
    assert install.stale_passwords("shop", wanted)
    install.put_passwords(wanted)
    assert not install.stale_passwords("shop", wanted)
    assert (tmp_path / "shop.1.users").stat().st_mode & 0o777 == 0o640
    assert install.stale_passwords("shop", {"shop.1.users": "b"}) and install.stale_passwords("shop", {})
    install.drop_passwords("shop", {})
    assert [path.name for path in tmp_path.iterdir()] == ["shop-two.1.users"]


# the plan


def protect(fleet: Any, **protection: Any) -> None:
    fleet.variables |= {"app_secrets": dict(SECRETS), "app_protection": protection}


def test_a_changed_protection_is_one_reload_of_the_live_release_and_says_what(fleet: Any) -> None:
    live = fleet.run()["manifest"]["id"]
    protect(fleet, rate_limit={"requests": 20}, connection_limit=10, deny=["192.0.2.7"], basic_auth={"team": "STAGING"})
    plan = fleet.run()
    assert (plan["manifest"]["id"], list(plan["targets"])) == (live, ["configure"])
    (line,) = [line for line in plan["lines"] if "configure" in line]
    kinds = "(rate limit, connection limit, networks, passwords)"
    assert line.endswith(f"edge1: route / changes {kinds}; route /api/ changes {kinds}; one reload of Nginx")
    assert fleet.plan()["status"] == "nothing"
    for change, kind in (
        ({"rate_limit": {"requests": 30}}, "rate limit"),
        ({"connection_limit": 11}, "connection limit"),
        ({"deny": ["192.0.2.8"]}, "networks"),
        ({"basic_auth": {"team": "DATABASE_URL"}}, "passwords"),
    ):
        fleet.variables["app_protection"] |= change
        assert f"route / changes ({kind})" in str(fleet.run()["lines"])
    fleet.variables["app_secrets"]["DATABASE_URL"] += "?x"
    assert "route / changes (passwords)" in str(fleet.plan()["lines"]), "another password"


def test_a_rollback_takes_nothing_back(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    protect(fleet, deny=["192.0.2.7"])
    fleet.run()
    back = fleet.run("rollback")
    assert back["manifest"]["version"] == "v1.0.0" and "192.0.2.7/32 1;" in back["edge_config"]
    assert "configure" not in back["targets"], "there is nothing to reload"


def test_a_lost_file_of_passwords_is_put_back(fleet: Any) -> None:
    protect(fleet, basic_auth={"team": "STAGING"})
    text = fleet.run()["edge_config"]
    assert passwords.paths(text) == {
        f"/etc/nginx/sluice/{name}"
        for name in htpasswd.files("shop", contracts.resolve(fleet.variables)["protection"], SECRETS)
    }
    fleet.observed["edge1"]["edge"]["config"] = text + passwords.MISSING
    assert "edge1: a file of passwords is missing" in str(fleet.plan()["lines"])
    assert reasons(text, text, {}) == []
