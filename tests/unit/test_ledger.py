# SPDX-License-Identifier: Apache-2.0
"""The history of an app survives torn writes and missing copies, and knows where to go back to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from hypothesis import given
from hypothesis import strategies as st


def entry(
    token: int, event: str = "confirmed", release: str = "r1", action: str = "deploy", **more: Any
) -> ledger.Entry:
    run = {"action": action, "id": f"run{token}", "who": "anna@build"}
    manifest = {"id": release, "version": f"v-{release}"}
    return ledger.entry(event, token=token, time=f"t{token}", run=run, manifest=manifest, **more)


def history(*runs: tuple[str, str]) -> ledger.History:
    """The history of ``(action, release)`` runs that were all confirmed."""
    return ledger.merge(
        [[entry(token, release=release, action=action) for token, (action, release) in enumerate(runs, 1)]]
    )


ENTRIES = st.lists(
    st.builds(
        entry,
        st.integers(1, 6),
        st.sampled_from(["started", "confirmed", "failed"]),
        st.sampled_from(["r1", "r2", "r3"]),
        st.sampled_from(["deploy", "rollback"]),
        time_of_copy=st.integers(0, 3),
    ),
    max_size=12,
)


@given(copies=st.lists(ENTRIES, max_size=4), seed=st.randoms(use_true_random=False))
def test_the_order_of_copies_and_entries_does_not_matter(copies: list[list[ledger.Entry]], seed: random.Random) -> None:
    shuffled = [seed.sample(copy, len(copy)) for copy in seed.sample(copies, len(copies))]
    assert ledger.merge(shuffled) == ledger.merge(copies)


@given(copies=st.lists(ENTRIES, max_size=4))
def test_merging_again_changes_nothing(copies: list[list[ledger.Entry]]) -> None:
    once = ledger.merge(copies)
    assert ledger.merge([once.entries, *copies]) == once
    assert ledger.merge([once.entries]) == once


@given(text=st.text())
def test_a_line_gives_back_what_went_in(text: str) -> None:
    item = entry(1, message=text)
    assert ledger.from_lines(ledger.to_line(item)) == [item]


def test_a_last_line_torn_at_any_byte_loses_that_line_alone_and_the_next_write_heals(tmp_path: Path) -> None:
    whole = [entry(1, message="naïve ünïcödé"), entry(2)]
    text = "".join(ledger.to_line(item) for item in whole).encode()
    first = len(ledger.to_line(whole[0]).encode())
    path = tmp_path / "ledger.jsonl"
    for cut in range(first, len(text) + 1):
        path.write_bytes(text[:cut])
        # Without its line end the last line is whole all the same.
        kept = 2 if cut >= len(text) - 1 else 1
        assert ledger.read(str(path)) == whole[:kept], cut
        assert ledger.append(str(path), [entry(3)])
        assert ledger.read(str(path)) == [*whole[:kept], entry(3)], cut


def test_a_damaged_line_in_the_middle_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append(str(path), [entry(1), entry(2), entry(3)])
    path.write_text(path.read_text().replace('"token":2', '"token":9'))
    assert [item["token"] for item in ledger.read(str(path))] == [1, 3]


def test_an_entry_is_written_once_however_often_it_is_appended(tmp_path: Path) -> None:
    path = str(tmp_path / "apps" / "shop" / "ledger.jsonl")
    assert ledger.append(path, [entry(1)])
    assert not ledger.append(path, [entry(1)])
    assert ledger.append(path, [entry(1), entry(1, "failed")])
    assert [item["event"] for item in ledger.read(path)] == ["confirmed", "failed"]


def test_a_ledger_is_readable_by_root_alone(tmp_path: Path) -> None:
    path = tmp_path / "apps" / "shop" / "ledger.jsonl"
    ledger.append(str(path), [entry(1)])
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "apps").stat().st_mode & 0o777 == 0o700


def test_a_host_without_a_ledger_has_no_entries(tmp_path: Path) -> None:
    assert ledger.read(str(tmp_path / "none")) == []


def test_rollback_goes_to_the_newest_release_before_the_live_one() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("deploy", "r3"))
    assert ledger.rollback_target(past, "r3")["id"] == "r2"


def test_a_second_rollback_goes_further_back() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("deploy", "r3"), ("rollback", "r2"))
    assert past.rolled_back == {"r3"}
    assert ledger.rollback_target(past, "r2")["id"] == "r1"


def test_a_rollback_skips_what_was_itself_rolled_back() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("rollback", "r1"), ("deploy", "r3"))
    assert ledger.rollback_target(past, "r3")["id"] == "r1"


def test_there_is_an_end_to_going_back() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("rollback", "r1"))
    with pytest.raises(
        ledger.NothingToGoBackTo, match="release r1 is live, and every earlier confirmed release was itself rolled back"
    ):
        ledger.rollback_target(past, "r1")


def test_going_back_to_a_later_release_by_name_discredits_nothing() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("rollback", "r1"), ("rollback", "r2"))
    assert past.rolled_back == set()
    assert ledger.rollback_target(past, "r2")["id"] == "r1"


def test_a_release_that_failed_is_no_target() -> None:
    past = ledger.merge([[entry(1, release="r1"), entry(2, "failed", "r2"), entry(3, release="r3")]])
    assert ledger.rollback_target(past, "r3")["id"] == "r1"


@pytest.mark.parametrize("wanted", ["r1", "v-r1"])
def test_a_rollback_can_name_its_release_or_version(wanted: str) -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"), ("deploy", "r3"))
    assert ledger.rollback_target(past, "r3", wanted)["id"] == "r1"


def test_a_rollback_to_what_never_was_lists_what_was() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"))
    with pytest.raises(ledger.NothingToGoBackTo) as caught:
        ledger.rollback_target(past, "r2", "v9")
    assert str(caught.value) == "release_to=v9 is not a confirmed release; confirmed releases: r1, r2"


def test_a_rollback_to_what_is_live_is_refused() -> None:
    past = history(("deploy", "r1"), ("deploy", "r2"))
    with pytest.raises(ledger.NothingToGoBackTo, match="release_to=r2: release r2 is already live"):
        ledger.rollback_target(past, "r2", "r2")
