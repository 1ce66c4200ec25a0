# SPDX-License-Identifier: Apache-2.0
"""Slot ports are given out once and never move."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release.ports import (
    PortError,
    allocate,
    clash,
    merge_records,
    port_numbers,
    records,
)
from hypothesis import given
from hypothesis import strategies as st

REPLICAS = st.dictionaries(st.sampled_from(["backend", "frontend", "worker"]), st.integers(1, 4), min_size=1)
LOW, HIGH = 20000, 20099


@given(first=REPLICAS, second=REPLICAS, other=REPLICAS, in_use=st.sets(st.integers(LOW, HIGH), max_size=20))
def test_no_port_has_two_names_and_recorded_ports_never_move(
    first: dict[str, int], second: dict[str, int], other: dict[str, int], in_use: set[int]
) -> None:
    recorded: dict[str, int] = {}
    for app, replicas in [("shop", first), ("blog", other), ("shop", second)]:
        before = dict(recorded)
        # What runs already listens: a recorded port is busy and still the right one.
        busy = in_use | set(recorded.values())
        recorded |= records(app, allocate(app, replicas, recorded, busy, LOW, HIGH))
        assert before.items() <= recorded.items()
    assert len(set(recorded.values())) == len(recorded)
    assert in_use.isdisjoint(recorded.values())
    assert all(LOW <= port <= HIGH for port in recorded.values())


@given(replicas=REPLICAS)
def test_asking_again_gives_the_same_ports(replicas: dict[str, int]) -> None:
    ports = allocate("shop", replicas, {}, [], LOW, HIGH)
    assert allocate("shop", replicas, records("shop", ports), [], LOW, HIGH) == ports


def test_a_new_service_does_not_move_the_old_ones() -> None:
    before = allocate("shop", {"backend": 1, "worker": 1}, {}, [], LOW, HIGH)
    after = allocate("shop", {"admin": 1, "backend": 1, "worker": 1}, records("shop", before), [], LOW, HIGH)
    assert {name: after[name] for name in before} == before


def test_a_range_that_is_used_up_says_so() -> None:
    with pytest.raises(PortError, match=r"^app_port_range 20000-20001 has no free port left for shop/b; widen it$"):
        allocate("shop", {"a": 1, "b": 1}, {}, [], 20000, 20001)


def test_hosts_that_disagree_about_a_name_are_named() -> None:
    with pytest.raises(PortError, match=r"port of shop/a/blue/0 is 20001 on app2 and 20000 elsewhere"):
        merge_records({"app1": {"shop/a/blue/0": 20000}, "app2": {"shop/a/blue/0": 20001}})


def test_hosts_that_disagree_about_a_port_are_named() -> None:
    with pytest.raises(
        PortError, match=r"^port 20000 is recorded for shop/a/blue/0 on app1 and for blog/a/blue/0 on app2: "
    ):
        merge_records({"app1": {"shop/a/blue/0": 20000}, "app2": {"blog/a/blue/0": 20000}})


def test_a_host_refuses_ports_that_are_not_the_apps() -> None:
    recorded = {"shop/a/blue/0": 20000, "blog/a/blue/0": 20001}
    assert clash(recorded, {"shop/a/blue/0": 20000, "shop/a/green/0": 20002}) is None
    assert "is recorded as 20000, but the release has 20005" in str(clash(recorded, {"shop/a/blue/0": 20005}))
    assert "belongs to blog/a/blue/0 on this host" in str(clash(recorded, {"shop/a/green/0": 20001}))


def test_apps_that_do_not_see_each_other_yet_begin_in_different_places() -> None:
    shop, blog = (records(app, allocate(app, {"web": 2}, {}, [], 20000, 20999)) for app in ("shop", "blog"))
    assert not set(shop.values()) & set(blog.values())


def test_the_whole_range_is_used_from_wherever_it_begins() -> None:
    assert sorted(records("shop", allocate("shop", {"web": 5}, {}, [], 20000, 20009)).values()) == list(
        range(20000, 20010)
    )


def test_what_must_not_run_twice_has_one_port() -> None:
    ports = allocate("shop", {"lock": 1, "web": 1}, {}, [], LOW, HIGH, singleton=["lock"])
    assert set(ports["lock"]) == {"singleton"} and set(ports["web"]) == {"blue", "green"}
    assert port_numbers(ports, "lock", "blue") == port_numbers(ports, "lock", "green") == ports["lock"]["singleton"]
    assert allocate("shop", {"lock": 1, "web": 1}, records("shop", ports), [], LOW, HIGH, singleton=["lock"]) == ports
