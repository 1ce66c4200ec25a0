# SPDX-License-Identifier: Apache-2.0
"""A deploy and a rollback under load drop no request. The client is strict; see tests/support/load.py."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.support.lab import APP_HOSTS, QUICK, Lab, inventory_app, until
from tests.support.load import Ask, Load

SENDER = "load@example.com"
RATE = 300.0  # at most: answers and idle connections take their time


def asks(lab: Lab) -> list[Ask]:
    """Half of them write a row: a request that was answered and whose row is missing would be lost all the same."""
    accountant = lab.ask("/api/accountants").json()["accountants"][0]["id"]
    message = {"accountantId": accountant, "senderEmail": SENDER, "body": "A question about invoices. " * 60}
    return [
        Ask("GET", "/api/version", expect=(200,)),
        Ask("GET", "/api/accountants", expect=(200,)),
        Ask("GET", "/", expect=(200,)),
        # Pages opened long ago ask for what is gone, in both slots; that must not hurt the slot that is about to be live.
        Ask("GET", "/assets/gone-00000000.js", expect=(404,)),
        # Three of them to an upload, which is a hundred times the size.
        *[Ask("POST", "/api/messages", json.dumps(message).encode(), expect=(201,))] * 3,
    ]


# 200 kB that the edge takes in whole and passes on; the app reads it and does not want it.
UPLOAD = Ask("POST", "/upload", b"x" * 200_000, expect=(405,))
# So many WebSockets stay open over the whole load.
SOCKETS = 12


def messages(lab: Lab) -> int:
    """How many of the client's messages are in the database."""
    return int(lab.sql(f'select count(*) from "Message" where "senderEmail" = \'{SENDER}\'')[0][0])


def book_and_cancel(lab: Lab) -> None:
    """Two notices for every WebSocket, on whichever process this happens."""
    accountant = lab.ask("/api/accountants").json()["accountants"][0]["id"]
    slots = lab.ask(f"/api/accountants/{accountant}/slots").json()["slots"]
    slot = next(item["id"] for item in slots if item["status"] == "OPEN")
    answer = lab.ask("/api/bookings", "POST", {"slotId": slot, "name": "Lena Load", "email": SENDER})
    assert answer.status == 201, answer.text
    booking, receipt = answer.json()["booking"]["id"], answer.json()["receipt"]
    answer = lab.ask(f"/api/bookings/{booking}/cancel", "POST", {}, headers={"Authorization": f"Bearer {receipt}"})
    assert answer.status == 200, answer.text


def test_deploys_and_rollbacks_drop_nothing(lab: Lab, v1_0_0: str, artefacts: Path) -> None:
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')
    begin = time.monotonic()
    with Load(lab.url, *asks(lab), UPLOAD, rate=RATE, sockets=SOCKETS, seconds=900) as load:
        time.sleep(3)
        book_and_cancel(lab)
        lab.deploy("v1.1.0", "-e", "release_warm_minutes=5").good()
        lab.rollback().good()  # to a slot that still runs
        waited = [lab.deploy("v1.1.0", "-e", "release_retire=wait").good()]
        book_and_cancel(lab)
        waited += [lab.rollback("-e", "release_retire=wait").good()]  # to one that has to be started
        # Connections that were idle over the last flip are used once more; and a fast machine has not asked enough yet.
        time.sleep(max(7.0, begin + 50 - time.monotonic()))
    report = load.report
    (artefacts / "load.txt").write_text(str(report))
    print(report)
    assert report.failed == 0, str(report)
    assert report.total > 10_000, str(report)
    assert 0.4 < report.methods["POST"] / report.total < 0.6, str(report)
    # The load did meet both releases, on both hosts each time.
    assert set(report.versions) == {"v1.0.0", "v1.1.0"}, str(report)
    assert len(report.hosts) == 4 * len(APP_HOSTS), str(report)
    assert messages(lab) == report.statuses["201"], "a message that was accepted is not in the database"
    # Every WebSocket was told to leave by each release that was retired, and met the next one.
    for run in waited:
        took = re.search(r"^retire .* (\d+\.\d) s", run.output, re.MULTILINE)
        assert took and float(took[1]) >= inventory_app()["app_drain_seconds"], (
            f"sent away before the window's end\n{run}"
        )
    sockets = report.sockets
    assert sockets.retired >= 2 * SOCKETS and sockets.opened == SOCKETS + sockets.retired, str(report)
    assert set(sockets.versions) == {"v1.0.0", "v1.1.0"}, str(report)
    assert sockets.notices == 4 * SOCKETS, str(report)
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')


def test_the_client_does_see_what_dies(lab: Lab, v1_0_0: str) -> None:
    """The control: the serving processes are killed under the same load, with slow requests in flight."""
    slow = Ask("GET", "/api/slow?ms=3000", expect=(200,))
    with Load(lab.url, *asks(lab), slow, rate=60, sockets=SOCKETS) as load:
        time.sleep(3)
        for host in APP_HOSTS:
            serving = [item for item in lab.containers(host).values() if item["service"] == "backend"]
            lab.on(host, "kill", "-9", *(str(item["pid"]) for item in serving if item["state"] == "running"))
        time.sleep(1)
    report = load.report
    assert report.failed > report.sockets.failed, str(report)
    assert report.sockets.failed >= SOCKETS and report.sockets.retired == 0, str(report)
    # The engine starts them again by itself.
    until(lambda: set(lab.served()) == set(APP_HOSTS), 60, "both app hosts serve again")
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')


@pytest.mark.soak
def test_the_client_does_see_a_release_that_waits_for_nobody(lab: Lab, v1_0_0: str) -> None:
    """The control: no drain window and no grace for what is live, and slow requests in flight."""
    services = inventory_app()["app_services"]
    services["backend"]["stop_grace"] = 0
    lab.deploy("v1.1.0", *QUICK, "-e", json.dumps({"app_services": services})).good()
    # Longer than from the flip to the end of the old slot, also where this machine is busy.
    slow = Ask("GET", "/api/slow?ms=10000", expect=(200,))
    with Load(lab.url, slow, rate=60) as load:
        lab.deploy("v1.0.0", "-e", "app_drain_seconds=0", "-e", "release_retire=wait").good()
    assert load.report.failed > 0, str(load.report)
