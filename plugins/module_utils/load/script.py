# SPDX-License-Identifier: Apache-2.0
"""What k6 runs: its script, and the settings that the script reads. Pure.

Open-loop: requests begin at the rate that was asked for, however slow the answers are, as visitors do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

# A stage's requests that were under way when it ended get so many seconds more than the timeout.
GRACE_SECONDS = 1.0
# Every sample k6 takes is a line; these are the columns that are read.
TAGS = ("scenario", "expected_response", "status")

MAIN = """\
import http from 'k6/http';
const settings = JSON.parse(open('./settings.json'));
export const options = settings.options;
const all = settings.requests.map((one) => ({
  method: one.method, url: settings.base + one.path, body: one.body, weight: one.weight,
  params: { headers: one.headers, redirects: 0, timeout: settings.timeout, responseCallback: http.expectedStatuses(...one.expect) },
}));
const total = all.reduce((sum, one) => sum + one.weight, 0);
export default function () {
  let place = Math.random() * total;
  const one = all.find((item) => (place -= item.weight) < 0) || all[0];
  http.request(one.method, one.url, one.body, one.params);
}
"""
# A script of the user's: what it does at each turn is its default function; when, and how often, is the profile's.
OWN = """\
import * as own from './scenario.js';
export const options = JSON.parse(open('./settings.json')).options;
export function setup() { return own.setup ? own.setup() : undefined; }
export default function (data) { return own.default(data); }
export function teardown(data) { if (own.teardown) { own.teardown(data); } }
"""


def files(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the files for k6's directory, by name."""
    settings = {
        "options": options(
            params["stages"], params["clients"], params["timeout"], params["hosts"], not params["scenario"]
        ),
        "base": params["base"].rstrip("/"),
        "timeout": f"{params['timeout']:g}s",
        "requests": [{**one, "expect": expected(one["expect"])} for one in params["requests"]],
    }
    made = {"settings.json": json.dumps(settings), "main.js": OWN if params["scenario"] else MAIN}
    if params["scenario"]:
        made["scenario.js"] = params["scenario"]
    if params["ca"]:
        made["ca.pem"] = params["ca"]
    return made


def options(
    stages: Sequence[Mapping[str, Any]], clients: int, timeout: float, hosts: Mapping[str, str], discard: bool
) -> dict[str, Any]:
    """Return k6's options: a scenario for each stage, one after the other."""
    scenarios, start = {}, 0
    for index, stage in enumerate(stages):
        # As many as can be waiting before their requests time out. All from the start (each takes 0.1 MB): one that k6 adds on the way costs a turn.
        ready = min(clients, max(2, math.ceil(stage["rate"] * timeout)))
        scenarios[f"s{index}"] = {
            "executor": "constant-arrival-rate",
            "rate": stage["rate"],
            "timeUnit": "1s",
            "duration": f"{stage['seconds']}s",
            "startTime": f"{start}s",
            "preAllocatedVUs": ready,
            "maxVUs": ready,
            "gracefulStop": f"{timeout + GRACE_SECONDS:g}s",
        }
        start += stage["seconds"]
    return {
        "scenarios": scenarios,
        "systemTags": list(TAGS),
        # A script of the user's may read its answers.
        "discardResponseBodies": discard,
        "hosts": dict(hosts),
    }


def seconds(params: Mapping[str, Any]) -> float:
    """Return the longest that k6 may take."""
    return float(sum(stage["seconds"] for stage in params["stages"]) + params["timeout"] + GRACE_SECONDS)


def expected(statuses: str) -> list[dict[str, int]]:
    """Return ``200-399,404`` as k6 wants it."""
    found = []
    for part in statuses.split(","):
        low, _unused, high = part.partition("-")
        found.append({"min": int(low), "max": int(high or low)})
    return found
