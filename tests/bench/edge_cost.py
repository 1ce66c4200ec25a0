# SPDX-License-Identifier: Apache-2.0
"""What it costs an edge to count its requests: two Nginx side by side, one of which counts, loaded at the same time.

Run in a container that has the edge's Nginx, wrk and mtail; docs/decisions/0023 has the command. What is printed, as medians over the rounds:
requests a second, and Nginx' processor time of a request, with counting to without; and the processor time of a program that counts to that
of the Nginx it reads from. Whatever else the machine does, it does to both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record

from tests.support.edge import Edge

UPSTREAM = """
daemon off; worker_processes 1; pid {folder}/up.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; server {{ listen 127.0.0.1:{port}; return 200 "{body}"; }} }}
"""
# The other way that was tried: counters in njs, in the phase that writes the log.
SCRIPT = """
const sums = ngx.shared.counted;
const LE = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
function count(r) {
    const v = r.variables;
    const seconds = Number(v.request_time);
    let bucket = 0;
    while (bucket < LE.length && seconds > LE[bucket]) { bucket++; }
    const key = `${v.sluice_app}|${v.sluice_service}|${v.sluice_route}|${v.sluice_slot}|${v.sluice_release}`;
    sums.incr(`${key}|${v.status[0]}|${bucket}`, 1, 0);
    sums.incr(`${key}|s`, seconds, 0);
    return '';
}
export default {count};
"""


def cpu_of(pids: list[int]) -> float:
    """Processor seconds of processes so far, all their threads, by the scheduler's own clock."""
    found = (path.read_text() for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(text.split()[0]) for text in found) / 1e9


def children(pid: int) -> list[int]:
    """The processes of a parent."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def load(ports: list[int], seconds: float, connections: int) -> list[tuple[float, int]]:
    """Requests a second, and requests, of one run of wrk at each port, all at the same time."""
    runs = [
        subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for port in ports
    ]
    found = []
    for run in runs:
        output, _ = run.communicate()
        rate, count = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"(\d+) requests in", output)
        assert rate and count and "Non-2xx" not in output, output
        found.append((float(rate[1]), int(count[1])))
    return found


class Bench:
    """Two Nginx with one upstream, and what counts the requests of the second one."""

    def __init__(self, folder: Path, way: str) -> None:
        port = 19000 + os.getpid() % 500
        (folder / "up").mkdir()
        (folder / "up.conf").write_text(UPSTREAM.format(folder=folder / "up", port=port, body="x" * 600))
        self.upstream = subprocess.Popen(["nginx", "-c", str(folder / "up.conf")])
        self.edges = []
        for name in ("without", "with"):
            (folder / name).mkdir()
            edge = Edge(folder / name, {"blue": port, "green": port})
            if way == "njs" and name == "with":
                _count_in_njs(folder / name)
            edge.start()
            edge.change(edge_record.adopt, release="r1", slot="blue")
            self.edges.append(edge)
        log = folder / "with/log/access.log"
        self.logs = [folder / name / "log/access.log" for name in ("without", "with")]
        self.counter = _counter(way, log, folder / "state.json")
        time.sleep(3)

    def round(self, seconds: float, connections: int) -> dict[str, float]:
        """What counting cost in one round: a part of what there is without it."""
        workers = [children(edge._process.pid) for edge in self.edges if edge._process]
        before = [cpu_of(pids) for pids in workers]
        counting = cpu_of([self.counter.pid]) if self.counter else 0.0
        done = load([edge.port for edge in self.edges], seconds, connections)
        nginx = [cpu_of(pids) - then for pids, then in zip(workers, before, strict=True)]
        time.sleep(2)  # what is not read yet costs, too
        counting = cpu_of([self.counter.pid]) - counting if self.counter else 0.0
        for log in self.logs:
            os.truncate(log, 0)
        each = [spent / count * 1e6 for spent, (_rate, count) in zip(nginx, done, strict=True)]
        return {
            "rate": done[1][0] / done[0][0],
            "nginx": each[1] / each[0],
            "share": counting / nginx[1],
            "microseconds": each[0],
        }

    def end(self) -> None:
        """End all of it."""
        for edge in self.edges:
            edge.stop()
        for process in (self.upstream, self.counter):
            if process:
                process.terminate()
                process.wait(20)


def _count_in_njs(folder: Path) -> None:
    (folder / "conf/counted.js").write_text(SCRIPT)
    text = (folder / "nginx.conf").read_text()
    for old, new in (
        (
            "js_import sluice from sluice.js;",
            "js_import sluice from sluice.js; js_import counted from counted.js; "
            "js_shared_dict_zone zone=counted:1m type=number; js_set $counted counted.count;",
        ),
        ('"upstream_seconds":"$upstream_response_time"}', '"upstream_seconds":"$upstream_response_time"}$counted'),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)


def _counter(way: str, log: Path, state: Path) -> subprocess.Popen[bytes] | None:
    if way in ("njs", "nothing"):
        return None
    if way == "mtail":
        command = ["mtail", "-progs", str(Path(__file__).parent / "edge_cost.mtail"), "-logs", str(log)]
        command += ["-port", "19113", "-address", "127.0.0.1"]
    else:
        module = "ansible_collections.sluice.stack.plugins.module_utils.monitoring.edge_program"
        command = [sys.executable, "-c", f"import sys; from {module} import main; main(sys.argv[1:])"]
        command += ["--address", "127.0.0.1", "--port", "19113", "--log", str(log), "--state", str(state)]
    # As the unit has it.
    return subprocess.Popen(["nice", "-n10", *command], stderr=subprocess.DEVNULL)


def main() -> None:
    """Print the rounds, and the medians of all of them, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["nothing", "log", "njs", "mtail"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        bench = Bench(Path(name), asked.way)
        try:
            bench.round(2, asked.connections)
            rounds = [bench.round(asked.seconds, asked.connections) for _ in range(asked.rounds)]
        finally:
            bench.end()
    for one in rounds:
        print(json.dumps({key: round(value, 3) for key, value in one.items()}))
    medians = {key: round(statistics.median([one[key] for one in rounds]), 3) for key in rounds[0]}
    print(json.dumps({"way": asked.way, "rounds": asked.rounds, **medians}))


if __name__ == "__main__":
    main()
