# SPDX-License-Identifier: Apache-2.0
"""Which experiments a run does, where, and what it asks meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, plan
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Promise
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls

APP = {
    "app_name": "shop",
    "app_version": "v1",
    "app_services": {"web": {"image": "registry.example.com:5000/shop/web", "port": 80}, "mail": {"image": "mailer"}},
    "app_routes": [
        {"host": "shop.example.com", "path": "/", "service": "web", "verify": "/up"},
        {"host": "old.example.com", "path": "/", "service": "web"},
    ],
}
GROUPS = {"edge": ["edge1", "edge2"], "app": ["app1", "app2"], "db": ["db1"], "cache": ["db1"]}


def contract(**chaos: Any) -> dict[str, Any]:
    return contracts.resolve({**APP, "app_chaos": {"enabled": True, **chaos}})


def fleet(groups: dict[str, list[str]] | None = None, **variables: Any) -> plan.Fleet:
    hosts = {
        "edge1": {"ansible_host": "192.0.2.1", "stack_address": "10.0.0.11"},
        "app1": {"stack_address": "10.0.0.21"},
        "app2": {"stack_address": "10.0.0.22"},
        "db1": {"backup_repositories": [{"type": "s3", "endpoint": "s3.example.com"}, {"type": "directory"}]},
    }
    return plan.Fleet(
        groups or GROUPS,
        {name: {**hosts.get(name, {}), **variables} for name in ("edge1", "edge2", "app1", "app2", "db1")},
    )


def one(
    name: str,
    at: str = "",
    groups: dict[str, list[str]] | None = None,
    settings: dict[str, Any] | None = None,
    **variables: Any,
) -> plan.Item:
    (found,) = plan.items([(catalogue.BY_NAME[name], "")], fleet(groups, **variables), contract(**(settings or {})), at)
    return found


def test_names_and_all() -> None:
    assert [found.name for found, _ in plan.chosen("edge_down, dns_away,edge_down", [], protected=False)] == [
        "edge_down",
        "dns_away",
    ]
    everything = plan.chosen("all", ["dns_away"], protected=False)
    assert [found.name for found, _ in everything] == list(catalogue.NAMES)
    assert {found.name: why for found, why in everything if why} == {"dns_away": "app_chaos.skip has it"}


def test_what_loses_data_has_to_be_named_in_a_protected_environment() -> None:
    left = {found.name: why for found, why in plan.chosen("all", [], protected=True) if why}
    assert left == {"redis_flushed": "all keys of Redis would be lost: in a protected environment it has to be named"}
    assert plan.chosen("redis_flushed", [], protected=True)[0][1] == ""


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("", "experiment is not set: run it with -e experiment=NAME or -e experiment=all; known: container_killed, "),
        ("edge_dwon", "experiment is 'edge_dwon': did you mean 'edge_down'?"),
    ],
)
def test_a_wrong_name_is_refused(asked: str, message: str) -> None:
    with pytest.raises(plan.ChaosError) as refused:
        plan.chosen(asked, [], protected=False)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ({"results": {"left": [{"metric": {}, "value": 0.4}]}}, False),
        ({"results": {"left": [{"metric": {}, "value": -0.12}]}}, True),
        ({"results": {"left": [{"metric": {}, "value": 0.0}]}}, True),
        ({"results": {"left": [{"metric": {}, "value": None}]}}, False),
        ({"results": {"left": []}}, False),
        ({"failed": True, "msg": "connection refused"}, False),
        ({"skipped": True}, False),
    ],
)
def test_without_error_budget_it_is_refused_and_without_an_answer_it_is_not(
    answer: dict[str, Any], refused: bool
) -> None:
    assert bool(plan.spent("shop", answer)) == refused
    if refused:
        assert plan.spent("shop", answer).startswith(
            "a chaos experiment is refused: the error budget of shop is spent ("
        )


def test_where_it_is_done() -> None:
    assert one("container_killed").host == "app2"
    assert one("container_killed", at="app1").host == "app1"
    assert one("edge_down").host == "edge1"
    with pytest.raises(
        plan.ChaosError, match="chaos_host is db1, and edge_down is done on a host of group edge: edge1, edge2"
    ):
        one("edge_down", at="db1")
    with pytest.raises(plan.ChaosError, match="chaos_host is 'app9', which is no host"):
        one("container_killed", at="app9")


def test_one_host_of_a_group_changes_the_promise_or_makes_it_impossible() -> None:
    single = {**GROUPS, "edge": ["edge1"], "app": ["app1"]}
    assert one("edge_down", groups=single).skip == "the inventory has one host in group edge, and it takes two"
    assert one("container_killed", groups=single).promise == Promise(100, 30)
    assert one("container_killed").promise == Promise()
    assert one("redis_restarted", groups={**GROUPS, "cache": []}).skip == "the inventory has no host in group cache"


def test_an_app_promises_what_it_likes() -> None:
    settings = {"promises": {"database_paused": {"failed": 10}, "dns_away": {"failed": 1, "recovers": 3}}}
    assert one("database_paused", settings=settings).promise == Promise(10, 15)
    assert one("dns_away", settings=settings).promise == Promise(1, 3)


def test_what_the_host_is_told() -> None:
    found = one("network_cut_database").target
    assert (found["peers"], found["ports"]) == (["10.0.0.21", "10.0.0.22"], [5432])
    found = one("network_cut_app", ansible_port=2222).target
    assert (found["peers"], found["ports"], found["ssh_port"]) == (["10.0.0.11", "edge2"], [], 2222)
    assert found["services"] == ["web"] and found["seconds"] == 20
    assert one("network_cut_app", settings={"seconds": 3}).target["seconds"] == 3
    # No secret, nothing it has no use for.
    assert set(found["settings"]) & {"promises", "probes", "skip"} == set()


@pytest.mark.parametrize(
    ("name", "variables", "ends"),
    [
        ("registry_away", {}, [("registry.example.com", 5000), ("registry-1.docker.io", 443)]),
        ("object_store_away", {}, [("s3.example.com", 443)]),
        ("acme_away", {}, [("acme-v02.api.letsencrypt.org", 443)]),
        ("acme_away", {"edge_tls_source": "files"}, []),
        (
            "secret_store_away",
            {"app_secret_sources": {"vault": {"url": "https://bao.example.com:8200"}}},
            [("bao.example.com", 8200)],
        ),
        ("secret_store_away", {}, []),
        ("dns_away", {}, []),
    ],
)
def test_what_is_away(name: str, variables: dict[str, Any], ends: list[tuple[str, int]]) -> None:
    assert [(found["host"], found["port"]) for found in one(name, **variables).target["endpoints"]] == ends


def test_every_route_is_asked_through_every_edge_as_clients_do() -> None:
    tls = Tls(443, source="acme", hosts={"old.example.com": {"source": "none"}})
    found = plan.probes(contract(probes=[{"path": "/write", "method": "POST", "body": "{}"}]), fleet(), tls, 8080)
    assert [(item["name"], item["address"], item["port"], item["tls"], item["host"]) for item in found] == [
        ("edge1 shop.example.com/up", "192.0.2.1", 443, True, "shop.example.com"),
        ("edge1 old.example.com/", "192.0.2.1", 8080, False, "old.example.com"),
        ("POST edge1 /write", "192.0.2.1", 8080, False, ""),
        ("edge2 shop.example.com/up", "edge2", 443, True, "shop.example.com"),
        ("edge2 old.example.com/", "edge2", 8080, False, "old.example.com"),
        ("POST edge2 /write", "edge2", 8080, False, ""),
    ]
    assert {item["address"] for item in plan.probes(contract(), fleet(), tls, 80, without=["edge1"])} == {"edge2"}


def test_the_plan_in_words() -> None:
    found = [one("container_killed"), one("edge_down", groups={**GROUPS, "edge": ["edge1"]})]
    assert plan.lines(found) == [
        "  container_killed      app2       kill -9 of a container of the live release; promised: no failed request",
        "  edge_down             edge1      skipped: the inventory has one host in group edge, and it takes two",
    ]
