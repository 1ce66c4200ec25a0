# SPDX-License-Identifier: Apache-2.0
"""A canary on the lab: a good release goes on to all visitors, a bad one goes back, judged by the edge's own log."""

from __future__ import annotations

import json

import pytest

from tests.support.images import Variants
from tests.support.lab import APP_HOSTS, QUICK, Lab
from tests.support.load import Ask, Load

# Little traffic and short windows: enough to tell a release that is as good from one that is clearly worse.
CANARY = {
    "steps": [30],
    "interval": 20,
    "checks": 3,
    "analysis": {
        "min_requests": 400,
        "min_blocks": 12,
        "block_seconds": 1,
        "slowdown_refused": 4,
        "slowdown_matters": 3,
    },
}
# Healthy, and the right answer to the deploy's own questions; every third visitor gets an error.
FAILING = [
    "node",
    "-e",
    "let n = 0; require('http').createServer((request, response) => {"
    " const fine = request.url !== '/api/accountants' || n++ % 3;"
    " response.statusCode = fine ? 200 : 500; response.end(JSON.stringify({version: 'failing', accountants: []}))"
    " }).listen(process.env.PORT || 4000)",
]


def with_canary(*extra: str) -> tuple[str, ...]:
    return (*QUICK, "-e", json.dumps({"app_canary": CANARY}), *extra)


def asks(*statuses: int) -> list[Ask]:
    return [Ask("GET", "/api/accountants", expect=statuses), Ask("GET", "/api/version", expect=(200,))]


def test_a_good_release_goes_on_to_all_visitors(lab: Lab, v1_0_0: str) -> None:
    with Load(lab.url, *asks(200), rate=250) as load:
        run = lab.deploy("v1.1.0", *with_canary()).good()
    assert load.report.failed == 0, str(load.report)
    assert "canary     30 % of clients" in run.output
    assert "pass: errors:" in run.output and "pass: latency:" in run.output
    assert {"v1.0.0", "v1.1.0"} <= set(load.report.versions)
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")


def test_a_bad_release_goes_back_by_itself(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    before = lab.live()
    tag = variant.push("v1.1.0-failing", FAILING)
    with Load(lab.url, *asks(200, 500), rate=250) as load:
        run = lab.deploy(tag, *with_canary())
    assert load.report.failed == 0, "no connection was dropped: the errors are the release's own\n" + str(load.report)
    message = run.error()
    assert "deploy failed in step canary: the new release is worse: fail: " in message
    assert f"Release {before} is still live" in message
    record = lab.record()
    assert record and record["confirmed"]["release"] == before and record["pending"] is None
    assert run.ran("Confirm | Make") == set()
    assert not any(lab.leases().values())


@pytest.mark.soak
def test_without_traffic_nothing_is_promoted(lab: Lab, v1_0_0: str) -> None:
    before = lab.ensure("v1.0.0")
    quiet = json.dumps({"app_canary": {**CANARY, "interval": 2, "checks": 2}})
    run = lab.deploy("v1.1.0", *QUICK, "-e", quiet)
    message = run.error()
    assert "the data is not sufficient to continue: inconclusive: sample: 0 requests to the new release" in message
    assert "continue with -e release_promote=true" in message
    assert lab.live() == before
    assert lab.deploy("v1.1.0", *QUICK, "-e", quiet, "-e", "release_promote=true").good().ran("Canary | Wait") == set()
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ({"steps": [50, 10]}, "app_canary.steps must rise from step to step"),
        ({"analysis": {"min_request": 5}}, "canary setting min_request is not known: did you mean 'min_requests'?"),
    ],
    ids=["falling", "misspelt"],
)
def test_a_canary_that_cannot_be_meant(lab: Lab, v1_0_0: str, canary: dict[str, object], words: str) -> None:
    assert words in lab.deploy("v1.1.0", "-e", json.dumps({"app_canary": canary})).error()
