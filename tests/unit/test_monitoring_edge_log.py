# SPDX-License-Identifier: Apache-2.0
"""Every line of the access log is counted once: by what it says, through rotation and restarts."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import edge_log, edge_program, log_file
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.edge_program import Exporter
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import text

ROOT = Path(__file__).resolve().parents[2]
KEY = ("shop", "api", "shop.example.com/api", "blue", "r1")
LATER = 1000.0 + edge_log.UNSEEN_SECONDS


def line(status: int = 200, seconds: float = 0.02, upstream: str | None = None, **fields: str) -> bytes:
    """A line as the edge's log_format has it: the template of role nginx, filled."""
    template = (ROOT / "roles/nginx/templates/nginx.conf.j2").read_text()
    pieces = re.search(r"log_format sluice escape=json\n((?:\s+'.*'\n?;?)+)", template)
    assert pieces
    values = dict(zip(("app", "service", "route", "slot", "release"), KEY, strict=True)) | fields
    known = {
        "time_iso8601": "2026-11-28T13:00:00+00:00",
        "msec": "1795870800.123",
        "status": str(status),
        "request_time": f"{seconds:.3f}",
        "upstream_response_time": f"{seconds:.3f}" if upstream is None else upstream,
        "body_bytes_sent": "12",
        "sluice_logged_uri": fields.get("uri", "/api/x"),
        **{f"sluice_{name}": value for name, value in values.items()},
    }
    whole = "".join(re.findall(r"'(.*)'", pieces[1]))
    return re.sub(r"\$(\w+)", lambda match: known.get(match[1], "-"), whole).encode()


def figures(tally: edge_log.Tally, now: float = LATER) -> dict[str, float]:
    """The samples by name and labels, as text."""
    page = text(tally.samples(now), edge_log.KINDS)
    return {
        row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in page.splitlines() if not row.startswith("#")
    }


def requests(tally: edge_log.Tally, code: str, now: float = LATER) -> float:
    """Requests of a class, of all series."""
    found = figures(tally, now)
    return sum(
        value for name, value in found.items() if name.startswith(edge_log.REQUESTS) and f'code="{code}"' in name
    )


def counted(*lines: bytes) -> edge_log.Tally:
    """A tally of these lines."""
    tally = edge_log.Tally()
    tally.count(b"".join(item + b"\n" for item in lines), 1000.0)
    return tally


def test_a_line_is_what_the_canary_reads_too() -> None:
    parsed = canary_log.parse(line(500))
    assert parsed and (parsed.status, parsed.app, parsed.latency) == (500, "shop", 0.02)


def test_classes_and_labels() -> None:
    tally = counted(line(200), line(204), line(499), line(503), line(200, service="web", route="shop.example.com/"))
    assert (requests(tally, "2xx"), requests(tally, "4xx"), requests(tally, "5xx")) == (3, 1, 1)
    labels = 'app="shop",service="api",route="shop.example.com/api",slot="blue",release="r1"'
    assert figures(tally)[f'sluice_edge_requests_total{{{labels},code="2xx"}}'] == 2


def test_latency_is_the_apps_and_adds_up() -> None:
    tally = counted(
        line(seconds=9, upstream="0.004, 0.1"), line(seconds=0.005), line(seconds=20), line(101, seconds=3600)
    )
    found = figures(tally)
    buckets = {re.search(r'le="([^"]+)"', name)[1]: value for name, value in found.items() if "_bucket" in name}  # type: ignore[index]
    assert buckets["0.005"] == 1, "a boundary belongs to its bucket"
    assert (buckets["0.1"], buckets["0.25"], buckets["10"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert next(value for name, value in found.items() if "_count" in name) == 3, "an open WebSocket is no latency"
    assert requests(tally, "1xx") == 1


def test_a_clients_text_is_never_taken_for_the_end() -> None:
    forged = line(uri='/x\\",\\"status\\":500,\\"app\\":\\"other\\"')
    json.loads(forged)
    tally = counted(forged)
    assert requests(tally, "5xx") == 0 and requests(tally, "2xx") == 1 and set(tally.series) == {KEY}


def test_torn_and_foreign_lines_are_counted_as_such() -> None:
    tally = counted(line()[:-20], line(), b"GET / HTTP/1.1", b"", b'{"status":200}', line(), line()[:40])
    assert tally.broken == 5 and requests(tally, "2xx") == 2


def test_a_new_series_begins_with_zeros_so_that_its_first_errors_are_an_increase() -> None:
    tally = counted(*[line(500)] * 7)
    assert requests(tally, "5xx", 1001.0) == 0
    assert requests(tally, "5xx") == 7


def test_series_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_log, "MOST_SERIES", 3)
    tally = counted(*(line(release=f"r{number}") for number in range(10)))
    assert len(tally.series) == 4 and requests(tally, "2xx") == 10, "what is over is counted without its labels"
    tally.forget(1000.0 + edge_log.IDLE_SECONDS)
    assert tally.series == {}


# -- the file ----------------------------------------------------------------------------------------------------------


def write(path: Path, *lines: bytes) -> None:
    with path.open("ab") as handle:
        handle.write(b"".join(item + b"\n" for item in lines))


def read(log: log_file.LogFile) -> list[bytes]:
    return b"".join(log.parts()).splitlines()


def test_it_begins_at_the_end_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    write(path, b"before")
    log = log_file.LogFile(str(path), None)
    write(path, b"one")
    with path.open("ab") as handle:
        handle.write(b"tw")
    assert read(log) == [b"one"]
    write(path, b"o")
    assert read(log) == [b"two"]


def test_rotation_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    write(path, b"")
    log = log_file.LogFile(str(path), None)
    write(path, b"1")
    path.rename(tmp_path / "access.log.1")
    path.touch()
    # One worker has the new file, another one still writes to the old.
    write(path, b"3")
    write(tmp_path / "access.log.1", b"2")
    assert sorted(read(log)) == [b"1", b"2", b"3"]
    write(tmp_path / "access.log.1", b"4")
    assert read(log) == [b"4"] and log.lost == 0


def test_a_restart_goes_on_where_it_was_after_a_rotation_too(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    write(path, b"")
    first = log_file.LogFile(str(path), None)
    write(path, b"1")
    assert read(first) == [b"1"]
    write(path, b"2")
    path.rename(tmp_path / "access.log.1")
    write(path, b"3")
    again = log_file.LogFile(str(path), first.positions())
    assert sorted(read(again)) == [b"2", b"3"] and again.lost == 0


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_what_is_lost_is_said(tmp_path: Path, how: str) -> None:
    path = tmp_path / "access.log"
    write(path, b"long enough")
    log = log_file.LogFile(str(path), None)
    if how == "removed":
        path.rename(tmp_path / "away")
        write(path, b"new")
        log = log_file.LogFile(str(path), log.positions())
    else:
        os.truncate(path, 0)
        write(path, b"new")
    assert read(log) == [b"new"] and log.lost == 1


# -- the program -------------------------------------------------------------------------------------------------------


def shown(exporter: Exporter) -> float:
    """All requests that its page shows, of series that are old enough."""
    exporter.look()
    for series in exporter.tally.series.values():
        series.born = 0.0
    rows = [row for row in exporter.page().decode().splitlines() if row.startswith(edge_log.REQUESTS)]
    return sum(float(row.rpartition(" ")[2]) for row in rows)


def test_a_crash_counts_what_was_counted_after_it_was_saved_once(tmp_path: Path) -> None:
    path, state = tmp_path / "access.log", tmp_path / "state.json"
    path.touch()
    exporter = Exporter(str(path), str(state))
    write(path, line(), line())
    assert shown(exporter) == 2
    exporter.save()
    write(path, line())
    assert shown(exporter) == 3  # and killed: nothing more is saved
    write(path, line(503))
    again = Exporter(str(path), str(state))
    assert shown(again) == 4


def test_the_page_has_what_alerts_need(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.touch()
    page = Exporter(str(path), str(tmp_path / "state.json")).page().decode()
    found: dict[str, Any] = {row.split()[0]: row.split()[1] for row in page.splitlines() if not row.startswith("#")}
    assert found["sluice_edge_log_lost_total"] == found["sluice_edge_log_broken_lines_total"] == "0"
    assert float(found["sluice_edge_up_to_timestamp_seconds"]) > 1.7e9


def test_it_ends_also_in_the_middle_of_an_answer() -> None:
    class Ending:
        def page(self) -> bytes:
            raise edge_program._Stop

    with edge_program._Server("127.0.0.1", 0, cast(Exporter, Ending())) as server:
        client = socket.create_connection(server.server_address)
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with client, pytest.raises(edge_program._Stop):
            server.handle_request()


def test_it_answers_where_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "import sys; from ansible_collections.sluice.stack.plugins.module_utils.monitoring.edge_program import main; sys.exit(main(sys.argv[1:]))"
    words = ["--address", "127.0.0.1", "--port", str(port), "--log", str(path), "--state", str(tmp_path / "state.json")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        write(path, line())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"sluice_edge_requests_total{" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
    finally:
        process.terminate()
    assert process.wait(30) == 0
    assert json.loads((tmp_path / "state.json").read_text())["positions"][0][1] == path.stat().st_size
