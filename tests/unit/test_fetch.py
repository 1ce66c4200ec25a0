# SPDX-License-Identifier: Apache-2.0
"""Which secrets a host has to fetch, and what it makes of the store's answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.plan.outcome import Run, entries
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.openbao import Store, StoreError
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version, unseen_version
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import is_version
from ansible_collections.sluice.stack.plugins.module_utils.rotation import audit
from ansible_collections.sluice.stack.plugins.modules import secret_fetch

from tests.unit.conftest import Fleet

SOURCES = {"vault": {"url": "https://bao.test", "token": "t", "secrets_from": "host", "host_role": "shop"}}
PLACE = {"vault": "shop/database", "key": "url", "mount": "secret", "version": 1}


def planned(fleet: Fleet, number: int, action: str = "deploy", unseen: bool = True) -> dict[str, Any]:
    """The plan of a deploy whose DATABASE_URL was found at a version, by the controller or for hosts."""
    fleet.variables |= {
        "app_secrets": {"DATABASE_URL": {"vault": "shop/database", "key": "url"}},
        "app_secret_sources": SOURCES,
    }
    found = {
        "versions": {"DATABASE_URL": f"v{number}"},
        "places": {"DATABASE_URL": {**PLACE, "version": number}},
        "unseen": ["DATABASE_URL"] if unseen else [],
    }
    desired = fleet.desired(action)
    contract = contracts.with_read(desired.contract, found if action == "deploy" else {})
    plan = plans.decide(plans.Desired(**{**vars(desired), "contract": contract}), fleet.observed)
    fleet.execute(plan)
    for host in plan["start"]:
        kept = fleet.observed[host].setdefault("secrets", [])
        kept.append(f"DATABASE_URL.{plan['manifest']['services']['backend']['secrets']['DATABASE_URL']}")
    return plan


def wanted(number: int) -> dict[str, Any]:
    return {"DATABASE_URL": {"version": f"v{number}", "place": {**PLACE, "version": number}}}


def test_hosts_fetch_what_only_they_read_before_anything_needs_it(fleet: Fleet) -> None:
    plan = planned(fleet, 1)
    assert plan["fetch"] == {"app1": wanted(1), "app2": wanted(1)}
    assert plan["steps"].index("fetch") < plan["steps"].index("pending")
    assert "  fetch      app2: DATABASE_URL from vault secret/shop/database, key url, version 1" in plan["lines"]
    assert planned(fleet, 1)["fetch"] == {}, "they have it"
    assert list(planned(fleet, 2)["fetch"]) == ["app1", "app2"]


def test_what_the_controller_read_is_not_fetched(fleet: Fleet) -> None:
    assert planned(fleet, 1, unseen=False)["fetch"] == {}


@pytest.mark.parametrize("unseen", [True, False])
def test_a_rollback_fetches_the_version_that_a_host_never_had(fleet: Fleet, unseen: bool) -> None:
    planned(fleet, 1, unseen=unseen)
    fleet.version("v2.0.0")
    planned(fleet, 2, unseen=unseen)
    fleet.observed["app2"]["secrets"] = []
    assert planned(fleet, 0, "rollback")["fetch"] == {"app2": wanted(1)}


def test_a_revoked_version_is_fetched_where_the_one_that_counts_is(fleet: Fleet) -> None:
    planned(fleet, 1)
    fleet.version("v2.0.0")
    plan = planned(fleet, 2)
    entry = {**fleet._entry("rotated", plan), "secrets": {"DATABASE_URL": {"version": "v2", "revoked": ["v1"]}}}
    for item in fleet.observed.values():
        item["ledger"] += ledger.to_line(entry)
    fleet.observed["app1"]["secrets"] = []
    assert planned(fleet, 0, "rollback")["fetch"] == {"app1": wanted(2)}


def test_what_was_fetched_is_on_the_run_s_record_for_each_host(fleet: Fleet) -> None:
    plan = planned(fleet, 1)
    began = {"run_id": "r1", "who": "ann", "time": "", "read": []}
    place = "vault secret/shop/database, key url, version 1"
    times = {"from": "2026-11-22T12:00:00.000+00:00", "to": "2026-11-22T12:00:01.000+00:00"}
    answers = {host: {"read": {**times, "host": host, "secrets": {"DATABASE_URL": place}}} for host in ("app1", "app2")}
    run = Run(
        {**plan, "started_entry": began, "steps": ["fetch"]},
        {"ok": True, "message": "", "times": []},
        lambda step, host: answers[host] if step == "fetch" else None,
        [],
        "",
    )
    found = audit.recorded([entries(run)["started"], entries(run)["confirmed"]])
    assert [(one.secret, one.version) for one in found] == [("DATABASE_URL", "1")] * 2


def test_a_version_counts_whoever_read_it_first() -> None:
    place = "vault secret/shop/database, key url, version 1"
    for version in (secret_version("shop", "A", "value"), unseen_version("shop", "A", place, "monday")):
        assert is_version("shop", "A", version, "value", place, "monday")
    assert not is_version("shop", "A", unseen_version("shop", "A", place, "monday"), "value", place, "tuesday"), (
        "the secret was removed there and made again: the same number, another value"
    )
    assert not is_version("shop", "A", secret_version("shop", "A", "value"), "other", place, "monday")


class Answers(BaseHTTPRequestHandler):
    """A store with one secret, a login that can be taken once, and whatever a test wants it to answer."""

    said: dict[str, tuple[int, Any]]
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("X-Vault-Token", "")))
        status, body = self.said.get(self.path, (404, {"errors": []}))
        text = json.dumps(body).encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_unused: Any) -> None:
        """Print nothing."""


@pytest.fixture
def store() -> Iterator[Store]:
    data = {"data": {"url": "postgresql://one"}, "metadata": {"created_time": "monday"}}
    Answers.said = {
        "/v1/sys/wrapping/unwrap": (200, {"data": {"secret_id": "s"}}),
        "/v1/auth/approle/login": (200, {"auth": {"client_token": "token-of-host"}}),
        "/v1/secret/data/shop/database?version=1": (200, {"data": data}),
    }
    Answers.asked = []
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Store(f"http://127.0.0.1:{server.server_port}", 5)
    server.shutdown()
    server.server_close()


def params(store: Store, version: str) -> dict[str, Any]:
    return {
        "app": "shop",
        "wanted": {"DATABASE_URL": {"version": version, "place": PLACE}},
        "values": {},
        "store": vars(store),
        "login": {"role_id": "r", "wrapped": "w"},
    }


def test_a_host_logs_in_once_and_reads_one_version(store: Store) -> None:
    version = unseen_version("shop", "DATABASE_URL", "vault secret/shop/database, key url, version 1", "monday")
    asked: list[str] = []
    assert secret_fetch.read(params(store, version), asked) == {"DATABASE_URL": "postgresql://one"}
    assert asked == ["DATABASE_URL"]
    assert [token for _path, token in Answers.asked] == ["w", "", "token-of-host"]
    with pytest.raises(secret_fetch.SecretError, match="that version has another value than the release had") as caught:
        secret_fetch.read(params(store, "other"), [])
    assert "postgresql" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        (
            "/v1/sys/wrapping/unwrap",
            (400, {"errors": ["wrapping token is not valid or does not exist"]}),
            "sys/wrapping/unwrap: the login for this host was used already, or is too old: run the command again",
        ),
        (
            "/v1/auth/approle/login",
            (400, {"errors": ["invalid role or secret ID"]}),
            "auth/approle/login: the role id or the secret id is wrong",
        ),
        ("/v1/secret/data/shop/database?version=1", (403, {"errors": ["permission denied"]}), "permission denied"),
        ("/v1/secret/data/shop/database?version=1", (404, {"data": {"data": None}}), "it is not there any more"),
        ("/v1/sys/wrapping/unwrap", (503, {"errors": ["Vault is sealed"]}), "the store is sealed"),
    ],
)
def test_what_the_store_refuses_is_said(store: Store, path: str, answer: tuple[int, Any], message: str) -> None:
    Answers.said[path] = answer
    with pytest.raises(StoreError, match=message.replace("?", "[?]")):
        secret_fetch.read(params(store, "any"), [])


def test_a_store_that_is_not_there(store: Store) -> None:
    with pytest.raises(StoreError, match="it cannot be reached"):
        Store("http://127.0.0.1:9", 1).call("GET", "sys/health")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"app_secret_sources": {"vault": {**SOURCES["vault"], "host_role": None}}},
            "is 'host', which needs host_role",
        ),
        ({"app_rotations": {"DATABASE_URL": {"kind": "postgres", "role": "shop"}}}, "is read by the app hosts alone"),
        (
            {"app_preview": {"host": "pr-{number}.test", "secrets": {"DATABASE_URL": "own"}}},
            "is read by the app hosts alone",
        ),
    ],
)
def test_what_needs_the_value_on_the_controller_is_refused(variables: Any, changes: Any, message: str) -> None:
    given = variables(
        app_secrets={"DATABASE_URL": {"vault": "shop/database"}}, **{"app_secret_sources": SOURCES, **changes}
    )
    with pytest.raises(contracts.ContractError, match=message):
        contracts.resolve(given)


ROLES = {"vault_roles": ["shop_a", "shop_b"], "url": "postgresql://{username}:{password}@db/shop"}


def test_a_rollback_takes_the_login_that_counts(fleet: Fleet) -> None:
    fleet.variables |= {"app_secrets": {"DATABASE_URL": ROLES}, "app_secret_sources": SOURCES}
    plans_made = []
    for number, version in enumerate(("v1.0.0", "v2.0.0", "v2.0.0"), 1):
        fleet.version(version)
        desired = fleet.desired()
        contract = contracts.with_read(desired.contract, {"versions": {"DATABASE_URL": f"turn{number}"}})
        plan = plans.decide(plans.Desired(**{**vars(desired), "contract": contract}), fleet.observed)
        fleet.execute(plan)
        plans_made.append(plan)
    back = fleet.plan("rollback")
    # Past the release that differs in nothing else, with the password of today.
    assert back["manifest"]["id"] == plans_made[0]["manifest"]["id"]
    assert back["manifest"]["services"]["backend"]["secrets"] == {"DATABASE_URL": "turn3"}
    assert any(
        "the version of that release took its turn; it gets the one that counts now" in one for one in back["lines"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vault_roles": ["shop_a"]}, "must name two static roles that take turns"),
        ({"vault_roles": ["shop_a", "shop_a"]}, "must name two static roles that take turns"),
        ({"url": "postgresql://db/shop"}, "a URL with {username}:{password}"),
    ],
)
def test_static_roles_are_two_and_make_a_url(variables: Any, change: dict[str, Any], message: str) -> None:
    given = variables(app_secrets={"DATABASE_URL": {**ROLES, **change}}, app_secret_sources=SOURCES)
    with pytest.raises(contracts.ContractError, match=message):
        contracts.resolve(given)
