# SPDX-License-Identifier: Apache-2.0
"""The edge's log as counts: whatever else is in it, and however it is cut."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.action.canary_verdict import ActionModule
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.edge import access_log
from ansible_collections.sluice.stack.plugins.modules import canary_window
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "20261122T231500Z-v1.0.0", "20261123T081200Z-v1.1.0"
SINCE = 1795409400.0
WINDOW = canary_log.Window("shop", {"new": NEW, "old": OLD}, SINCE, SINCE + 60, 5.0)


def line(at: float = 1.0, **changes: Any) -> bytes:
    """A line of a request that ended ``at`` seconds after the window's begin; None leaves a field out."""
    item = {
        "time": "2026-11-23T08:15:00+00:00",
        "epoch": round(SINCE + at, 3),
        "id": "5b1f0f0e8f7e4b0c9d6a3c2b1a098765",
        "client": "192.0.2.7",
        "method": "GET",
        "host": "shop.example.com",
        "uri": "/api/bookings",
        "status": 200,
        "bytes": 1834,
        "seconds": 0.05,
        "app": "shop",
        "service": "backend",
        "slot": "green",
        "release": NEW,
        "upstream": "10.0.0.21:20001",
        "upstream_status": "200",
        "upstream_seconds": "0.048",
    }
    return json.dumps({name: value for name, value in {**item, **changes}.items() if value is not None}).encode()


def counted(*lines: bytes) -> int:
    return int(canary_log.count(lines, WINDOW)["lines"]["counted"])


def test_a_line_is_counted_in_its_arm_block_and_service() -> None:
    found = canary_log.count([line(1), line(7, status=502), line(8, release=OLD, service="frontend")], WINDOW)
    assert found["arms"]["new"] == {
        "0": {"backend": {"requests": 1, "errors": 0, "latency": {"41": 1}}},
        "1": {"backend": {"requests": 1, "errors": 1, "latency": {"41": 1}}},
    }
    assert found["arms"]["old"] == {"1": {"frontend": {"requests": 1, "errors": 0, "latency": {"41": 1}}}}
    assert found["lines"] == {"read": 3, "counted": 3, "broken": 0}


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"GET / HTTP/1.1",
        b'192.0.2.7 - - [23/Nov/2026:08:15:00 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.5.0"',
        b"[1, 2]",
        b"null",
        b"17",
        b'"status"',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        line(epoch="soon"),
        line(epoch=math.nan),
        line(epoch=math.inf),
        line(epoch=None),
        line(status=None),
        line(status="-"),
        line(seconds=None),
        line(seconds=[1]),
    ],
)
def test_a_line_that_cannot_be_read_is_passed_over(foreign: bytes) -> None:
    found = canary_log.count([line(1), foreign, line(2)], WINDOW)
    assert found["lines"] == {"read": 3, "counted": 2, "broken": 1}


def test_a_torn_line_is_passed_over_wherever_it_is_torn() -> None:
    whole = line()
    for cut in range(1, len(whole)):
        assert canary_log.parse(whole[:cut]) is None
        assert canary_log.parse(whole[cut:]) is None


def test_an_address_that_is_not_utf_8_and_one_that_looks_like_a_line_do_no_harm() -> None:
    raw = line(uri='/a\\","status":500,"app":"other').replace(b"/a", b"/\xff\xc3")
    assert counted(raw) == 1
    assert canary_log.count([raw], WINDOW)["arms"]["new"]["0"]["backend"]["errors"] == 0


@pytest.mark.parametrize(
    "changes", [{"app": "blog"}, {"app": ""}, {"app": None}, {"release": ""}, {"release": None}, {"release": "x"}]
)
def test_other_apps_and_releases_are_not_counted(changes: dict[str, Any]) -> None:
    found = canary_log.count([line(1, **changes)], WINDOW)
    assert found["lines"] == {"read": 1, "counted": 0, "broken": 0}
    assert found["arms"] == {"new": {}, "old": {}}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.048", 0.048),
        ("0.000", 0.0),
        ("0.002, 0.040", 0.042),  # two hosts of the release
        ("-, 0.040", 0.040),
        ("0.004 : 0.100", 0.004),  # then the other slot, which is another release
        ("0.002, 0.003 : 0.100, 0.200", 0.005),
        ("-", 9.0),
        ("- : 0.1", 9.0),
        ("", 9.0),
        (None, 9.0),
        (0.048, 9.0),
        ("nan", 9.0),
    ],
)
def test_the_upstreams_time_is_the_releases_own(text: Any, seconds: float) -> None:
    assert canary_log.upstream_seconds(text, 9.0) == pytest.approx(seconds)


def test_a_visitor_who_gave_up_counts_with_the_time_it_waited() -> None:
    found = canary_log.parse(line(20, status=499, seconds=12.0, upstream_seconds="-", upstream_status="-"))
    assert found and found.latency == 12.0


def test_a_websocket_is_a_request_without_latency() -> None:
    found = canary_log.count([line(50, status=101, seconds=40, upstream_seconds="40.000")], WINDOW)
    assert found["arms"]["new"] == {"2": {"backend": {"requests": 1, "errors": 0, "latency": {}}}}


def test_a_request_belongs_to_the_block_it_began_in_and_has_to_end_in_the_window() -> None:
    found = canary_log.count([line(20, seconds=12.0)], WINDOW)
    assert list(found["arms"]["new"]) == ["1"]
    assert counted(line(1, seconds=1.5), line(60), line(59.999, seconds=59.999), line(0.0, seconds=0.0)) == 2


def test_the_last_block_may_be_shorter() -> None:
    window = canary_log.Window("shop", {"new": NEW, "old": OLD}, SINCE, SINCE + 12, 5.0)
    found = canary_log.count([line(at) for at in range(1, 12)], window)
    assert {block: cells["backend"]["requests"] for block, cells in found["arms"]["new"].items()} == {
        "0": 5,
        "1": 5,
        "2": 1,
    }


@given(st.floats(0.001, 3600))
def test_a_bucket_holds_what_is_above_the_one_before_and_up_to_its_end(seconds: float) -> None:
    index = canary_log.bucket(seconds)
    assert seconds <= canary_log.bucket_end(index) * (1 + 1e-9)
    assert index == 0 or seconds > canary_log.bucket_end(index - 1) * (1 - 1e-9)


def test_a_time_that_is_a_buckets_end_is_in_it() -> None:
    assert [canary_log.bucket(canary_log.bucket_end(index)) for index in range(200)] == list(range(200))
    assert canary_log.bucket(0.0) == canary_log.bucket(-1.0) == 0


requests = st.builds(
    line,
    st.floats(-5, 65),
    status=st.sampled_from([200, 404, 499, 500, 504]),
    release=st.sampled_from([OLD, NEW, "other"]),
    service=st.sampled_from(["backend", "frontend"]),
    upstream_seconds=st.sampled_from(["0.001", "0.040", "0.3, 1.2", "-"]),
)


@given(st.lists(st.tuples(requests, st.integers(0, 2)), max_size=60))
def test_counts_of_edges_add_up_to_the_counts_of_all_lines(lines: list[tuple[bytes, int]]) -> None:
    parts = [canary_log.count([text for text, edge in lines if edge == number], WINDOW) for number in range(3)]
    before = json.dumps(parts)
    whole = canary_log.count([text for text, _ in lines], WINDOW)
    assert canary_log.add(parts) == whole
    assert canary_log.add(json.loads(before)) == whole, "as they come from a host"
    assert json.dumps(parts) == before, "adding does not change what it adds"


@pytest.mark.parametrize("changes", [{"app": "blog"}, {"releases": {"new": "x", "old": OLD}}, {"block_seconds": 10.0}])
def test_counts_of_different_things_are_not_added(changes: dict[str, Any]) -> None:
    found = canary_log.count([], WINDOW)
    with pytest.raises(canary_log.CountsDiffer, match=f"the edges' counts differ in {next(iter(changes))}, "):
        canary_log.add([found, {**found, **changes}])


@given(st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b""))), st.integers(1, 20), st.booleans())
def test_a_file_is_read_backwards_whatever_the_chunk(lines: list[bytes], chunk: int, ended: bool) -> None:
    text = b"\n".join(lines) + (b"\n" if ended else b"")
    wanted = [one for one in text.split(b"\n") if one]
    assert list(access_log.backwards(io.BytesIO(text), chunk)) == wanted[::-1]


def test_a_huge_log_costs_what_the_window_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"\n".join([*(line(-3600 + number / 10) for number in range(20_000)), line(1), line(2)]) + b"\n")
    monkeypatch.setattr(access_log, "CHUNK", 4096)
    found = canary_window.read(str(log), WINDOW)
    assert found["lines"]["counted"] == 2
    assert found["lines"]["read"] < 100


def test_lines_out_of_order_at_the_begin_are_found(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"\n".join([line(1), line(-2), line(2)]) + b"\n")
    assert canary_window.read(str(log), WINDOW)["lines"]["counted"] == 2


def test_a_window_reaches_into_the_log_before_a_rotation(tmp_path: Path) -> None:
    (tmp_path / "access.log.1").write_bytes(b"\n".join([line(-100), line(1), line(2)]) + b"\n")
    log = tmp_path / "access.log"
    log.write_bytes(b"")
    assert canary_window.read(str(log), WINDOW)["lines"] == {"read": 3, "counted": 2, "broken": 0}
    log.write_bytes(line(3) + b"\n")
    assert canary_window.read(str(log), WINDOW)["lines"]["counted"] == 3


def test_a_rotation_between_the_two_names_counts_no_line_twice(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(line(1) + b"\n")
    os.link(log, tmp_path / "access.log.1")
    assert canary_window.read(str(log), WINDOW)["lines"]["counted"] == 1


def test_a_missing_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(access_log.LogError, match=r"access\.log cannot be read \(No such file or directory\)"):
        canary_window.read(str(tmp_path / "access.log"), WINDOW)


def params(**changes: Any) -> dict[str, Any]:
    base = {
        "app": "shop",
        "releases": {"new": NEW, "old": OLD},
        "since": None,
        "seconds": None,
        "until": None,
        "block_seconds": 5.0,
        "flag": "",
        "goal": "",
    }
    return {**base, **changes}


def test_a_window_is_named_by_its_begin_or_its_length() -> None:
    assert canary_window.window_of(params(seconds=60.0), SINCE + 60) == WINDOW
    assert canary_window.window_of(params(since=SINCE), SINCE + 60) == WINDOW
    assert canary_window.window_of(params(seconds=60.0, until=SINCE + 60), SINCE + 900) == WINDOW


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"since": SINCE + 90}, "the window is empty"),
        ({"seconds": 0.0}, "the window is empty"),
        ({"seconds": 60.0, "block_seconds": 0.0}, "block_seconds is 0: it must be above 0"),
        ({"seconds": 60.0, "releases": {"new": OLD, "old": OLD}}, "cannot be compared with itself"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(access_log.LogError, match=message):
        canary_window.window_of(params(**changes), SINCE + 60)


def verdict(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What the action plugin makes of what the edges registered."""
    monkeypatch.setattr(ActionBase, "run", lambda *args, **kwargs: {})
    action = object.__new__(ActionModule)
    action._task = type("Task", (), {"args": {"hosts": ["edge1", "edge2"], "result": "window", "settings": settings}})()
    hostvars = {host: {"window": answer} if answer is not None else {} for host, answer in answers.items()}
    result = action.run(task_vars={"hostvars": hostvars})
    assert result["changed"] is False
    return dict(result["canary"])


def test_the_edges_counts_are_judged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"counts": canary_log.count([line(at) for at in range(1, 11)], WINDOW)}
    found = verdict(monkeypatch, {"edge1": half, "edge2": half})
    assert found["samples"]["new"]["requests"] == 20


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "no result"),
        ({"unreachable": True, "msg": "Connection timed out"}, "Connection timed out"),
        ({"failed": True, "msg": "Task failed: the access log cannot be read"}, "the access log cannot be read"),
    ],
)
def test_an_edge_without_counts_is_named(monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str) -> None:
    found = verdict(monkeypatch, {"edge1": {"counts": canary_log.count([line(1)], WINDOW)}, "edge2": answer})
    assert found["decision"] == "inconclusive"
    assert found["reasons"][0].startswith(f"inconclusive: edge: edge2 was not counted: {reason}")
    assert verdict(monkeypatch, {"edge1": answer, "edge2": answer})["samples"] == {}


def test_a_wrong_setting_fails_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleActionFail, match="did you mean 'checks'"):
        verdict(monkeypatch, {"edge1": None, "edge2": None}, check=3)
