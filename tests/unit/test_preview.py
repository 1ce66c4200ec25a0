# SPDX-License-Identifier: Apache-2.0
"""A preview is an app of its own, made from the app's variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import preview
from ansible_collections.sluice.stack.plugins.module_utils.previews import database

VALUES = {
    "DATABASE_URL": "postgresql://shop:p%40ss@10.0.0.31:5432/shop?sslmode=require",
    "REDIS_URL": "redis://:secret@10.0.0.31:6379/0",
    "JWT_SECRET": "0123456789abcdef",
    "MAIL": "mail-secret",
}
GIVEN: dict[str, Any] = {
    "app_name": "shop",
    "app_services": {
        "web": {
            "image": "registry.test/shop",
            "port": 80,
            "replicas": 3,
            "env": {"BANNER": "staging"},
            "health": {"host": "shop.test"},
            "secrets": [*VALUES],
            "flags": ["new-page"],
        },
        "mailer": {"image": "registry.test/shop"},
    },
    "app_routes": [{"host": "shop.test", "service": "web"}, {"host": "admin.test", "service": "web", "timeout": 5}],
    "app_secrets": VALUES,
    "app_migration": {"engine": "prisma", "service": "web"},
    "app_gates": [{"approval": {"keys": ["a@example.com ssh-ed25519 AAAA"]}}],
    "app_gate_evidence": "x",
    "app_flags": {"new-page": {"description": "A page", "owner": "web", "type": "operational"}},
    "app_rotations": {},
    "app_signature": {"keys": ["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]},
    "app_preview": {
        "secrets": {"DATABASE_URL": "database", "REDIS_URL": "redis", "JWT_SECRET": "own"},
        "scrub": "scrub.sql",
        "env": {"BANNER": "preview"},
    },
}


def made(number: int = 123, **changes: Any) -> dict[str, Any]:
    given = {**GIVEN, **changes}
    return preview.variables(given, contracts.read(given, needs_version=False), number, VALUES)


def test_it_is_a_contract_of_its_own() -> None:
    variables = {**GIVEN, **made()}
    contract = contracts.resolve(variables, needs_version=False)
    assert contract["app"] == "shop-pr-123"
    assert contract["environment"] == "preview"
    assert contract["gates"] == []
    assert contract["services"]["web"]["replicas"] == 1
    assert contract["services"]["web"]["env"] == {"BANNER": "preview"}
    assert contract["services"]["web"]["health"]["host"] == "pr-123.shop.test"
    assert [route["host"] for route in contract["routes"]] == ["pr-123.shop.test", "pr-123.admin.test"]
    assert contract["routes"][1]["timeout"] == 5
    assert contract["migration"]["gate"] == "warn"


@pytest.mark.parametrize("inventory", ["lab", "staging"])
def test_the_inventories_that_have_previews_make_contracts(inventory: str) -> None:
    """Whatever else they describe: what a preview leaves out must not be needed by what it keeps."""
    path = Path(__file__).resolve().parents[2] / "inventories" / inventory / "group_vars" / "all" / "app.yml"
    given = {
        name: value
        for name, value in yaml.safe_load(path.read_text().replace("{{ lab_subnet }}", "10.0.0")).items()
        if name != "app_extra"
    }
    given["app_secrets"] = {name: VALUES.get(name, "s" * 32) for name in given["app_secrets"]}
    contract = contracts.read(given, needs_version=False)
    found = contracts.resolve({**given, **preview.variables(given, contract, 7, VALUES)}, needs_version=False)
    assert found["app"] == "marketplace-pr-7"


@pytest.mark.parametrize("playbook", ["up", "down"])
def test_the_playbooks_hand_all_of_them_over(playbook: str) -> None:
    """An import names each variable; one that it forgot would be the app's own."""
    path = Path(__file__).resolve().parents[2] / "playbooks" / "parts" / f"preview_{playbook}.yml"
    given = next(play["vars"] for play in yaml.safe_load(path.read_text()) if "ansible.builtin.import_playbook" in play)
    assert {name: value for name, value in given.items() if name.startswith("app_")} == {
        name: f"{{{{ __preview.variables.{name} }}}}" for name in made()
    }


def test_an_app_that_answers_to_any_name_gets_one() -> None:
    """None of its routes has a host, and neither has its health check."""
    found = made(app_routes=[{"service": "web"}], app_preview={**GIVEN["app_preview"], "host": "pr-{number}.test"})
    assert found["app_routes"] == [{"service": "web", "host": "pr-123.test"}]
    assert "health" not in found["app_services"]["mailer"]


def test_its_secrets_are_its_own() -> None:
    found, other = made()["app_secrets"], made(124)["app_secrets"]
    own, _, rest = found["DATABASE_URL"].removeprefix("postgresql://shop_preview_123:").partition("@")
    assert len(own) == 48
    assert rest == "10.0.0.31:5432/shop_preview_123?sslmode=require"
    assert found["REDIS_URL"] == "redis://:secret@10.0.0.31:6379/4"
    assert found["MAIL"] == VALUES["MAIL"]
    for name in ("DATABASE_URL", "JWT_SECRET"):
        assert len({found[name], other[name], VALUES[name]}) == 3
    # The next run finds the same.
    assert made()["app_secrets"] == found
    contract = contracts.read(GIVEN, needs_version=False)
    assert preview.database(contract, 123, VALUES) == {"name": "shop_preview_123", "password": own, "source": "shop"}


@pytest.mark.parametrize("given", [1, "1", "123", 999999])
def test_the_number_of_a_pull_request(given: Any) -> None:
    assert preview.parse(given) == int(given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        None,
        0,
        -1,
        "0",
        "01",
        "1e3",
        "1 ",
        " 1",
        "1\n",
        "1; id",
        "{{ 1 }}",
        "../1",
        "\uff11\uff12",
        "1000000",
        1.0,
        True,
        [1],
        "$(id)",
        "pr-1",
    ],
)
def test_anything_else_is_no_number(given: Any) -> None:
    with pytest.raises(preview.PreviewError, match="it must be the number of a pull request"):
        preview.parse(given)


def test_names() -> None:
    assert preview.numbered("shop", ["shop", "shop-pr-1", "shop-pr-22", "shop-pr-x", "shop-pr-01", "my-shop-pr-3"]) == {
        1,
        22,
    }
    assert preview.database_name("my-shop", 7) == "my_shop_preview_7"
    with pytest.raises(preview.PreviewError, match="longer than 31"):
        preview.app_name("a" * 25, 123456)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": "preview.test"}, "app_preview.host is 'preview.test': it must have {number}"),
        ({"scrub": None}, "app_preview.scrub is missing"),
        ({"secrets": {"NONE": "own"}}, "app_preview.secrets.NONE is not in app_secrets"),
        ({"secrets": {"MAIL": "database", "DATABASE_URL": "database"}}, "has several databases: DATABASE_URL, MAIL"),
        ({"secrets": {"MAIL": "owned"}}, "app_preview.secrets.MAIL is 'owned': did you mean 'own'?"),
        ({"without": ["a; drop"]}, "app_preview.without[0] is 'a; drop': it must be a table"),
        ({"most": 0}, "app_preview.most is 0: it must be 1 to 100"),
    ],
)
def test_settings_that_are_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(contracts.ContractError) as raised:
        contracts.read({**GIVEN, "app_preview": {**GIVEN["app_preview"], **change}}, needs_version=False)
    assert any(message in line for line in raised.value.problems), raised.value.problems


def test_a_secret_that_is_no_url_is_not_shown() -> None:
    for value in ("hunter2", "postgresql://h/hunter2", "redis://:a@h:hunter2/0"):
        with pytest.raises(preview.PreviewError) as raised:
            preview.secrets(contracts.read(GIVEN, needs_version=False), 1, {**VALUES, "DATABASE_URL": value})
        assert "hunter2" not in str(raised.value)


def test_routes_that_would_be_the_same() -> None:
    with pytest.raises(preview.PreviewError, match="makes two routes the same"):
        made(app_preview={**GIVEN["app_preview"], "host": "pr-{number}.test"})
    with pytest.raises(preview.PreviewError, match="a route has none"):
        made(app_routes=[{"service": "web"}])


def test_what_is_too_old() -> None:
    day = 86400.0
    assert preview.expired({1: 0.0, 2: 5 * day, 3: 9 * day}, 10 * day, 4) == [1, 2]


def test_when_the_template_is_made_again() -> None:
    of = database.identity("shop", "delete from users", [])
    noted = {"of": of, "made": 0.0}
    assert not database.due(noted, of, 86400.0, 1)
    assert database.due(noted, of, 86401.0, 1)
    assert database.due(noted, database.identity("shop", "delete from orders", []), 0.0, 1)
    assert database.due(noted, database.identity("shop", "delete from users", ["log"]), 0.0, 1)
    assert database.due(None, of, 0.0, 1)
    assert database.due({}, of, 0.0, 1)
