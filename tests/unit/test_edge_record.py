# SPDX-License-Identifier: Apache-2.0
"""The edge's record: what a flip, its deadline, a confirmation and a late run may do to it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as records
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record
from ansible_collections.sluice.stack.plugins.module_utils.edge.verify import bucket
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

RELEASES = st.sampled_from(["r1", "r2", "r3"])
SLOT = st.sampled_from(["blue", "green"])
TOKENS = st.integers(0, 6)


def flip(record: Record, release: str = "r1", slot: str = "blue", **changes: Any) -> Record:
    return records.propose(
        record,
        **{"release": release, "slot": slot, "percent": 100, "seconds": 60, "token": 1, "now": 1000.0, **changes},
    )


def live(release: str = "r1", slot: str = "blue") -> Record:
    """A record with a confirmed release."""
    return records.confirm(flip(records.empty("shop"), release, slot), release=release, token=1, now=1001)


def test_the_first_flip_serves_until_its_deadline_and_nothing_after_it() -> None:
    record = flip(records.empty("shop"))
    assert records.effective(record, 1059.9) == [{"release": "r1", "slot": "blue", "percent": 100}]
    assert records.effective(record, 1060) == []


def test_an_unconfirmed_flip_goes_back_by_itself() -> None:
    record = flip(live(), "r2", "green", now=2000)
    assert [share["release"] for share in records.effective(record, 2059)] == ["r2"]
    assert [share["release"] for share in records.effective(record, 2060)] == ["r1"]


def test_a_share_of_the_visitors_leaves_the_rest_to_the_confirmed_release() -> None:
    shares = records.effective(flip(live(), "r2", "green", percent=20), 1001)
    assert [(share["release"], share["percent"]) for share in shares] == [("r2", 20), ("r1", 80)]


def test_confirming_twice_changes_nothing_more() -> None:
    record = live()
    assert records.confirm(record, release="r1", token=1, now=9999) is record


def test_what_is_confirmed_stays_so_beside_anothers_flip_that_has_gone_back() -> None:
    record = flip(live(), "r2", "green", now=2000)
    after = records.confirm(record, release="r1", token=2, now=2060)
    assert (after["confirmed"], after["pending"]) == (record["confirmed"], None)
    with pytest.raises(records.NotPending, match="release r2 is pending"):
        records.confirm(record, release="r1", token=2, now=2059)


def test_a_late_confirmation_says_how_late() -> None:
    with pytest.raises(
        records.TooLate, match=r"release r1 was confirmed 1\.5 s after its deadline.*app_confirm_seconds"
    ):
        records.confirm(flip(records.empty("shop")), release="r1", token=1, now=1061.5)


def test_only_what_is_tried_can_be_confirmed() -> None:
    with pytest.raises(records.NotPending, match="r2 cannot be confirmed: release r1 is pending for shop"):
        records.confirm(flip(records.empty("shop")), release="r2", token=1, now=1001)
    with pytest.raises(records.NotPending, match="no release is pending"):
        records.confirm(records.empty("shop"), release="r2", token=1, now=1001)


def maintained(record: Record, **changes: Any) -> Record:
    return records.maintain(
        record,
        **{"message": "Back soon.", "retry_after": 300, "allow": [], "token": 1, "now": 1500.0, **changes},
    )


def test_an_older_run_is_refused() -> None:
    record = maintained(flip(live(), "r2", "green", token=5), token=5)
    for late in (
        lambda: flip(record, "r3", "green", token=4),
        lambda: records.confirm(record, release="r2", token=4, now=1001),
        lambda: records.abort(record, token=4),
        lambda: records.adopt(record, release="r3", slot="green", token=4),
        lambda: maintained(record, message="Longer than we thought.", token=4),
        lambda: records.serve(record, token=4),
    ):
        with pytest.raises(records.StaleToken, match=r"token 4 is older than token 5.*a later run took over"):
            late()


def test_abandoning_ends_only_the_flip_it_names() -> None:
    record = flip(live(), "r2", "green")
    assert records.abort(record, token=1, release="r3") is record
    after = records.abort(record, token=1, release="r2")
    assert records.effective(after, 1001) == [{"release": "r1", "slot": "blue", "percent": 100}]
    assert records.abort(after, token=1) is after


def test_an_edge_can_be_brought_to_what_another_one_confirmed() -> None:
    record = records.adopt(flip(live(), "r3", "green"), release="r2", slot="green", token=2)
    assert record["confirmed"] == {"release": "r2", "slot": "green"} and record["pending"] is None
    assert records.adopt(record, release="r2", slot="green", token=2) is record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"percent": 0}, "1 to 100 percent of the clients, not 0"),
        ({"percent": 101}, "not 101"),
        ({"seconds": 0}, "longer than 0 s: set app_confirm_seconds"),
        ({"slot": "red"}, "slot 'red' is neither"),
        ({"slot": "blue"}, "slot blue serves the confirmed release r1: r2 belongs in the other slot"),
    ],
)
def test_a_flip_that_cannot_be_served_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(records.BadFlip, match=message):
        flip(live(), "r2", **{"slot": "green", **changes})


def test_maintenance_is_beside_what_is_served_and_outlives_every_flip() -> None:
    trying = flip(live(), "r2", "green", percent=20, now=1400)
    record = maintained(trying, allow=["192.0.2.7"])
    maintenance = {"since": 1500.0, "message": "Back soon.", "retry_after": 300, "allow": ["192.0.2.7/32"]}
    assert record == {**trying, "maintenance": maintenance, "seq": trying["seq"] + 1}
    for after in (
        flip(record, "r3", "green"),
        records.confirm(record, release="r2", token=1, now=1401),
        records.abort(record, token=1),
        records.adopt(record, release="r4", slot="green", token=1),
    ):
        assert after["maintenance"] == maintenance and after["seq"] == record["seq"] + 1
    assert records.serve(record, token=1) == {**trying, "seq": record["seq"] + 1}


def test_maintenance_is_on_or_off_and_only_a_difference_is_a_change() -> None:
    record = maintained(live(), allow=["192.0.2.0/24", "192.0.2.0/24", "::ffff:192.0.2.0/120"])
    assert maintained(record, allow=["192.0.2.0/24"], now=1600) is record
    longer = maintained(record, message="Longer than we thought.", now=1600)
    assert longer["maintenance"] and longer["maintenance"]["since"] == 1500, "it has been on since then"
    assert records.serve(live(), token=0) == live() and records.serve(live(), token=0)["seq"] == live()["seq"]


@pytest.mark.parametrize(
    ("entry", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("::1", "::1/128"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_networks_are_kept_as_the_edge_compares_them(entry: str, network: str) -> None:
    assert records.network(entry) == network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"allow": ["10.0.0.0/8", "office"]},
            r"cannot allow 'office': write an address or a network, like 192\.0\.2\.7",
        ),
        ({"allow": ["10.0.0.0/33"]}, r"cannot allow '10\.0\.0\.0/33': write an address"),
        ({"allow": ["10"]}, "cannot allow '10': write an address"),
        ({"allow": ["fe80::1%eth0"]}, "cannot allow 'fe80::1%eth0': write an address"),
        ({"allow": ["10.1.2.3/8"]}, r"'10\.1\.2\.3/8', which is neither .*: write 10\.1\.2\.3 or 10\.0\.0\.0/8"),
        ({"allow": [f"10.0.0.{n}" for n in range(101)]}, "at most 100 networks, not 101: use larger networks"),
        ({"retry_after": 0}, "retry_after of maintenance is 0 s: set it to 1 to 86400"),
        ({"retry_after": 86401}, "is 86401 s"),
        ({"message": " \n"}, "has 0 characters: write 1 to 2000"),
        ({"message": "x" * 2001}, "has 2001 characters"),
    ],
)
def test_maintenance_that_means_nothing_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(records.BadMaintenance, match=message) as caught:
        maintained(live(), **changes)
    assert "\n" not in str(caught.value)


def test_the_largest_maintenance_fits_through_the_control_socket() -> None:
    largest = maintained(
        live(), message="\U0001f6a7" * 2000, allow=[f"2001:db8:1111:2222:3333:4444:5555:{n:x}" for n in range(100)]
    )
    assert len(json.dumps(largest)) < 64 * 1024, "client_max_body_size of the control server"


def test_a_record_from_before_there_was_maintenance_is_served() -> None:
    old = {key: value for key, value in live().items() if key != "maintenance"}
    assert records.from_data("shop", old) == live()


@given(st.ip_addresses(), st.integers(0, 128))
def test_any_network_is_kept_as_the_same_addresses(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    wide = ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False)
    kept = ipaddress.ip_network(records.network(str(wide)))
    assert kept.num_addresses == wide.num_addresses
    assert records.network(str(kept)) == str(kept)


@pytest.mark.parametrize(
    "data",
    [
        "not JSON: oops",
        [],
        {},
        {**records.empty("blog")},
        {**records.empty("shop"), "token": "1"},
        {**records.empty("shop"), "confirmed": {"release": "r1", "slot": "red"}},
        {**records.empty("shop"), "pending": {"release": "r1", "slot": "blue", "percent": 100}},
        {**records.empty("shop"), "extra": 1},
        {**records.empty("shop"), "maintenance": True},
        {**records.empty("shop"), "maintenance": {"since": 1.0, "message": "m", "retry_after": 1}},
        {**records.empty("shop"), "maintenance": {"since": 1.0, "message": "m", "retry_after": 1, "allow": [1]}},
    ],
)
def test_a_damaged_file_is_not_taken_for_an_empty_one(data: Any) -> None:
    with pytest.raises(records.Damaged, match="record of shop is damaged"):
        records.from_data("shop", data)


def test_an_edge_without_a_file_was_never_deployed_to() -> None:
    assert records.from_data("shop", None) == records.empty("shop")
    assert records.from_data("shop", live()) == live()


@given(st.lists(st.integers(1, 100), min_size=2, max_size=5).map(sorted), st.uuids().map(lambda found: found.hex))
def test_a_growing_share_only_adds_visitors(percents: list[int], visitor: str) -> None:
    record, seen = live(), []
    for percent in percents:
        record = flip(record, "r2", "green", percent=percent)
        shares = records.effective(record, 1001)
        seen.append(len(shares) == 1 or bucket(visitor) < shares[0]["percent"])
        assert shares[0] == {"release": "r2", "slot": "green", "percent": percent}
    assert seen == sorted(seen), "a visitor who saw the new release lost it"


@given(SLOT, st.integers(1, 100), st.floats(0.1, 3600), st.floats(0, 1e6))
def test_past_every_deadline_only_the_confirmed_release_is_served(
    slot: str, percent: int, seconds: float, later: float
) -> None:
    confirmed = live(slot="green" if slot == "blue" else "blue")
    record = flip(confirmed, "r2", slot, percent=percent, seconds=seconds)
    after = (record["deadline"] or 0) + later
    assert records.effective(record, after) == records.effective(confirmed, after)
    with pytest.raises(records.TooLate):
        records.confirm(record, release="r2", token=1, now=after)


class AnyOrder(RuleBasedStateMachine):
    """Runs of any token doing anything in any order, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.record, self.now = records.empty("shop"), 1000.0
        self.maintenance: records.Maintenance | None = None

    def take(self, after: Record) -> None:
        before, self.record = self.record, after
        assert after is before or (after["seq"] == before["seq"] + 1 and after["token"] >= before["token"])

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(release=RELEASES, slot=SLOT, percent=st.integers(1, 100), token=TOKENS)
    def propose(self, release: str, slot: str, percent: int, token: int) -> None:
        confirmed = self.record["confirmed"]
        try:
            self.take(flip(self.record, release, slot, percent=percent, token=token, now=self.now))
        except (records.StaleToken, records.BadFlip):
            return
        assert self.record["confirmed"] == confirmed, "a flip alone confirms nothing"

    @rule(release=RELEASES, token=TOKENS)
    def confirm(self, release: str, token: int) -> None:
        before = self.record
        try:
            self.take(records.confirm(before, release=release, token=token, now=self.now))
        except records.RecordError:
            return
        # What is confirmed already stays so; a dead flip beside it is cleared.
        if self.record["confirmed"] != before["confirmed"]:
            assert (
                before["pending"]
                and before["pending"]["release"] == release
                and records.pending_alive(before, self.now)
            )
        assert records.effective(self.record, self.now + 1e6)[0]["release"] == release

    @precondition(lambda self: self.record["pending"])
    @rule(token=TOKENS)
    def abort(self, token: int) -> None:
        confirmed = self.record["confirmed"]
        try:
            self.take(records.abort(self.record, token=token))
        except records.StaleToken:
            return
        assert self.record["confirmed"] == confirmed and self.record["pending"] is None

    @rule(message=st.sampled_from(["a", "b"]), token=TOKENS)
    def maintain(self, message: str, token: int) -> None:
        self.switch(lambda: maintained(self.record, message=message, token=token, now=self.now))

    @rule(token=TOKENS)
    def serve(self, token: int) -> None:
        self.switch(lambda: records.serve(self.record, token=token))

    def switch(self, step: Callable[[], Record]) -> None:
        before = self.record
        try:
            self.take(step())
        except records.StaleToken:
            return
        assert records.effective(self.record, self.now) == records.effective(before, self.now)
        self.maintenance = self.record["maintenance"]

    @invariant()
    def only_maintain_and_serve_change_maintenance(self) -> None:
        assert self.record["maintenance"] == self.maintenance

    @invariant()
    def the_shares_are_whole(self) -> None:
        shares = records.effective(self.record, self.now)
        assert sum(share["percent"] for share in shares) in ((0, 100) if self.record["confirmed"] else range(101))

    @invariant()
    def it_can_be_kept_in_a_file(self) -> None:
        assert records.from_data("shop", dict(self.record)) == self.record


TestAnyOrder = AnyOrder.TestCase
