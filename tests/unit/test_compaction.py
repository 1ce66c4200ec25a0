# SPDX-License-Identifier: Apache-2.0
"""A compacted ledger decides as the whole one does, also together with the copy of a host that was away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, ledger
from hypothesis import given
from hypothesis import strategies as st

KEEP = 2  # and one more


def entry(token: int, event: str, release: str | None, action: str = "deploy", **more: Any) -> ledger.Entry:
    run = {"action": action, "id": f"run{token}", "who": "anna@build"}
    services = {"web": {"image": f"x@{release}", "secrets": {"TOKEN": f"{release}"}}}
    manifest = (
        {"id": release, "version": f"v{release}", "services": services} if release and event != "failed" else None
    )
    return {
        **ledger.entry(event, token=token, time=f"t{token:04}", run=run, manifest=manifest, **more),
        "release": release,
    }


# How a run ended, and whether it brought a destructive migration.
RUNS = st.lists(
    st.tuples(st.sampled_from(["deploy", "deploy", "deploy", "rollback", "failed", "restored"]), st.booleans()),
    min_size=1,
    max_size=25,
)


def story(runs: list[tuple[str, bool]], often: int = 0) -> list[list[ledger.Entry]]:
    """What each run wrote, by the history that was known then; ``often``: compacted after so many runs."""
    written: list[list[ledger.Entry]] = []
    for token, (kind, destructive) in enumerate(runs, 1):
        past = ledger.merge([told(written, often)])
        release, action = f"r{token:03}", "deploy"
        if kind == "restored":
            points = [name for name in past.confirmed if name != past.current]
            to = {"point": (points or [""])[-1], "moment": f"t{token:04}", "summary": ""}
            written.append([entry(token, "restored", None, "restore", to=to)])
            continue
        if kind == "rollback":
            try:
                release, action = ledger.rollback_target(past, past.current)["id"], "rollback"
            except ledger.NothingToGoBackTo:
                continue
        more: dict[str, Any] = {"previous": {"release": past.current, "hosts": []} if past.current else None}
        if destructive and action == "deploy":
            more |= {"contracts": [*past.contracted, f"m{token}"], "migrating": [f"m{token}"]}
        ends = "failed" if kind == "failed" else "confirmed"
        written.append([entry(token, "started", release, action, **more), entry(token, ends, release, action, **more)])
    return written


def told(runs: list[list[ledger.Entry]], often: int) -> list[ledger.Entry]:
    """The ledger of a host that was there in all runs."""
    copy: list[ledger.Entry] = []
    for number, run in enumerate(runs):
        copy = [*copy, *run]
        if often and number % often == 0:
            copy = compaction.compact(copy, KEEP)
    return copy


def flat(runs: list[list[ledger.Entry]]) -> list[ledger.Entry]:
    return [item for run in runs for item in run]


def decisions(copies: list[list[ledger.Entry]], kept: list[str]) -> dict[str, Any]:
    """All that a plan asks a history about the releases that it may still go to."""
    history = ledger.merge(copies)
    live = history.current
    try:
        target = ledger.rollback_target(history, live)["id"]
    except ledger.NothingToGoBackTo:
        target = None
    return {
        "live": live,
        "target": target if target in kept else None,
        "named": [one for one in kept if one in history.confirmed and one in history.manifests],
        "destructive": {one: ledger.destructive_since(history, one) for one in kept},
        "brought": {one: ledger.brought_since(history, one) for one in kept},
        "changed": {one: ledger.changed_since(history, one) for one in kept},
        "before": history.before.get(str(live)),
        "restored": history.restored,
        "failed": ledger.failed_alongside(history, str(live)),
    }


def last_confirmed(entries: list[ledger.Entry]) -> list[str]:
    order: list[str] = []
    for item in entries:
        if item["event"] == "confirmed":
            order = [*(one for one in order if one != item["release"]), item["release"]]
    return order[-KEEP - 1 :]


@given(runs=RUNS)
def test_it_decides_as_the_whole_one_does(runs: list[tuple[str, bool]]) -> None:
    whole = flat(story(runs))
    once = compaction.compact(whole, KEEP)
    kept = last_confirmed(whole)
    assert decisions([once], kept) == decisions([whole], kept)
    assert compaction.compact(once, KEEP) == once
    assert decisions([once, whole], kept) == decisions([whole], kept), "another host has it all still"


@given(runs=RUNS, often=st.integers(1, 3))
def test_so_does_one_that_is_compacted_after_each_run(runs: list[tuple[str, bool]], often: int) -> None:
    written = story(runs, often)  # nobody rolls back to what is forgotten
    copy, whole = told(written, often), flat(written)
    kept = last_confirmed(whole)
    assert decisions([copy], kept) == decisions([whole], kept)


@given(runs=RUNS, away=st.integers(1, 25))
def test_a_host_that_was_away_brings_back_no_old_fact(runs: list[tuple[str, bool]], away: int) -> None:
    """Its copy ends early; all others are compacted."""
    written = story(runs)
    whole, early = flat(written), flat(written[:away])
    compacted, kept = compaction.compact(whole, KEEP), last_confirmed(whole)
    together = decisions([compacted, early], kept)
    assert together == decisions([whole], kept)
    if compacted != whole:
        assert set(ledger.merge([compacted, early]).confirmed) >= set(kept)
        old = set(ledger.merge([whole]).confirmed) - set(ledger.merge([compacted]).confirmed)
        assert not old & set(ledger.merge([compacted, early]).confirmed)


def test_a_ledger_without_a_mark_would_bring_them_back() -> None:
    """The negative control: entries are just dropped, and the host that was away does not know of the rollback in between."""
    written = story([("deploy", True), ("deploy", False), ("rollback", False), *[("deploy", False)] * 4])
    whole, early = flat(written), flat(written[:2])
    compacted = compaction.compact(whole, KEEP)
    dropped = [item for item in compacted if item["event"] != ledger.MARK and item["manifest"]]
    assert "r002" in ledger.merge([dropped, early]).confirmed
    assert ledger.merge([dropped, early]).rolled_back == set()
    assert ledger.merge([compacted, early]).confirmed == last_confirmed(whole)


def test_what_the_database_has_is_known_after_its_run_is_forgotten() -> None:
    whole = flat(story([("deploy", True), *[("deploy", False)] * 6, ("deploy", True)]))
    history = ledger.merge([compaction.compact(whole, KEEP)])
    assert history.contracted == ["m1", "m8"]
    assert ledger.destructive_since(history, "r007") == ["m8"], "r007 was made with m1"


def test_marks_of_several_hosts_count_together() -> None:
    whole = flat(story([("deploy", False)] * 8))
    absent = {"without": ["edge2"]}
    one = compaction.compact([entry(1, "started", "r001", **absent), *whole[2:]], KEEP)
    two = compaction.compact(whole, 4)
    for copies in ([one, two], [two, one]):
        history = ledger.merge(copies)
        assert history.left_out == {"edge2": 1}
        assert history.confirmed == ["r006", "r007", "r008"]
        assert set(history.manifests) >= {"r004", "r008"}, "an edge that was away may serve it"


def test_a_release_that_a_host_serves_is_kept() -> None:
    whole = flat(story([("deploy", False)] * 8))
    pinned = compaction.compact(whole, KEEP, pinned={"r002"})
    assert "r002" in ledger.merge([pinned]).confirmed
    assert "r002" not in ledger.merge([compaction.compact(whole, KEEP)]).confirmed


def test_history_is_kept_without_manifests_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = flat(story([("deploy", False)] * 300))
    ledger.append(str(path), whole)
    assert compaction.compact_file(str(path), KEEP)
    assert not compaction.compact_file(str(path), KEEP)
    entries = ledger.read(str(path))
    past = [item for item in entries if item["token"] < 298]
    assert len(past) == compaction.PAST_ENTRIES and not any(item["manifest"] for item in past)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ledger.append(str(path), [entry(301, "started", "r301")]) and len(ledger.read(str(path))) == len(entries) + 1
    # A plan reads the last lines, and all that it needs.
    assert ledger.merge_texts([ledger.text(str(path), 2)]).confirmed == ["r298", "r299", "r300"]
    assert len(ledger.from_lines(ledger.text(str(path), 60))) == 60


def test_many_failed_runs_do_not_push_the_live_release_out_of_sight(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.jsonl")
    ledger.append(path, compaction.compact(flat(story([*[("deploy", False)] * 5, *[("failed", False)] * 60])), KEEP))
    assert ledger.merge_texts([ledger.text(path, 60)]).current == "r005"


@pytest.mark.parametrize(("running", "gone"), [({"r8"}, ["TOKEN.r1", "TOKEN.r2"]), ({"r8", "r9"}, [])])
def test_secrets_that_no_manifest_names_go_where_all_that_runs_is_known(running: set[str], gone: list[str]) -> None:
    entries = [
        entry(7, "confirmed", "r7"),
        entry(8, "confirmed", "r8"),
        {**entry(2, "confirmed", "r2"), "manifest": None},
    ]
    assert compaction.unneeded_secrets(entries, ["TOKEN.r8", "TOKEN.r7", "TOKEN.r2", "TOKEN.r1"], running) == gone


def test_secrets_are_removed_from_the_store(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for release in ("r1", "r8"):
        (tmp_path / "secrets" / f"TOKEN.{release}").write_text("hunter2")
    assert compaction.remove_secrets(str(tmp_path), [entry(8, "confirmed", "r8")], {"r8"}) == ["TOKEN.r1"]
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["TOKEN.r8"]
    assert compaction.remove_secrets(str(tmp_path / "none"), [], set()) == []
