# SPDX-License-Identifier: Apache-2.0
"""Logs of all hosts: what is asked for, levels, edges' lines, the order, and what a terminal may see."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import engine
from ansible_collections.sluice.stack.plugins.module_utils.edge.access_log import LogError
from ansible_collections.sluice.stack.plugins.module_utils.logs import lines, query
from ansible_collections.sluice.stack.plugins.modules import release_logs
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_795_874_400.0  # 2026-11-28T14:00:00Z
ASKED: dict[str, Any] = {
    name: spec.get("default", "shop") for name, spec in release_logs.ARGUMENTS["argument_spec"].items()
}


def asked(**options: Any) -> query.Query:
    return query.parse({**ASKED, **options}, NOW)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("15m", NOW - 900),
        ("2h", NOW - 7200),
        ("90", NOW - 90),
        ("2026-11-28T15:00+02:00", NOW - 3600),
        ("", 0.0),
        ("0", 0.0),
    ],
)
def test_a_time_is_ago_or_with_its_zone(text: str, moment: float) -> None:
    assert query.moment("logs_since", text, NOW) == moment


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "yesterday"}, "logs_since is 'yesterday': it must be a time ago like 15m"),
        ({"before": "2026-11-28T12:00"}, "logs_until is '2026-11-28T12:00': it must be"),
        ({"since": "5m", "before": "10m"}, "logs_since, 5m, is not before logs_until, 10m"),
        ({"regexp": "("}, "logs_regexp is '(': missing )"),
        ({"regexp": "a", "text": "b"}, "logs_grep and logs_regexp are both set"),
        ({"level": "warning"}, "logs_level is 'warning': known: debug, error, info, warn"),
        ({"lines": 0}, "logs_lines is 0: it must be 1 to 10000"),
        ({"lines": 10_001}, "logs_lines is 10001: it must be 1 to 10000"),
        ({"source": "edges"}, "logs_from is 'edges': did you mean 'edge'?"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(query.QueryError) as error:
        asked(**options)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_plain_text_is_no_pattern_and_a_pattern_is_no_text() -> None:
    assert asked(text="a.c").wants("xa.cx", 1) and not asked(text="a.c").wants("abc", 1)
    assert asked(regexp="^a.c$").wants("abc", 1) and not asked(regexp="^a.c$").wants("xabc", 1)
    assert asked(text="$(touch /tmp/x); `id` %s {{ 7 }}").wants("a $(touch /tmp/x); `id` %s {{ 7 }} b", 1)


def test_a_search_without_a_beginning_reads_one_hour() -> None:
    assert asked(text="x").since == NOW - 3600 and asked(level="error").since == NOW - 3600
    assert asked(text="x", before="1h").since == NOW - 7200
    assert asked(text="x", since="2d").since == NOW - 2 * 86400
    assert asked().since == 0, "the newest lines, however old"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"level":30,"msg":"error"}', "info"),
        ('{"level":50,"msg":"x"}', "error"),
        ('{"level":20}', "debug"),
        ('{"severity":"WARNING"}', "warn"),
        ("2026-11-28 14:00:00 ERROR something", "error"),
        ("[warn] careful", "warn"),
        ("level=debug msg=x", "debug"),
        ("time=x level=error msg=x", "error"),
        ("fatal: no lease on the warehouse", "error"),
        ("it went without an error", "info"),
        ("listening on 4000", "info"),
        ("[]", "info"),
        ('{"level":', "info"),
        ('{"level":true}', "info"),
    ],
)
def test_the_level_of_a_line(text: str, level: str) -> None:
    assert query.LEVELS[lines.level(text)] == level


def newest(texts: list[str], **options: Any) -> list[str]:
    wanted = asked(**options)
    raw = (f"2026-11-28T14:00:{index:02d}.000000000Z {text}" for index, text in enumerate(texts))
    return [entry["text"] for entry in release_logs._newest(raw, {"source": "shop/web", "release": "r"}, wanted)]


def test_a_stack_trace_goes_with_its_error() -> None:
    said = ["INFO fine", "ERROR it broke", "    at one (a.js:1)", "    at two (b.js:2)", "INFO fine again"]
    assert newest(said, level="error") == said[1:4]


def test_only_the_newest_lines_that_match_are_kept() -> None:
    assert newest([f"line {n}" for n in range(50)], lines=3, text="4") == ["line 47", "line 48", "line 49"]
    assert len(newest(["x" * 20_000])[0]) == lines.LONGEST


def access(**given: Any) -> str:
    base = {"epoch": NOW, "app": "shop", "service": "web", "release": "r1", "status": 200, "seconds": 0.012}
    more = {"method": "GET", "host": "a.test", "uri": "/x", "bytes": 5, "client": "192.0.2.1"}
    return json.dumps({**base, **more, **given})


def test_a_request_of_the_edge() -> None:
    moment, level, entry = lines.request(access(status=503), "shop", "") or pytest.fail("it is one")
    assert (moment, query.LEVELS[level]) == (NOW, "error")
    assert (
        lines.shown("edge1", entry)
        == "2026-11-28T14:00:00.000Z edge1 shop/web r1 GET a.test/x 503 12 ms 5 bytes from 192.0.2.1"
    )
    assert lines.request(access(app="other"), "shop", "") is None, "another app's is not shown"
    assert lines.request(access(), "shop", "api") is None
    assert lines.request("torn", "shop", "") is None and lines.request("[1]", "shop", "") is None


def test_an_error_of_nginx_is_in_the_hosts_own_time() -> None:
    local = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(NOW))
    moment, level, entry = lines.problem(f"{local} [error] 9#9: *3 upstream timed out") or pytest.fail("it is one")
    assert (moment, level, entry["time"][:19]) == (NOW, 3, "2026-11-28T14:00:00")
    assert lines.problem("more of it") is None


def test_an_edges_log_is_read_from_its_end_to_the_beginning_that_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.with_name("access.log.1").write_text(
        "".join(access(epoch=NOW - 100 + n, uri=f"/{n}") + "\n" for n in range(50))
    )
    log.write_text("".join(access(epoch=NOW - 50 + n, uri=f"/{n + 50}") + "\n" for n in range(50)))

    def found(**options: Any) -> list[str]:
        taken = release_logs._log(str(log), lambda text: lines.request(text, "shop", ""), asked(**options))
        return [entry["text"].split()[1].removeprefix("a.test/") for entry in taken]

    assert found(lines=3) == ["99", "98", "97"]
    assert len(found(lines=1000, since="60", before="10")) == 51
    assert found(lines=2, text="/4 ", since="2h") == ["4"], "in the rotated log, too"
    with pytest.raises(LogError):
        release_logs._log(str(tmp_path / "none"), lines.problem, asked())


def test_hosts_are_merged_by_time_and_a_terminal_obeys_nothing() -> None:
    def entry(second: int, text: str) -> lines.Entry:
        return {
            "time": f"2026-11-28T14:00:{second:02d}.123456789Z",
            "source": "shop/web",
            "release": "r1",
            "text": text,
        }

    found = lines.merged(
        {"app1": [entry(3, "c"), entry(5, "\x1b[31mred\x1b[0m")], "app2": [entry(4, "d\x1b]0;title\x07\r")]}
    )
    assert [line.split(" ", 4)[1:] for line in found] == [
        ["app1", "shop/web", "r1", "c"],
        ["app2", "shop/web", "r1", "d�]0;title��"],
        ["app1", "shop/web", "r1", "red"],
    ]


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 40))
def test_a_log_is_the_same_however_its_frames_arrive(texts: list[bytes], chunk: int) -> None:
    raw = b"".join(bytes([1, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for text in texts)
    pieces: Iterator[bytes] = (raw[at : at + chunk] for at in range(0, len(raw), chunk))
    whole = b"".join(texts)
    assert list(engine._lines(pieces)) == [*whole.split(b"\n")[:-1], *filter(None, [whole.split(b"\n")[-1]])]


def test_an_answer_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [{"time": f"{n:05d}", "source": "s", "release": "r", "text": "x" * 900} for n in range(6000)]
    monkeypatch.setattr(release_logs, "_log", lambda path, _parse, _wanted: many if path == release_logs.ACCESS else [])
    found = release_logs.read({**ASKED, "roles": ["edge"], "source": "edge"}, NOW)
    assert found["left_out"] and found["entries"][-1] is many[-1]
    assert len(found["entries"]) == release_logs.MOST_BYTES // 1000
    assert not release_logs.read({**ASKED, "roles": ["app"], "source": "edge"}, NOW)["entries"], "the control: no edge"


@pytest.mark.parametrize("given", ["1e999", "-1e999", "NaN", "9" * 400])
def test_a_level_that_is_no_number_of_a_logger_hides_nothing(given: str) -> None:
    assert lines.level(f'{{"level": {given}}}', before=2) in (2, 3)
