# SPDX-License-Identifier: Apache-2.0
"""What is a failed request, which promise is kept, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, judge, report
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Promise
from ansible_collections.sluice.stack.plugins.module_utils.chaos.judge import Sample, Seen, Times

KILLED = catalogue.BY_NAME["container_killed"]
PAUSED = catalogue.BY_NAME["database_paused"]
NONE = Promise()
# The action begins at 10, the fault ends at 20, the watching at 40.
TIMES = Times(10, 20, 40)


def samples(*bad: float, upto: float = 40, took: float = 0.01, status: int = 502) -> list[Sample]:
    """A request each second, answered with 200; those sent at the times that are ``bad`` are not."""
    return [Sample(float(at), took, 0, status if at in bad else 200) for at in range(int(upto))]


def judged(found: list[Sample], promise: Promise = NONE, times: Times = TIMES) -> Seen:
    return judge.judge(KILLED, "app2", promise, found, times, "shop-web")


def test_all_answered_is_kept() -> None:
    seen = judged(samples())
    assert (seen.state, seen.failed, seen.since, seen.why) == ("kept", 0, 30, "")


@pytest.mark.parametrize("at", [11, 19, 20, 25, 39])
def test_one_failed_request_breaks_a_promise_of_none(at: int) -> None:
    seen = judged(samples(at))
    assert seen.state == "broken" and seen.failed == 1
    assert seen.errors == (("status 502", 1),)


@pytest.mark.parametrize(
    ("bad", "promise", "why"),
    [
        ((12, 13, 14), Promise(30, 0), ""),
        ((12, 13, 14, 15), Promise(30, 0), "4 of 11 requests failed"),
        ((21, 34), Promise(100, 15), ""),
        ((36,), Promise(100, 15), "1 failed more than 15 s after its end"),
        ((*range(10, 36), 38), Promise(99, 15), "26 of 26 requests failed; 1 failed more than 15 s after its end"),
    ],
)
def test_a_bound_is_of_the_requests_until_it_has_recovered(bad: tuple[float, ...], promise: Promise, why: str) -> None:
    seen = judged(samples(*bad), promise)
    assert (seen.state, seen.why) == ("broken" if why else "kept", why)


def test_what_was_under_way_when_it_began_counts() -> None:
    seen = judged([*samples(), Sample(9.5, 10.0, 0, 0, "no answer within 10 s")])
    assert seen.state == "broken" and seen.errors == (("no answer within 10 s", 1),)


def test_no_request_is_no_kept_promise() -> None:
    assert judged(samples(upto=9)).why == "no request was seen"


def test_recovery_is_from_the_end_of_the_fault() -> None:
    assert judged(samples(12, 26), Promise(100, 15)).recovered == 6
    assert judged(samples(12), Promise(100, 15)).recovered == 0


def test_another_status_than_before_is_a_failure() -> None:
    before = [Sample(float(at), 0.01, 0, 401) for at in range(10)]
    assert judged([*before, Sample(11, 0.01, 0, 401)]).failed == 0
    assert judged([*before, Sample(11, 0.01, 0, 200)]).failed == 1


@pytest.mark.parametrize(
    ("seen", "steady"),
    [([200, 200], True), ([301, 301], True), ([404, 404], True), ([200, 302], False), ([502, 502], False), ([429, 429], False), ([0, 0], False)],
)  # fmt: skip
def test_a_steady_state_is_one_answer_that_is_no_error(seen: list[int], steady: bool) -> None:
    found = [Sample(float(at), 0.01, 0, status) for at, status in enumerate(seen)]
    problem = judge.unsteady(found, [{"name": "edge1 /"}])
    assert (problem == "") == steady
    assert steady or problem.startswith("edge1 /: ")


def test_a_probe_without_an_answer_is_not_steady() -> None:
    assert judge.unsteady(samples(), [{"name": "a"}, {"name": "b"}]) == "b: no answer yet"


def test_calm_is_a_while_of_answers() -> None:
    good = {0: 200}
    assert judge.calm(samples(), good, since=20, now=40, seconds=4)
    assert not judge.calm(samples(38), good, since=20, now=40, seconds=4)
    assert judge.calm(samples(30), good, since=20, now=40, seconds=4)
    assert not judge.calm(samples(upto=30), good, since=20, now=40, seconds=4), "nothing was answered"
    assert not judge.calm(samples(), good, since=38, now=40, seconds=4), "too early"


@pytest.mark.parametrize(
    ("bad", "promise", "now", "stops"),
    [
        ((18, 19), Promise(), 20, True),
        ((19,), Promise(), 20, False),
        ((18, 19), Promise(5), 20, True),
        ((17, 18, 19), Promise(100, 15), 20, False),
        ((10, 11), Promise(), 12, False),
        ((), Promise(), 20, False),
    ],
)
def test_it_is_undone_early_when_half_fails_that_was_not_to(
    bad: tuple[float, ...], promise: Promise, now: float, stops: bool
) -> None:
    assert judge.out_of_hand(samples(*bad, upto=now), {0: 200}, promise, since=10, now=now) == stops


def test_seconds_show_the_fault() -> None:
    rows = judged(samples(12)).seconds
    assert len(rows) == 40 and rows[12] == (0, 1, True) and rows[5] == (1, 0, False) and rows[25] == (1, 0, False)


def rows() -> list[dict[str, Any]]:
    return [
        judged(samples()).as_data(),
        judge.judge(PAUSED, "db1", Promise(), samples(12), TIMES, "postgresql@17-main.service").as_data(),
        judge.skipped(catalogue.BY_NAME["edge_down"], "edge1", Promise(), "it takes two").as_data(),
    ]


def test_the_table_has_what_is_broken_first_and_says_what_was_promised() -> None:
    lines = report.lines(rows())
    assert lines[0].startswith("  broken   database_paused       db1        1 of 30 failed; p99 ")
    assert lines[1].strip() == "promised: no failed request; postgresql@17-main.service"
    assert lines[2].strip() == "→ 1 of 11 requests failed: status 502 (1)"
    assert lines[3] == "  skipped  edge_down             edge1      it takes two"
    assert lines[-1] == "  3 experiments: 1 kept, 1 skipped, 0 unknown, 1 broken"


def test_the_verdict() -> None:
    kept, broken, skipped = rows()
    unknown = judge.unknown(KILLED, "app2", Promise(), "not begun").as_data()
    assert report.verdict([kept, skipped]) == ""
    assert report.verdict([kept, broken, unknown]) == "1 promise was broken: database_paused (1 of 11 requests failed)"
    assert report.verdict([kept, unknown]) == "1 experiment could not be judged: container_killed (not begun)"
    assert report.verdict([skipped]) == "no experiment was done: edge_down (it takes two)"


def test_the_page_has_a_picture_of_each_that_was_done_and_shows_text_as_text() -> None:
    found = report.data(
        [*rows(), judge.skipped(KILLED, "<b>", Promise(), "<i>").as_data()], "shop", "ann@build", "2026-11-28T14:00:00Z"
    )
    page = report.html(found)
    assert page.count("<svg") == 2 and "&lt;i&gt;" in page and "<i>" not in page.replace("<i class", "")
    assert found["ok"] is False and found["counts"] == {"broken": 1, "unknown": 0, "skipped": 2, "kept": 1}


def test_promises_in_words() -> None:
    assert Promise().words() == "no failed request"
    assert Promise(5, 0).words() == "at most 5 % fail, none 0 s after"
    assert Promise(100, 15).words() == "requests may fail, none 15 s after"
