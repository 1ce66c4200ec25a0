# SPDX-License-Identifier: Apache-2.0
"""Environments differ in exactly what their matrix says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.environments import compare, matrix, show
from ansible_collections.sluice.stack.plugins.module_utils.environments.compare import Environment, Held
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result

GIVEN: dict[str, Any] = {
    "environments": ["dev", "production"],
    "variables": {
        "LOG_LEVEL": {"about": "How much is said.", "values": {"dev": "debug", "production": "info"}},
        "TOKEN": {"secret": True, "source": {"production": "vault"}, "example": "a b"},
        "FLAGS": {"required": ["production"]},
    },
    "differ": ["app_services.*.replicas", "app_routes[*].host"],
}
RULES = matrix.read(GIVEN)
SECRET = Held(secret=True, source="inventory", place="inventory", fingerprint="aa")
DEV = Environment("dev", {"LOG_LEVEL": Held("debug"), "TOKEN": SECRET}, {"app_services.web.replicas": "1"})
VAULT = replace(SECRET, source="vault", place="vault shop/token", fingerprint="bb")
PRODUCTION = Environment(
    "production",
    {"LOG_LEVEL": Held("info"), "TOKEN": VAULT, "FLAGS": Held("a")},
    {"app_services.web.replicas": "2"},
)


def judged(production: dict[str, Any] | None = None, dev: dict[str, Any] | None = None) -> list[Result]:
    """The findings where some variables are others; None: it has none."""
    changed = []
    for one, change in ((DEV, dev), (PRODUCTION, production)):
        variables = {name: held for name, held in {**one.variables, **(change or {})}.items() if held is not None}
        changed.append(replace(one, variables=variables))
    return compare.judge(RULES, changed)


def test_environments_that_are_as_it_says() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("change", "name", "state", "evidence"),
    [
        ({"LOG_LEVEL": None}, "LOG_LEVEL", "failed", "production has none"),
        ({"LOG_LEVEL": Held("debug")}, "LOG_LEVEL", "failed", "production has 'debug', the matrix 'info'"),
        ({"FLAGS": None}, "FLAGS", "failed", "production has none"),
        ({"NEW": Held("1")}, "NEW", "failed", "production has it, the matrix does not"),
        ({"TOKEN": Held("hunter2")}, "TOKEN", "failed", "production has a plain value"),
        ({"LOG_LEVEL": SECRET}, "LOG_LEVEL", "failed", "production has a secret"),
        ({"TOKEN": replace(VAULT, fingerprint="aa")}, "TOKEN", "failed", "dev and production have the same"),
        (
            {"TOKEN": replace(SECRET, fingerprint="cc")},
            "TOKEN",
            "failed",
            "production keeps it in inventory, the matrix in vault",
        ),
        (
            {"TOKEN": replace(VAULT, problem="permission denied")},
            "TOKEN",
            "failed",
            "production cannot be read: permission denied",
        ),
        (
            {"TOKEN": replace(VAULT, problem="no key", locked=True)},
            "TOKEN",
            "unknown",
            "production cannot be read: no key",
        ),
    ],
)
def test_each_thing_that_is_not(change: dict[str, Any], name: str, state: str, evidence: str) -> None:
    (found,) = judged(change)
    assert (found.name, found.state, found.evidence) == (name, state, evidence)
    assert found.fix


def test_what_is_wrong_alike_is_one_line() -> None:
    (found,) = judged({"LOG_LEVEL": None}, {"LOG_LEVEL": None})
    assert found.evidence == "dev, production has none"


def test_what_is_optional_may_be_absent_and_what_is_unread_is_not_the_same() -> None:
    unread = replace(SECRET, fingerprint="")
    assert judged(dev={"FLAGS": Held("a")}) == []
    assert judged({"TOKEN": replace(unread, source="vault")}, {"TOKEN": unread}) == []


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("app_services.web.replicas", True),
        ("app_routes[0].host", True),
        ("app_routes[12].host", True),
        ("app_services.web.memory", False),
        ("app_routes[0].host_name", False),
        ("app_routes[0].path", False),
        ("app_services.web.replicas_max", False),
    ],
)
def test_settings_that_may_differ(path: str, allowed: bool) -> None:
    found = compare.judge(RULES, [replace(DEV, settings={path: "1"}), replace(PRODUCTION, settings={path: "2"})])
    assert [one.name for one in found] == ([] if allowed else [path])
    assert compare.judge(RULES, [replace(DEV, settings={path: "1"}), replace(PRODUCTION, settings={path: "1"})]) == []


def test_all_below_an_entry_may_differ() -> None:
    rules = replace(RULES, differ=("app_backup",))
    one, other = replace(DEV, settings={"app_backup.seconds": "1"}), replace(PRODUCTION, settings={"app_backups": "1"})
    assert [one.name for one in compare.judge(rules, [one, other])] == ["app_backups"]


def test_the_settings_of_a_contract_have_no_secret() -> None:
    contract = {
        "app_name": "shop",
        "app_secrets": {"TOKEN": "hunter2"},
        "app_secret_sources": {"vault": {"token": "hunter2"}},
        "app_env": {"A": "1"},
        "app_services": {"web": {"image": "web", "env": {"A": "1"}, "secrets": ["TOKEN"], "tmpfs": ["/tmp"]}},
        "app_routes": [],
        "app_canary": None,
    }
    assert compare.settings(contract) == {
        "app_name": "shop",
        "app_services.web.image": "web",
        "app_services.web.tmpfs[0]": "/tmp",
        "app_routes": "none",
        "app_canary": "none",
    }


def test_an_inventory_that_cannot_be_read_stops_nothing_else() -> None:
    broken = Environment("dev", problem="app_services is empty")
    found = compare.judge(RULES, [broken, PRODUCTION])
    assert [(one.name, one.evidence) for one in found] == [("dev", "app_services is empty")]
    assert "?" in show.lines(RULES, [broken, PRODUCTION], found)[1]


def test_the_table_and_the_data_have_no_value_of_a_secret() -> None:
    environments = [DEV, PRODUCTION]
    assert show.lines(RULES, environments, []) == [
        "           dev            production",
        "LOG_LEVEL  debug          info",
        "TOKEN      inventory #aa  vault shop/token #bb",
        "FLAGS      -              a",
        "",
        "settings that differ",
        "app_services.web.replicas  1  2",
    ]
    data = show.data(environments, judged())
    assert data["differences"] == {"app_services.web.replicas": {"dev": "1", "production": "2"}}
    assert data["environments"]["dev"]["variables"]["TOKEN"]["value"] == ""
    assert json.dumps(data)


def test_an_example_of_the_variables() -> None:
    assert show.env_example(RULES, "dev").split("\n\n")[1:] == [
        "# How much is said.\nLOG_LEVEL=debug",
        "# Secret.\nTOKEN='a b'",
        "# Optional.\n# FLAGS=\n",
    ]
    assert "# Secret, from OpenBao or HashiCorp Vault.\nTOKEN='a b'" in show.env_example(RULES, "production")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"LOG_LEVEL": {"values": {"prod": "info"}}}, "matrix.variables.LOG_LEVEL.values names 'prod': "),
        ({"LOG_LEVEL": {"valuse": {}}}, "matrix.variables.LOG_LEVEL.valuse is not known: did you mean 'values'?"),
        ({"TOKEN": {"secret": True, "values": "hunter2"}}, "matrix.variables.TOKEN.values is of a secret"),
        ({"TOKEN": {"source": "vault"}}, "matrix.variables.TOKEN.source is for a secret"),
        ({"TOKEN": {"secret": True, "source": "bao"}}, "matrix.variables.TOKEN.source is 'bao'"),
        ({"TOKEN": {"required": ["prod"]}}, "matrix.variables.TOKEN.required names 'prod'"),
        ({"TOKEN": {"required": "yes"}}, "must be true, false or a list of environments"),
        ({"A B": {}}, "matrix.variables.A B is not a valid name"),
    ],
)
def test_a_matrix_that_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(matrix.MatrixError) as raised:
        matrix.read({**GIVEN, "variables": change})
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("given", [None, [], {"variables": {}}, {"environments": ["../etc"], "variables": {}}])
def test_no_matrix(given: Any) -> None:
    with pytest.raises(matrix.MatrixError):
        matrix.read(given)
