# SPDX-License-Identifier: Apache-2.0
"""The four figures of an app's releases, from its ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.events import figures_page
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, figures, ledger
from hypothesis import given
from hypothesis import strategies as st

BEGIN = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
HOUR = 3600.0


def at(hours: float) -> str:
    return (BEGIN + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def entry(token: int, event: str, release: str, hours: float, action: str = "deploy", **more: Any) -> ledger.Entry:
    run = {"action": action, "id": f"run{token}", "who": "ann@ci"}
    manifest = {"id": release, "version": "v1", "services": {}} if event != "failed" else None
    found = ledger.entry(event, token=token, time=at(hours), run=run, manifest=manifest, **more)
    return {**found, "release": release}


def deploy(token: int, hours: float, lead: float | None = None) -> list[ledger.Entry]:
    """A deploy of a release of its own; ``lead``: its image was built so many hours before."""
    built = {"built": {"revision": "a", "created": at(hours - lead)}} if lead is not None else {}
    release = f"r{token}"
    return [entry(token, "started", release, hours), entry(token, "confirmed", release, hours, **built)]


def back(token: int, hours: float, release: str) -> list[ledger.Entry]:
    return [entry(token, "confirmed", release, hours, "rollback")]


def data(*entries: list[ledger.Entry], days: float = 90) -> dict[str, Any]:
    return figures.figures("shop", ledger.merge([[one for run in entries for one in run]]), NOW, days)


def value(found: dict[str, Any], name: str) -> Any:
    return found["figures"][name]["value"]


def test_the_four_figures_of_a_quarter() -> None:
    weekly = [deploy(number, 168 * number, lead=number) for number in range(1, 11)]
    mended = [
        [*deploy(20 + number, 168 * number + 24, lead=1.0), *back(40 + number, 168 * number + 26, f"r{number}")]
        for number in (2, 4, 6)
    ]
    runs = sorted([*weekly, *mended], key=lambda run: run[0]["time"])
    for token, run in enumerate(runs, 1):
        for item in run:
            item["token"], item["run_id"] = 10 * token + (item["action"] == "rollback"), f"run{token}{item['action']}"
    found = data(*runs)
    assert len(found["deployments"]) == 13 and found["days"] == 81.0
    assert value(found, "deployment_frequency") == round(13 / (81 / 7), 2)
    assert value(found, "change_failure_rate") == round(3 / 13, 3)
    assert value(found, "time_to_restore") == 2 * HOUR
    assert value(found, "lead_time") == 4 * HOUR, "the median of 1 to 10 hours and three times 1 hour"
    assert sum(week["good"] for week in found["weeks"]) == 10 and sum(week["failed"] for week in found["weeks"]) == 3
    assert figures.lines(found) == [
        "shop: 81 days, 2026-09-08 to 2026-11-28 (the history has no more; 90 were asked for)",
        "  deployment frequency   1.12 a week (13 deployments)",
        "  lead time for changes  4 h, 9 of 10 within 8 h 48 min (13 of them)",
        "  change failure rate    23.1 % of 13 deployments",
        "  time to restore        2 h, 9 of 10 within 2 h (3 of them)",
        "  stopped before live    0 deploys",
    ]
    assert found == json.loads(json.dumps(found))


def test_too_little_says_so_instead_of_a_figure() -> None:
    found = data(deploy(1, 24 * 85))
    assert [figure["value"] for figure in found["figures"].values()] == [None] * 4
    assert figures.lines(found)[1:5] == [
        "  deployment frequency   too few: 3.0 days of history, 7 needed",
        "  lead time for changes  too few: 0 deployments with an image's time, 5 needed",
        "  change failure rate    too few: 1 deployment, 5 needed",
        "  time to restore        too few: 0 failures put right, 3 needed",
    ]
    assert all(value is None for value in [value(data(), name) for name in figures.NAMES])


def test_what_counts_as_failed() -> None:
    one = deploy(1, 0)
    after_live = [*deploy(2, 10), entry(2, "failed", "r2", 10, step="workers")]
    before_live = [entry(3, "started", "r3", 20), entry(3, "failed", "r3", 20, step="start")]
    found = data(one, after_live, before_live, deploy(4, 30))
    assert [item["failed"] for item in found["deployments"]] == ["", "failed in step workers", ""]
    assert found["deployments"][1]["restored_seconds"] == 20 * HOUR, "by the next release, forward"
    assert [(item["release"], item["step"]) for item in found["stopped"]] == [("r3", "start")]


def test_two_steps_back_say_both_were_bad_and_a_step_forward_says_nothing() -> None:
    runs = [deploy(1, 0), deploy(2, 10), deploy(3, 20), back(4, 21, "r2"), back(5, 23, "r1")]
    found = data(*runs)["deployments"]
    assert [(item["failed"], item["restored_seconds"]) for item in found] == [
        ("", None),
        ("rolled back", 13 * HOUR),
        ("rolled back", 1 * HOUR),
    ]
    assert data(*runs, back(6, 24, "r2"))["deployments"] == found


def test_the_same_release_confirmed_again_is_no_deployment() -> None:
    assert len(data(deploy(1, 0), [entry(2, "confirmed", "r1", 5)])["deployments"]) == 1


def test_a_clock_that_is_behind_gives_no_lead_time() -> None:
    assert data(deploy(1, 10, lead=-1.0))["deployments"][0]["lead_seconds"] is None


RUNS = st.lists(
    st.tuples(st.sampled_from(["deploy", "deploy", "rollback", "stopped", "late"]), st.integers(1, 40)), max_size=30
)


def story(runs: list[tuple[str, int]]) -> list[ledger.Entry]:
    """The ledger of these runs, so many hours after each other."""
    found: list[ledger.Entry] = []
    lives: list[str] = []
    hours = 0
    for token, (kind, pause) in enumerate(runs, 1):
        hours += pause
        if kind == "stopped":
            found += [entry(token, "started", f"r{token}", hours), entry(token, "failed", f"r{token}", hours)]
        elif kind == "rollback" and len(lives) > 1:
            lives.pop()
            found += back(token, hours, lives[-1])
        elif kind != "rollback":
            found += deploy(token, hours, lead=1.0)
            found += [entry(token, "failed", f"r{token}", hours, step="workers")] if kind == "late" else []
            lives.append(f"r{token}")
    return found


@given(RUNS)
def test_every_ledger_adds_up(runs: list[tuple[str, int]]) -> None:
    entries = story(runs)
    found = data(entries)
    went_live = [one for one in entries if one["event"] == "confirmed" and one["action"] == "deploy"]
    assert len(found["deployments"]) == len(went_live)
    assert len(found["stopped"]) == sum(1 for kind, _unused in runs if kind == "stopped")
    counted = [week[name] for week in found["weeks"] for name in ("good", "failed", "stopped")]
    assert sum(counted) == len(found["deployments"]) + len(found["stopped"])
    for item in found["deployments"]:
        assert item["restored_seconds"] is None or (item["failed"] and item["restored_seconds"] > 0)
    # A compacted copy, alone or with a whole one, says the same.
    small = compaction.compact(entries, 2)
    for copies in ([small], [small, entries], [entries, small]):
        assert figures.figures("shop", ledger.merge(copies), NOW, 90) == found
    assert "<svg" in figures_page.html(found)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (90000, "1 d 1 h"),
        (86400, "1 d"),
    ],
)
def test_durations_are_two_units_at_most(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


def test_the_page_has_its_plots_and_is_safe() -> None:
    runs = [deploy(number, 100 * number, lead=number) for number in range(1, 9)]
    runs[3] = [{**item, "who": "<script>alert(1)</script>", "release": "r<4>"} for item in runs[3]]
    page = figures_page.html(data(*runs, back(9, 900, "r7")))
    assert page.count("<svg ") == 3 and "<script" not in page and "r&lt;4&gt;" in page
    assert "Lead time of each deployment" in page and "8 deployments" in page
