#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Two releases' requests of a window, as one edge's log has them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: canary_window
short_description: Count the requests to two releases, or to both sides of a feature flag, in an edge's access log
version_added: 0.1.0
description:
  - Counts requests, errors (status 500 and above) and latency of both releases in blocks of time, for M(sluice.stack.canary_verdict).
  - A request counts when it began and ended within the window, by the edge's own clock. Its latency is the release's response time, without the
    client's connection; a WebSocket has no latency.
  - Reads the log backwards from its end to the start of the window, and continues in O(path) with C(.1) when the log was rotated meanwhile.
    Unreadable lines and those of other apps are skipped. It needs permission to read the log.
  - Start the window when the edge sends requests to both releases, or later if the new one is slow at first, with cold caches.
  - Give every edge the same options in one task, so that their blocks cover the same time.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  releases:
    description: Ids of the two releases; with O(flag) its two values.
    type: dict
    required: true
    suboptions:
      new:
        description: The new release.
        type: str
        required: true
      old:
        description: The old release, to compare with.
        type: str
        required: true
  flag:
    description: Compare two values of this feature flag instead of two releases. The app says which in its response header C(Feature-Flags).
    type: str
    default: ""
  goal:
    description:
      - Also count the requests that people are meant to make, when they are not refused. A method and a path, in which C(*) is anything, such as
        C(POST /api/bookings).
    type: str
    default: ""
  since:
    description: The start of the window, in seconds since the epoch of the edge's clock. Either this or O(seconds).
    type: float
  seconds:
    description: The length of the window, back from its end.
    type: float
  until:
    description: The end of the window, in seconds since the epoch of the edge's clock; default is now.
    type: float
  wait:
    description: Seconds to wait before the window ends now. Fails at once when O(run_id) no longer holds the lease on this host.
    type: float
    default: 0
  run_id:
    description: Id of the run.
    type: str
  token:
    description: The run's fencing token. Required with O(run_id).
    type: int
  block_seconds:
    description: Length of a block in seconds, within which both releases are compared. Shorter blocks make more counts.
    type: float
    default: 5
  path:
    description: The access log.
    type: path
    default: /var/log/nginx/access.log
"""

EXAMPLES = r"""
- name: Canary | Count the last five minutes
  sluice.stack.canary_window:
    app: marketplace
    releases: {new: 20261123T081200Z-v1.5.0, old: 20261122T231500Z-v1.4.2}
    seconds: 300
  register: window
  ignore_errors: true
  ignore_unreachable: true
"""

RETURN = r"""
counts:
  description:
    - What M(sluice.stack.canary_verdict) adds up over the edges. C(arms) holds per arm (new, old), block and service C(requests), C(errors) and
      C(latency), a histogram whose bucket k ends at 0.001 s times 1.1 to the power of k.
    - C(lines) has the number of lines read, counted and unreadable.
  returned: success
  type: dict
  sample:
    app: marketplace
    releases: {new: 20261123T081200Z-v1.5.0, old: 20261122T231500Z-v1.4.2}
    block_seconds: 5.0
    arms:
      new: {"0": {backend: {requests: 3, errors: 0, latency: {"38": 2, "41": 1}}}}
      old: {"0": {backend: {requests: 9, errors: 1, latency: {"37": 4, "38": 5}}}}
    lines: {read: 15, counted: 12, broken: 0}
since:
  description: The start of the window, in seconds since the epoch of the edge's clock.
  returned: success
  type: float
  sample: 1795409400.0
until:
  description: The end of the window.
  returned: success
  type: float
  sample: 1795409700.0
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.edge.access_log import LOG, LogError, read
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseError


def window_of(params: dict[str, Any], now: float) -> canary_log.Window:
    """Return the window of the options. Raises LogError."""
    until = now if params["until"] is None else params["until"]
    since = until - params["seconds"] if params["since"] is None else params["since"]
    if since >= until:
        raise LogError(
            f"the window is empty: it begins at {since:.3f} and ends at {until:.3f}; set a smaller since, or seconds above 0"
        )
    if params["block_seconds"] <= 0:
        raise LogError(f"block_seconds is {params['block_seconds']:g}: it must be above 0")
    releases = params["releases"]
    if releases["new"] == releases["old"]:
        raise LogError(f"releases.new and releases.old are both {releases['new']}: it cannot be compared with itself")
    return canary_log.Window(
        params["app"], releases, since, until, params["block_seconds"], params["flag"], params["goal"]
    )


def wait(params: dict[str, Any]) -> None:
    """Wait for O(seconds) of the window. Raises LeaseLost as soon as another run takes the lease."""
    deadline = time.monotonic() + params["wait"]
    guard = Guard(params["app"], params["run_id"], params["token"]) if params["run_id"] else None
    while True:
        left = deadline - time.monotonic()
        if guard:
            guard.check()  # do not delay a rollback that took the lease
        if left <= 0:
            return
        time.sleep(min(left, 1.0))


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "releases": {
            "type": "dict",
            "required": True,
            "options": {"new": {"type": "str", "required": True}, "old": {"type": "str", "required": True}},
        },
        "flag": {"type": "str", "default": ""},
        "goal": {"type": "str", "default": ""},
        "since": {"type": "float"},
        "seconds": {"type": "float"},
        "until": {"type": "float"},
        "wait": {"type": "float", "default": 0},
        "run_id": {"type": "str"},
        "token": {"type": "int", "no_log": False},
        "block_seconds": {"type": "float", "default": 5},
        "path": {"type": "path", "default": LOG},
    },
    "mutually_exclusive": [("since", "seconds")],
    "required_by": {"run_id": ["token"]},
    "required_one_of": [("since", "seconds")],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, read, exit."""
    module = AnsibleModule(**ARGUMENTS)
    try:
        if not module.check_mode:
            wait(module.params)
        window = window_of(module.params, time.time())
        counts = read(module.params["path"], window)
    except (LogError, LeaseError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, counts=counts, since=window.since, until=window.until)


if __name__ == "__main__":
    main()
