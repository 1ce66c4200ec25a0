# SPDX-License-Identifier: Apache-2.0
"""What one environment proved is what the next one gets, also when the tag has moved since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.images import CRASH, SOUND, Variants
from tests.support.lab import APP_HOSTS, INVENTORY, QUICK, Lab, health_window
from tests.support.playbook import Started

TAG = "v1.4.0-promoted"


@pytest.mark.soak
def test_the_images_that_were_proved(lab: Lab, v1_0_0: str, variant: Variants, tmp_path: Path) -> None:
    variant.push(TAG, SOUND)
    environment = {
        "ANSIBLE_CALLBACKS_ENABLED": "events,killer,sluice.stack.report",
        "SLUICE_REPORT_DIRECTORY": str(tmp_path),
    }
    Started(["deploy.yml", "-i", INVENTORY, "-e", f"app_version={TAG}", *QUICK], environment).wait(240).good()
    (report,) = tmp_path.glob("*.json")
    proved = json.loads(report.read_text())["images"]

    # Somebody moves the tag; then another release is live.
    variant.push(TAG, CRASH)
    lab.deploy("v1.0.0", *QUICK).good()
    lab.playbook("deploy", "-e", f"release_from={report}", *QUICK).good()
    assert lab.ask("/api/version").json()["version"] == "v1.1.0"
    for host in APP_HOSTS:
        running = {item["service"]: item["image"] for item in lab.containers(host).values()}
        assert running == proved, host

    # The control: the tag itself is broken by now.
    lab.deploy("v1.0.0", *QUICK).good()
    assert "exited with code 37" in lab.deploy(TAG, *QUICK, *health_window(10)).error()
