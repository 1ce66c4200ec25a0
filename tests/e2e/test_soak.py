# SPDX-License-Identifier: Apache-2.0
"""Many releases under load. SLUICE_SOAK_RELEASES says how many deploys, each with its rollback; 20 is what the promise is made for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.e2e.test_no_dropped_request import SENDER, SOCKETS, UPLOAD, asks, messages
from tests.support.lab import Lab
from tests.support.load import Load

RELEASES = int(os.environ.get("SLUICE_SOAK_RELEASES", "20"))
REQUESTS = 2_500 * 2 * RELEASES  # 100,000 for 20 deploys and 20 rollbacks
RATE = 250.0


@pytest.mark.soak
def test_many_releases_drop_nothing(lab: Lab, v1_0_0: str, artefacts: Path) -> None:
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')
    begin = time.monotonic()
    with Load(lab.url, *asks(lab), UPLOAD, rate=RATE, seconds=7200, requests=100 * REQUESTS, sockets=SOCKETS) as load:
        for number in range(RELEASES):
            # By turns back to a slot that still runs, and to one that was retired: which sends the WebSockets away.
            retire = ("-e", "release_retire=wait") if number % 2 else ()
            lab.deploy("v1.1.0", *retire).good()
            lab.rollback(*retire).good()
        # RATE is a ceiling: answers take their time too.
        time.sleep(max(0.0, begin + 2 * REQUESTS / RATE - time.monotonic()))
    report = load.report
    (artefacts / "soak.txt").write_text(str(report))
    print(report)
    assert report.failed == 0, str(report)
    assert report.total >= REQUESTS, str(report)
    assert set(report.versions) == {"v1.0.0", "v1.1.0"}, str(report)
    assert report.sockets.retired >= RELEASES // 2 * 2 * SOCKETS, str(report)
    assert messages(lab) == report.statuses["201"], "a message that was accepted is not in the database"
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')
