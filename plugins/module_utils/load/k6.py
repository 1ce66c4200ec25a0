# SPDX-License-Identifier: Apache-2.0
"""k6 as a process: begun, read, ended."""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from typing import IO, Any

from ansible_collections.sluice.stack.plugins.module_utils.load import script
from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits
from ansible_collections.sluice.stack.plugins.module_utils.load.tally import Tally

# k6's own time to start and to end, on top of the stages.
SPARE_SECONDS = 20
# A test that was told to stop, or that ended with a failed threshold or check of a script of its own.
ENDED = (0, 99, 105, -signal.SIGINT)


class LoadError(Exception):
    """k6 did not run."""


def send(params: dict[str, Any]) -> dict[str, Any]:
    """Run k6 and count; raises LoadError."""
    folder = tempfile.mkdtemp(prefix="sluice-load-")
    try:
        for name, text in script.files(params).items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        return _run(params, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(params: dict[str, Any], folder: str) -> dict[str, Any]:
    tally = Tally(params["stages"], Limits.of(params["limits"]))
    _more_files()
    began, used = time.monotonic(), _processor()
    try:
        process = subprocess.Popen(
            [
                params["k6"],
                "run",
                "--quiet",
                "--no-color",
                "--no-summary",
                "--no-usage-report",
                "--address=",
                "--out=csv=-",
                "main.js",
            ],
            cwd=folder,
            env=_environment(folder, params["ca"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise LoadError(f"{params['k6']} does not start: {error.strerror}") from error
    said: collections.deque[str] = collections.deque(maxlen=5)
    threading.Thread(target=_drain, args=(process.stderr, said), daemon=True).start()
    over = threading.Event()
    threading.Thread(target=_watch, args=(process, script.seconds(params) + SPARE_SECONDS, over), daemon=True).start()
    stopped = ""
    try:
        for line in process.stdout or ():
            stage = tally.line(line)
            if stage and params["stop"] and not stopped:
                stopped = ", ".join(tally.spent(stage))
                if stopped:
                    process.send_signal(signal.SIGINT)
        code = process.wait(timeout=SPARE_SECONDS)
    finally:
        over.set()
        if process.poll() is None:
            process.kill()
            process.wait()
    if code not in ENDED:
        raise LoadError(f"k6 ended with code {code}: {' '.join(said)[-400:] or 'it said nothing'}")
    spent = (_processor() - used) / max(time.monotonic() - began, 0.1) / (os.cpu_count() or 1)
    return {"stages": tally.stages(), "series": tally.series(), "stopped": stopped, "busy": round(spent, 3)}


def _environment(folder: str, ca: str) -> dict[str, str]:
    """k6's environment: nobody's settings of k6, and the authority to trust."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("K6_")}
    trusted = {"SSL_CERT_FILE": os.path.join(folder, "ca.pem"), "SSL_CERT_DIR": folder} if ca else {}
    return {**kept, **trusted, "HOME": folder, "K6_CSV_TIME_FORMAT": "unix_milli", "K6_CSV_SAVE_INTERVAL": "500ms"}


def _more_files() -> None:
    """Allow as many connections as the host does."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _processor() -> float:
    """Return the seconds of processor time of processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _drain(pipe: IO[str] | None, said: collections.deque[str]) -> None:
    said.extend(line.strip() for line in pipe or ())


def _watch(process: subprocess.Popen[str], most: float, over: threading.Event) -> None:
    """End k6 when its time is up, and when nobody is left who reads the result."""
    reader = select.poll()
    reader.register(1, 0)
    deadline = time.monotonic() + most
    while not over.wait(1):
        if time.monotonic() > deadline or any(
            event & (select.POLLERR | select.POLLHUP) for _unused, event in reader.poll(0)
        ):
            process.kill()
            return
