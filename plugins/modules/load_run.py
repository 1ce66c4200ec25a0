#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Send load from one host with k6, and count the answers."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: load_run
short_description: Send requests at given rates with k6, and stop when the limits are broken
version_added: 0.2.0
description:
  - Runs k6 on the host with one stage after the other, each at a constant rate of requests however slow the answers are, and counts every answer.
  - It ends early when a stage has more failed or slow requests than its limits leave it, and when the controller is gone. It never takes longer than
    its stages and O(timeout).
  - Headers and bodies are only in files in a directory of their own, which is removed; no argument of a process has them.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  k6:
    description: The program.
    type: path
    required: true
  base:
    description: The beginning of each URL, such as C(https://app.example.com).
    type: str
    required: true
  stages:
    description: The stages, each with C(rate), requests a second, and C(seconds).
    type: list
    elements: dict
    required: true
  requests:
    description:
      - What to send, each with C(path), C(method), C(headers), C(body), C(expect), the statuses that are as expected, and C(weight).
    type: list
    elements: dict
    default: []
  scenario:
    description: A script for k6 instead of O(requests). Its default function is one turn; options of its own have no effect.
    type: str
    default: ""
  limits:
    description: What to hold, C(availability) in per cent and C(latency), a map from quantiles such as C(p99) to seconds.
    type: dict
    default: {}
  hosts:
    description: Addresses of host names, used instead of DNS.
    type: dict
    default: {}
  ca:
    description: The certificates, in PEM, that vouch for the target; empty for the host's own.
    type: str
    default: ""
  timeout:
    description: Seconds until a request without an answer has failed.
    type: float
    default: 10
  clients:
    description: The most requests that wait for an answer at once; more are not sent, and count as failed.
    type: int
    default: 500
  stop:
    description: Whether to end when the limits are broken.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Load | Send 50 requests a second for a minute
  sluice.stack.load_run:
    k6: /opt/sluice/k6/bin/k6
    base: https://app.example.com
    stages: [{rate: 50, seconds: 60}]
    requests: [{path: /, method: GET, headers: {}, body: null, expect: 200-399, weight: 1}]
    limits: {availability: 99.9, latency: {p99: 0.5}}
"""

RETURN = r"""
stages:
  description: What each stage was. Times are in seconds; C(broken) names the limits it did not hold.
  returned: success
  type: list
  elements: dict
  sample: [{rate: 50, seconds: 60, answered: 3000, failed: 0, unsent: 0, p50: 0.012, p90: 0.02, p99: 0.04, max: 0.1, broken: []}]
series:
  description: The same of each second.
  returned: success
  type: list
  elements: dict
  sample: [{second: 0, answered: 50, failed: 0, unsent: 0, p50: 0.012, p90: 0.02, p99: 0.04, max: 0.1}]
stopped:
  description: Why it ended early; empty when it did not.
  returned: success
  type: str
  sample: "availability 99.9 %"
busy:
  description: The share of the host's processors that k6 used. Near 1 the figures are the host's and not the target's.
  returned: success
  type: float
  sample: 0.21
"""

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

from ansible.module_utils.basic import AnsibleModule
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


# What a request carries may be a token.
REQUEST: dict[str, Any] = {
    "path": {"type": "str", "default": "/"},
    "method": {"type": "str", "default": "GET"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "body": {"type": "str", "no_log": True},
    "expect": {"type": "str", "default": "200-399"},
    "weight": {"type": "int", "default": 1},
}
ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "k6": {"type": "path", "required": True},
        "base": {"type": "str", "required": True},
        "stages": {"type": "list", "elements": "dict", "required": True},
        "requests": {"type": "list", "elements": "dict", "default": [], "options": REQUEST},
        "scenario": {"type": "str", "default": "", "no_log": True},
        "limits": {"type": "dict", "default": {}},
        "hosts": {"type": "dict", "default": {}},
        "ca": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 10.0},
        "clients": {"type": "int", "default": 500},
        "stop": {"type": "bool", "default": True},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, send, exit."""
    module = AnsibleModule(**ARGUMENTS)
    if module.check_mode:
        module.exit_json(changed=False, stages=[], series=[], stopped="", busy=0.0)
    try:
        module.exit_json(changed=False, **send(module.params))
    except LoadError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
