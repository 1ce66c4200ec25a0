# SPDX-License-Identifier: Apache-2.0
"""Traffic with the troubles of real one, as the edge's own log lines, which the real parser counts."""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings

TEMPLATE = Path(__file__).resolve().parents[2] / "roles" / "nginx" / "templates" / "nginx.conf.j2"
SINCE = 1795409400.0
OLD, NEW = "20261122T231500Z-v1.0.0", "20261123T081200Z-v1.1.0"
FIXED = {
    "time_iso8601": "2026-11-23T08:15:00+00:00",
    "request_id": "5b1f0f0e8f7e4b0c9d6a3c2b1a098765",
    "remote_addr": "192.0.2.7",
    "request_method": "GET",
    "host": "shop.example.com",
    "sluice_logged_uri": "/api/bookings?day=*",
    "body_bytes_sent": "1834",
    "sluice_app": "shop",
    "sluice_route": "shop.example.com/api",
    "sluice_slot": "green",
    "upstream_addr": "10.0.0.21:20001",
    "upstream_http_feature_flags": "new-payment-flow=on, booking-button=reserve",
}
VARYING = {
    "msec",
    "status",
    "request_time",
    "sluice_service",
    "sluice_release",
    "upstream_status",
    "upstream_response_time",
}


def log_line() -> str:
    """Nginx's own ``log_format`` with the values that vary left open, by their names."""
    parts = re.search(r"log_format sluice escape=json\s+(.*?);", TEMPLATE.read_text(), re.DOTALL)
    assert parts
    text = "".join(re.findall(r"'(.*?)'", parts[1]))
    line = re.sub(r"\$(\w+)", lambda match: FIXED.get(match[1]) or "\0" + match[1] + "\0", text)
    assert set(re.findall("\0(.*?)\0", line)) == VARYING, "the log's format changed"
    return re.sub("\0(.*?)\0", r"%(\1)s", line.replace("%", "%%"))


LINE = log_line()


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What the visitors and the app do in a window."""

    requests: int = 700
    share: float = 0.2
    seconds: int = 300
    old_errors: float = 0.01
    new_errors: float = 0.01
    slowdown: float = 1.0
    # How often there is trouble: see lines().
    hiccups: float = 1.5
    pauses: float = 1.0
    visitors: float = 1.0


def events(rng: random.Random, expected: float) -> int:
    """A number of things that happen by chance."""
    number, gap = 0, rng.expovariate(1)
    while gap < expected:
        number, gap = number + 1, gap + rng.expovariate(1)
    return number


def spans(rng: random.Random, traffic: Traffic, expected: float, longest: float) -> list[tuple[float, float]]:
    """Times of trouble: about ``expected`` of them, up to ``longest`` seconds each."""
    number = events(rng, expected)
    begins = [rng.uniform(-longest, traffic.seconds) for _ in range(number)]
    return [(begin, begin + rng.uniform(1, longest)) for begin in begins]


def lines(rng: random.Random, traffic: Traffic) -> Iterator[str]:
    """A window's log lines.

    In trouble, a hiccup of the database hits both releases for some seconds (``hiccups`` in a window), a pause hits one by chance
    (``pauses`` for each), and some visitors, who stay with their release, ask 5 to 30 times within a minute for something that
    fails or takes long (``visitors`` in 1,000 requests).
    """
    # (begin, end, share that fails, factor of time)
    shared = [
        (*span, rng.choice((0, 0, 0.3, 1)), rng.uniform(2, 20)) for span in spans(rng, traffic, traffic.hiccups, 10)
    ]
    trouble = {
        release: shared + [(*span, 0.1, 10.0) for span in spans(rng, traffic, traffic.pauses, 5)]
        for release in (OLD, NEW)
    }
    errors = {OLD: traffic.old_errors, NEW: traffic.new_errors}
    for _ in range(traffic.requests):
        release = NEW if rng.random() < traffic.share else OLD
        begin = rng.random() * traffic.seconds
        failing, factor = errors[release], traffic.slowdown if release is NEW else 1.0
        for since, until, share, slower in trouble[release]:
            if since <= begin < until:
                failing, factor = max(failing, share), factor * slower
        yield request(rng, begin, release, rng.random() < failing, factor)
    for _ in range(events(rng, traffic.visitors * traffic.requests / 1000)):
        release = NEW if rng.random() < traffic.share else OLD
        arrives, stays, fails = rng.random() * traffic.seconds, rng.uniform(1, 60), rng.random() < 0.5
        for _ in range(rng.randint(5, 30)):
            yield request(rng, arrives + rng.random() * stays, release, fails, 1.0 if fails else 20.0)


def request(rng: random.Random, begin: float, release: str, fails: bool, factor: float) -> str:
    """One line: a third of the requests go to the frontend, which is fast."""
    if rng.random() < 1 / 3:
        service, median, spread = "frontend", 0.002, 0.5
    else:
        service, median, spread = "backend", 0.04, 0.8
    took = min(60.0, median * factor * math.exp(spread * rng.gauss(0, 1)))
    status = 502 if fails else 200
    return LINE % {
        "msec": f"{SINCE + begin + took:.3f}",
        "status": status,
        "request_time": f"{took + 0.002:.3f}",
        "sluice_service": service,
        "sluice_release": release,
        "upstream_status": status,
        "upstream_response_time": f"{took:.3f}",
    }


def counts(rng: random.Random, traffic: Traffic) -> canary_log.Counts:
    """The counts of a simulated window."""
    window = canary_log.Window(
        "shop", {"new": NEW, "old": OLD}, SINCE, SINCE + traffic.seconds, Settings().block_seconds
    )
    return canary_log.count(lines(rng, traffic), window)
