# SPDX-License-Identifier: Apache-2.0
"""References to secrets that are kept elsewhere: their form, and the contract with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import SecretError
from ansible_collections.sluice.stack.plugins.plugin_utils.secret_sources import Surroundings, Vault

NOW = datetime(2026, 11, 28, tzinfo=UTC)
VAULT = {"url": "https://bao.example.com:8200", "auth": "approle", "role_id": "role", "secret_id": "known-only-here"}


def variables(**other: Any) -> dict[str, Any]:
    return {
        "app_name": "shop",
        "app_version": "v1",
        "app_services": {"web": {"image": "registry/web", "port": 80, "secrets": ["TOKEN"]}},
        "app_secrets": {"TOKEN": {"vault": "shop/token"}},
        "app_secret_sources": {"vault": VAULT},
        **other,
    }


def problems(**other: Any) -> list[str]:
    with pytest.raises(contracts.ContractError) as caught:
        contracts.resolve(variables(**other))
    return caught.value.problems


def test_a_reference_is_read_later() -> None:
    resolved = contracts.resolve(variables())
    assert resolved["secret_references"] == {
        "TOKEN": {"vault": "shop/token", "key": None, "mount": None, "version": None}
    }
    assert resolved["services"]["web"]["secrets"] == {"TOKEN": contracts.UNREAD}
    assert "known-only-here" not in str(resolved), "nor does it hold how to log in"
    read = contracts.with_read(
        resolved, {"versions": {"TOKEN": "abc", "OTHER": "def"}, "read": {"TOKEN": "vault shop/token, version 3"}}
    )
    assert read["services"]["web"]["secrets"] == {"TOKEN": "abc"}


def test_a_release_records_where_its_secrets_came_from_and_is_the_same_without() -> None:
    resolved = contracts.resolve(variables())
    digests = {"registry/web:v1": "sha256:" + "0" * 64}
    built = []
    for version in ("3", "4"):
        found = {"versions": {"TOKEN": "abc"}, "read": {"TOKEN": f"vault shop/token, version {version}"}}
        built.append(manifests.build(contracts.with_read(resolved, found), digests, NOW, []))
    assert built[0]["secrets_read"] == {"TOKEN": "vault shop/token, version 3"}
    # A new version of the store with the same value changes nothing that runs.
    assert built[0]["fingerprint"] == built[1]["fingerprint"]
    other = contracts.with_read(resolved, {"versions": {"TOKEN": "new"}, "read": {}})
    assert manifests.build(other, digests, NOW, [])["fingerprint"] != built[0]["fingerprint"]


def test_only_secrets_that_a_service_lists_are_read() -> None:
    given = variables(app_secrets={"TOKEN": "plain", "UNUSED": {"vault": "shop/unused"}})
    assert contracts.resolve(given)["secret_references"] == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"value": "hunter2"},
            "app_secrets.TOKEN must be a string, or a map that names one source: vault, vault_roles, aws, sops, env",
        ),
        (
            {"vault": "a", "aws": "b"},
            "app_secrets.TOKEN must be a string, or a map that names one source: vault, vault_roles, aws, sops, env",
        ),
        (
            {"vault": "/a"},
            "app_secrets.TOKEN.vault is '/a': it must be a path below the mount, such as 'marketplace/jwt'",
        ),
        (
            {"vault": "a", "field": "b"},
            "app_secrets.TOKEN.field is not known: known: key, mount, vault, version",
        ),
        ({"vault": "a", "version": 0}, "app_secrets.TOKEN.version is 0: it must be 1 to inf"),
        ({"sops": "a.yaml"}, "app_secrets.TOKEN.key is missing"),
        (
            {"env": "a-b"},
            "app_secrets.TOKEN.env is 'a-b': it must be letters, digits and '_'",
        ),
        (["hunter2"], "app_secrets.TOKEN must be a string, number or boolean, not a list"),
    ],
)
def test_wrong_references(value: Any, message: str) -> None:
    (line,) = problems(app_secrets={"TOKEN": value})
    assert line.startswith(message)
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "app_secrets.TOKEN names vault: set app_secret_sources.vault, with its url and how to log in"),
        (
            {"vault": {**VAULT, "url": "http://bao.example.com"}},
            "app_secret_sources.vault.url is 'http://bao.example.com': it must be an https:// address",
        ),
        (
            {"vault": {**VAULT, "auth": "password"}},
            "app_secret_sources.vault.auth is 'password': known: approle, jwt, token",
        ),
        (
            {"vault": {**VAULT, "secret_id": ["known-only-here"]}},
            "app_secret_sources.vault.secret_id must be a string, not a list",
        ),
    ],
)
def test_wrong_sources(sources: Any, message: str) -> None:
    lines = problems(app_secret_sources=sources)
    assert lines[0].startswith(message)
    assert "known-only-here" not in "".join(lines)


def test_an_agent_on_the_same_machine_needs_no_tls() -> None:
    contracts.resolve(variables(app_secret_sources={"vault": {**VAULT, "url": "http://127.0.0.1:8100"}}))


@pytest.mark.parametrize(
    ("given", "version", "text"),
    [
        ({"vault": "a/b", "mount": "kv", "key": "c"}, "7", "vault kv/a/b, key c, version 7"),
        ({"aws": "a"}, "", "aws a"),
        ({"env": "A"}, "", "env A"),
        ({"vault": "a", "version": 3}, "", "vault a, version 3"),
    ],
)
def test_how_output_calls_one(given: dict[str, Any], version: str, text: str) -> None:
    assert secret_reference.described(given, version) == text


@pytest.mark.parametrize(
    ("vault", "needs"),
    [
        ({**VAULT, "secret_id": ""}, "logs in by approle, which needs secret_id"),
        ({"url": VAULT["url"], "auth": "jwt"}, "logs in by jwt, which needs role and jwt"),
        ({"url": VAULT["url"], "auth": "token"}, "logs in by token, which needs token"),
    ],
)
def test_a_login_is_asked_for_where_the_store_is_and_nowhere_else(vault: dict[str, Any], needs: str) -> None:
    """A rollback and the kill switch need no store, and so none of its variables."""
    contracts.resolve(variables(app_secret_sources={"vault": vault}))
    settings = {
        **dict.fromkeys(("token", "role_id", "secret_id", "role", "jwt", "namespace", "ca")),
        "timeout": 3,
        **vault,
    }
    with pytest.raises(SecretError, match=needs):
        Vault(settings, Surroundings(None, None, ""))
