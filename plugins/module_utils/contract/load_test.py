# SPDX-License-Identifier: Apache-2.0
"""The profile of a load test: ``app_load_test``. What it says is bounded, so that no test can run away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    mapping,
    number,
    ranges,
    scalar,
    sequence,
    struct,
    text,
)

# The most that one test may ask for: requests a second, seconds, requests in all, and clients that wait for an answer at once.
RATE, STAGE_SECONDS, TEST_SECONDS, TOTAL, CLIENTS = 10_000, 3600, 7200, 5_000_000, 5000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUANTILE = (r"p\d{2,3}", "a quantile such as p50, p99 or p999")

STAGE = struct(
    {"rate": number(least=1, most=RATE, whole=True), "seconds": number(least=1, most=STAGE_SECONDS, whole=True)}
)
REQUEST = struct(
    {
        "path": text("/", r"/[^\s\"'\\]*", "a URL path that begins with '/'"),
        "method": text("GET", choices=METHODS),
        # A value may be a token, so it is not shown.
        "headers": mapping(scalar(secret=True), {}, r"[A-Za-z0-9-]+", "a header's name", secret=True),
        "body": text(None, secret=True),
        "expect": ranges("200-399", 100, 599),
        "weight": number(1, 1, 100, whole=True),
    }
)
LIMITS = struct(
    {
        "availability": number(99.9, 0, 100),
        "latency": mapping(number(least=0.001, most=60), {}, *QUANTILE),
    },
    default=None,
)
CAPACITY = struct(
    {
        "from": number(10, 1, RATE, whole=True),
        "to": number(1000, 1, RATE, whole=True),
        "seconds": number(20, 5, 600, whole=True),  # each rate that is tried
        "settle": number(3, 0, 300, whole=True),  # between two of them
        "precision": number(5, 1, 50),  # per cent
        "least": number(0, 0, RATE, whole=True),  # a capacity below this fails the test
    },
    default={},
)
LOAD_TEST: Kind = struct(
    {
        "url": text(
            None, r"https?://[A-Za-z0-9.\[\]:-]+", "a URL without a path or password, such as 'https://app.example.com'"
        ),
        "address": text(None, r"[0-9a-fA-F.:]+", "an IP address"),
        "ca": text(None),
        "requests": sequence(REQUEST, default=[]),
        "scenario": text(None, r"[^\n]+", "a file of the controller"),
        "stages": sequence(STAGE, default=[]),
        "limits": LIMITS,
        "capacity": CAPACITY,
        "timeout": number(10, 0.1, 60),
        "clients": number(500, 1, CLIENTS, whole=True),
    },
    default=None,
)


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check what one value alone does not show."""
    profile = contract["app_load_test"]
    if not profile:
        return

    def fault(path: str, message: str) -> None:
        problems.add(f"app_load_test.{path}", message, given["app_load_test"])

    if profile["scenario"] and profile["requests"]:
        fault("scenario", "and app_load_test.requests are both set: remove one")
    seconds = sum(stage["seconds"] for stage in profile["stages"])
    if seconds > TEST_SECONDS:
        fault("stages", f"take {seconds} s: at most {TEST_SECONDS} s in all")
    total = sum(stage["seconds"] * stage["rate"] for stage in profile["stages"])
    if total > TOTAL:
        fault("stages", f"send {total:,} requests: at most {TOTAL:,}")
    capacity = profile["capacity"]
    if capacity["from"] > capacity["to"]:
        fault("capacity.from", f"is {capacity['from']}, above capacity.to, {capacity['to']}")
    if not profile["url"] and not any(route["host"] for route in contract["app_routes"]):
        fault("url", "is not set, and no route has a host to take it from: set it")
