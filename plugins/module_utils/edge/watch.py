# SPDX-License-Identifier: Apache-2.0
"""Watch the real requests of a release that was flipped to, in this edge's own log."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.sluice.stack.plugins.module_utils.canary import watch
from ansible_collections.sluice.stack.plugins.module_utils.canary.log import Counts, Window
from ansible_collections.sluice.stack.plugins.module_utils.edge import access_log


class WatchError(Exception):
    """The release fails real requests, or they cannot be seen; the message says how."""


def observe(
    app: str, new: str, old: str, limits: watch.Limits, check: Callable[[], None], path: str = access_log.LOG
) -> int:
    """Watch until the time is over; returns how many requests were seen, 0 when the edge has too few to judge by.

    ``check`` raises when the run may not go on. Raises WatchError as soon as it is certain that the release fails.
    """
    begin, since = time.monotonic(), time.time() - limits.seconds

    def counts() -> Counts:
        window = Window(app, {"new": new, "old": old}, since, time.time(), watch.BLOCK_SECONDS)
        try:
            return access_log.read(path, window)
        except access_log.LogError as error:
            raise WatchError(str(error)) from error

    # A site that had next to no visitors before will have no more in the next seconds: waiting would prove nothing.
    if watch.requests(counts(), "old") < limits.min_requests:
        return 0
    while True:
        looked = time.monotonic()
        check()
        found = counts()
        fault = watch.fault(found, limits)
        if fault:
            raise WatchError(fault)
        now = time.monotonic()
        left = begin + limits.seconds - now
        if left <= 0:
            return watch.requests(found, "new")
        # Of a busy edge's log, reading takes its time.
        time.sleep(min(left, max(watch.LOOK_SECONDS, 4 * (now - looked))))
