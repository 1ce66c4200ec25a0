# SPDX-License-Identifier: Apache-2.0
"""The process that keeps a run's lease alive: as long as the controller lives and works, and not a moment longer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.plugin_utils import heartbeat

INTERVAL = 0.01
KINDS = [heartbeat.LinuxController, heartbeat.PortableController]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A controller."""
    # A shell has what it runs in the background ignore Ctrl-C, and so would this process.
    sleep = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", sleep]) as process:
        yield process
        process.kill()


class Host:
    """A host that is told of a lease."""

    def __init__(self, owned: bool = True, silent: int = 0, late: int = 0) -> None:
        self.heard: list[str] = []
        self.owned, self.silent, self.late, self.fenced = owned, silent, late, False

    def tell(self, state: str) -> dict[str, Any]:
        self.heard.append(state)
        if len(self.heard) <= self.silent:
            raise ConnectionError
        self.fenced = self.fenced or len(self.heard) > self.late
        return {"changed": False, "owned": self.owned and self.fenced}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def beating(watched: heartbeat.Controller, host: Host) -> threading.Thread:
    thread = threading.Thread(target=heartbeat.beat, args=(watched, host.tell, INTERVAL), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lease_is_renewed_until_the_controller_ends_and_then_expired(
    process: subprocess.Popen[bytes], kind: type[heartbeat.LinuxController], how: signal.Signals
) -> None:
    host = Host()
    thread = beating(kind(process.pid), host)
    until(lambda: len(host.heard) > 2)
    process.send_signal(how)
    process.wait()
    thread.join(20)
    assert not thread.is_alive()
    assert host.heard[-1] == "expired"
    assert set(host.heard[:-1]) == {"renewed"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_that_is_stopped_is_not_renewed_for_until_it_goes_on(
    process: subprocess.Popen[bytes], kind: type[heartbeat.LinuxController]
) -> None:
    host, watched = Host(), kind(process.pid)
    thread = beating(watched, host)
    until(lambda: host.heard)
    process.send_signal(signal.SIGSTOP)
    until(watched.stopped)
    time.sleep(10 * INTERVAL)  # for a beat that was under way
    before = len(host.heard)
    time.sleep(20 * INTERVAL)
    assert len(host.heard) == before
    process.send_signal(signal.SIGCONT)
    until(lambda: len(host.heard) > before)
    process.kill()
    thread.join(20)
    assert host.heard[-1] == "expired"


def test_it_ends_when_the_run_does_not_own_the_app_any_more(process: subprocess.Popen[bytes]) -> None:
    host = Host(owned=False)
    beating(heartbeat.LinuxController(process.pid), host).join(20)
    assert host.heard == ["renewed"]


def test_a_host_that_does_not_answer_is_told_again(process: subprocess.Popen[bytes]) -> None:
    host = Host(silent=3)
    thread = beating(heartbeat.LinuxController(process.pid), host)
    until(lambda: len(host.heard) > 4)
    process.kill()
    thread.join(20)
    assert host.heard[-1] == "expired"


def test_a_fence_that_arrives_after_its_controllers_end_is_expired_too(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the worker and not the program that it had sent to the host."""
    monkeypatch.setattr(heartbeat, "POLL_SECONDS", 0.001)
    process.kill()
    process.wait()
    host = Host(late=3)
    heartbeat.beat(heartbeat.LinuxController(process.pid), host.tell, INTERVAL, known=False)
    assert host.heard == ["expired"] * 4


def test_a_run_that_has_given_the_app_back_is_expired_once(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    host = Host(owned=False)
    heartbeat.beat(heartbeat.LinuxController(process.pid), host.tell, INTERVAL)
    assert host.heard == ["expired"]


def test_a_controller_that_is_dead_already_has_ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert heartbeat.LinuxController(process.pid).ended(600)
    assert heartbeat.PortableController(process.pid).ended(600)


def test_without_workers_the_controller_is_this_process() -> None:
    assert not heartbeat.controller().ended(0)
    assert not heartbeat.controller().stopped()


# The process itself, forked by one that ends at once, as Ansible's workers do.

WORKER = """
import json, os, sys, time
from ansible_collections.sluice.stack.plugins.plugin_utils import heartbeat
pid, path, interval = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
heartbeat.LAST_SECONDS = 0.2
def tell(state):
    with open("/proc/self/comm") as comm:
        me = {"state": state, "pid": os.getpid(), "session": os.getsid(0), "name": comm.read().strip(), "out": os.readlink("/proc/self/fd/1")}
    with open(path, "a") as handle:
        handle.write(json.dumps(me) + "\\n")
    if sys.argv[4] == "hangs":
        time.sleep(600)
    return {"owned": True}
fenced = heartbeat.begin(heartbeat.LinuxController(pid), tell, interval)
print("worker ends", os.getsid(0), flush=True)
if sys.argv[4] != "died":
    fenced(sys.argv[4] != "refused")
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def work(process: subprocess.Popen[bytes], notes: Path, how: str) -> subprocess.CompletedProcess[str]:
    """A worker of the controller, which ends."""
    words = [sys.executable, "-c", WORKER, str(process.pid), str(notes), "0.02", how]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=True)


def test_a_host_that_was_not_fenced_is_told_nothing(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    work(process, tmp_path / "refused", "refused")
    work(process, tmp_path / "fenced", "fenced")  # for as long as that one would have taken
    until(lambda: lines(tmp_path / "fenced"))
    process.kill()
    process.wait()
    until(lambda: lines(tmp_path / "fenced")[-1]["state"] == "expired")
    assert lines(tmp_path / "refused") == []


@pytest.mark.parametrize("how", ["fenced", "died", "hangs"])
def test_it_outlives_its_worker_and_ends_soon_after_the_controller(
    process: subprocess.Popen[bytes], tmp_path: Path, how: str
) -> None:
    notes = tmp_path / "notes"
    done = work(process, notes, how)
    assert done.stdout.startswith("worker ends "), "and nothing waits for its streams"
    until(lambda: lines(notes))
    one = lines(notes)[0]
    assert one["session"] != int(done.stdout.split()[-1])
    assert (one["name"], one["out"]) == ("sluice-lease", "/dev/null")
    assert not gone(one["pid"])
    process.kill()
    process.wait()
    until(lambda: gone(one["pid"]))
    assert lines(notes)[-1]["state"] == ("renewed" if how == "hangs" else "expired")
