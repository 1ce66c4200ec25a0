# SPDX-License-Identifier: Apache-2.0
"""A release that is healthy and fails its visitors is taken back by itself, without a canary; one that serves them is confirmed."""

from __future__ import annotations

import json

import pytest

from tests.support.images import Variants
from tests.support.lab import APP_HOSTS, QUICK, Lab
from tests.support.load import Ask, Load

SECONDS, RATE = 10, 200
WATCH = (*QUICK, "-e", json.dumps({"app_watch": {"seconds": SECONDS}}))
# Fine for health checks and for the deploy's own questions, and an error for everybody else.
FAILING = [
    "node",
    "-e",
    "require('http').createServer((request, response) => {"
    " response.statusCode = request.url === '/api/accountants' ? 500 : 200;"
    " response.end(JSON.stringify({version: 'failing', hostname: require('os').hostname(), accountants: []}))"
    " }).listen(process.env.PORT || 4000)",
]
ASKS = [Ask("GET", "/api/accountants", expect=(200,)), Ask("GET", "/api/version", expect=(200,))]


def test_a_release_that_fails_its_visitors_is_taken_back(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    before = lab.live()
    tag = variant.push("v1.1.0-unseen", FAILING)
    with Load(lab.url, *ASKS, rate=RATE) as load:
        run = lab.deploy(tag, *WATCH)
    message = run.error()
    assert "deploy failed in step flip: edge1: release " in message
    assert "fails real requests: " in message and "0.0% did before" in message and "The flip was reverted" in message
    assert f"Release {before} is still live" in message
    record = lab.record()
    assert record and record["confirmed"]["release"] == before and record["pending"] is None
    assert run.ran("Confirm | Make") == set()
    assert not any(lab.leases().values())
    # It was certain long before the window was over, in which every other request would have failed.
    assert 0 < load.report.failed < SECONDS * RATE / 4, str(load.report)
    print(load.report)


def test_a_release_that_serves_them_is_confirmed(lab: Lab, v1_0_0: str) -> None:
    with Load(lab.url, *ASKS, rate=RATE) as load:
        run = lab.deploy("v1.1.0", *WATCH).good()
    assert load.report.failed == 0, str(load.report)
    assert " requests watched" in run.output
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")


@pytest.mark.soak
def test_without_the_watch_nobody_notices(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    """The negative control: health checks and the deploy's own questions let it through."""
    before = lab.ensure("v1.0.0")
    tag = variant.push("v1.1.0-unseen", FAILING)
    with Load(lab.url, *ASKS, rate=RATE) as load:
        lab.deploy(tag, *QUICK, "-e", json.dumps({"app_watch": {"seconds": 0}})).good()
    assert load.report.failed > 0
    assert lab.live() != before
    lab.ensure("v1.0.0")
