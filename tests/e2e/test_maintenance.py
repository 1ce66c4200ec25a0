# SPDX-License-Identifier: Apache-2.0
"""Maintenance under load: visitors get a 503 that says when to come back, and no connection is lost by it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.lab import APP_HOSTS, QUICK, Lab
from tests.support.load import Ask, Load

EITHER = (200, 503)
ASKS = (
    Ask("GET", "/api/version", expect=EITHER),
    Ask("GET", "/", expect=EITHER),
    # Larger than what Nginx reads at once; the app would refuse it.
    Ask("POST", "/api/bookings", json.dumps({"note": "x" * 20_000}).encode(), expect=(400, 503)),
)


@pytest.fixture
def ended(lab: Lab) -> Iterator[None]:
    """Maintenance is over after the test, however it went."""
    yield
    if (lab.record() or {}).get("maintenance"):
        lab.playbook("playbooks/app/maintenance", "-e", "maintenance=off").good()


def status_from(lab: Lab, host: str) -> int:
    """What a host of the lab gets from the edge."""
    ask = (
        "import urllib.request, urllib.error, sys\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    return int(lab.on(host, "python3", "-c", ask, f"http://{lab.address('edge1')}/api/version"))


def test_visitors_wait_the_allowed_get_in_and_a_release_goes_live_behind_it(lab: Lab, v1_0_0: str, ended: None) -> None:
    allow = ("-e", json.dumps({"maintenance_allow": [lab.address("app1")]}))
    told = ("-e", "maintenance_message='Back at 14:00.'", "-e", "maintenance_retry_after=1800")
    with Load(lab.url, *ASKS, rate=80) as load:
        time.sleep(2)
        lab.playbook("playbooks/app/maintenance", "-e", "maintenance=on", *allow, *told).good()
        answer = lab.ask("/api/version")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1800")
        assert "Back at 14:00." in answer.text
        assert {host: status_from(lab, host) for host in APP_HOSTS} == {"app1": 200, "app2": 503}

        lab.deploy("v1.1.0", *QUICK).good()
        assert lab.ask("/api/version").status == 503, "a release ends no maintenance"
        assert status_from(lab, "app1") == 200

        lab.playbook("playbooks/app/maintenance", "-e", "maintenance=off").good()
        time.sleep(2)
    report = load.report
    assert report.failed == 0, str(report)
    assert report.reconnects == 0, f"connections were closed\n{report}"
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    # Nobody but the allowed saw anything between v1.0.0 before and v1.1.0 after; both were seen, and so was the page.
    assert set(report.versions) == {"v1.0.0", "v1.1.0"}, str(report)
    assert report.statuses["503"] > 100, str(report)
    assert set(lab.leases().values()) == {None}
