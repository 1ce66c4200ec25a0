#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The logs of an app on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_logs
short_description: Return the newest log lines of an app on a host
version_added: 0.1.0
description:
  - Returns the lines of every container of the app on the host, old and new release, and the requests and errors in an edge's logs.
  - A search reads the last hour unless O(since) says otherwise. The newest lines are kept, at most 4 MB a host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  service:
    description: Name of the service; empty for all services.
    type: str
    default: ""
  lines:
    description: How many lines of each container or log.
    type: int
    default: 100
  since:
    description: Only lines since then, a time ago such as V(15m) or V(2h), a number of seconds ago, or a time such as V(2026-12-31T18:00Z).
    type: str
    default: ""
  before:
    description: Only lines until then, written like O(since).
    type: str
    default: ""
  level:
    description:
      - Only lines of this level and above, V(debug), V(info), V(warn) or V(error). A line that has none goes with the one before it. Requests with a 4xx
        status are V(warn), with a 5xx status V(error).
    type: str
    default: ""
  text:
    description: Only lines with this text in them, as it is.
    type: str
    default: ""
  regexp:
    description: Only lines in which this regular expression of Python is found.
    type: str
    default: ""
  source:
    description: V(app) for containers, V(edge) for the edge's logs, V(all) for both.
    type: str
    default: app
  roles:
    description: What the host is, C(app), C(edge) or both.
    type: list
    elements: str
    default: [app]
"""

EXAMPLES = r"""
- name: Logs | Read the backend's errors of the last 15 minutes
  sluice.stack.release_logs:
    app: marketplace
    service: backend
    since: 15m
    level: error
"""

RETURN = r"""
entries:
  description: Lines in the order of time.
  returned: success
  type: list
  elements: dict
  sample: [{time: "2026-11-22T23:15:00.1Z", source: marketplace/backend, release: 20261122T231500Z-v1.4.2, text: listening}]
left_out:
  description: Whether older lines were left out because they are too much.
  returned: success
  type: bool
  sample: false
"""

import collections
import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.edge import access_log
from ansible_collections.sluice.stack.plugins.module_utils.logs import lines, query
from ansible_collections.sluice.stack.plugins.module_utils.logs.lines import Entry
from ansible_collections.sluice.stack.plugins.module_utils.logs.query import Query

ACCESS = access_log.LOG
ERRORS = "/var/log/nginx/error.log"
# Nginx writes a request when it has ended, and its workers not quite in order.
DISORDER_SECONDS = 5.0
# A search, a regular expression above all, ends after this; the answer has at most so many bytes.
SECONDS = 45
MOST_BYTES = 4 * 2**20


class TooLong(Exception):
    """The search takes too long."""


def read(params: dict[str, Any], now: float) -> dict[str, Any]:
    """Return what is asked for, merged by time."""
    wanted = query.parse(params, now)
    found: list[Entry] = []
    if "app" in params["roles"] and params["source"] != "edge":
        found += _containers(Engine(), params["app"], wanted)
    if "edge" in params["roles"] and params["source"] != "app":
        found += _log(ACCESS, lambda text: lines.request(text, params["app"], wanted.service), wanted)
        found += [] if wanted.service else _log(ERRORS, lines.problem, wanted)
    found.sort(key=lambda entry: entry["time"])
    kept, size = len(found), 0
    for entry in reversed(found):
        size += len(entry["text"]) + 100
        if size > MOST_BYTES:
            break
        kept -= 1
    return {"entries": found[kept:], "left_out": kept > 0}


def _containers(engine: Engine, app: str, wanted: Query) -> Iterator[Entry]:
    limits = {"since": f"{wanted.since:.6f}"} if wanted.since else {}
    limits |= {"until": f"{wanted.until:.6f}"} if wanted.until else {}
    for item in [*docker_host.app_containers(engine, app), *docker_host.worker_containers(engine, app)]:
        if wanted.service in ("", item["service"]):
            about = {"source": f"{app}/{item['service']}", "release": item["release"]}
            # What is left out is not known before it was read.
            tail = "all" if wanted.searches else wanted.lines
            yield from _newest(engine.log_lines(item["id"], timestamps="true", tail=tail, **limits), about, wanted)


def _newest(found: Iterable[str], about: Entry, wanted: Query) -> Iterable[Entry]:
    kept: collections.deque[Entry] = collections.deque(maxlen=wanted.lines)
    grade = 1
    for line in found:
        moment, _unused, text = line.partition(" ")
        grade = lines.level(text, grade)
        if wanted.wants(text, grade):
            kept.append({"time": moment, **about, "text": text[: lines.LONGEST]})
    return kept


def _log(path: str, parse: Callable[[str], tuple[float, int, Entry] | None], wanted: Query) -> list[Entry]:
    """Read a log of the edge from its end."""
    kept: list[Entry] = []
    with contextlib.ExitStack() as stack:
        for log in access_log.opened(path, stack):
            for raw in access_log.backwards(log):
                parsed = parse(raw.decode(errors="replace"))
                if parsed is None:
                    continue
                moment, grade, entry = parsed
                if moment < wanted.since - DISORDER_SECONDS or len(kept) >= wanted.lines:
                    return kept
                if wanted.wants(entry["text"], grade, moment):
                    kept.append(entry)
    return kept


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "service": {"type": "str", "default": ""},
        "lines": {"type": "int", "default": 100},
        "since": {"type": "str", "default": ""},
        "before": {"type": "str", "default": ""},
        "level": {"type": "str", "default": ""},
        "text": {"type": "str", "default": ""},
        "regexp": {"type": "str", "default": ""},
        "source": {"type": "str", "default": "app"},
        "roles": {"type": "list", "elements": "str", "default": ["app"]},
    },
    "supports_check_mode": True,
}


def _late(*_unused: Any) -> None:
    raise TooLong


def main() -> None:
    """Parse, read, exit."""
    module = AnsibleModule(**ARGUMENTS)
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        found = read(module.params, time.time())
    except TooLong:
        module.fail_json(
            msg=f"the search took more than {SECONDS} s: ask for less with logs_since and logs_service, or a simpler logs_regexp"
        )
    except (query.QueryError, access_log.LogError, docker_host.EngineError) as error:
        module.fail_json(msg=str(error))
    signal.alarm(0)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
