# SPDX-License-Identifier: Apache-2.0
"""Prometheus takes the configuration that the role makes, with everything in it that an inventory may have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import prometheus

REPOSITORY = Path(__file__).resolve().parents[2]
REMOTE = [{"url": "https://x.example.com/push", "basic_auth": {"username": "1", "password": "p"}}]
PROBES = [
    {
        "instance": "edge1",
        "app": "shop",
        "route": "/",
        "url": "https://10.0.0.11:443/",
        "hostname": "a.example.com",
        "module": "answer",
    }
]


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' checker."""
    return (
        subprocess.run(
            [REPOSITORY / "scripts/prometheus-tools"], check=True, capture_output=True, text=True
        ).stdout.strip()
        + "/promtool"
    )


def check(folder: Path, promtool: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Check the configuration, with its files in a folder."""
    whole = {
        "seconds": 15,
        "host": "mon1",
        "labels": {"environment": "x"},
        "external_labels": {},
        "rules": [],
        "remote_write": [],
        "more": [],
    }
    text = yaml.safe_dump(prometheus.config({**whole, **settings}))
    (folder / "targets").mkdir()
    hosts = [{"name": "db1", "address": "10.0.0.31", "jobs": dict.fromkeys(prometheus.JOBS, 9100)}]
    for job, found in prometheus.targets(hosts, PROBES, {}).items():
        (folder / f"targets/{job}.json").write_text(json.dumps(found))
    (folder / "prometheus.yml").write_text(text.replace(prometheus.FOLDER, str(folder)))
    command = [promtool, "check", "config", str(folder / "prometheus.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("settings", [{}, {"remote_write": REMOTE, "external_labels": {"environment": "x"}}])
def test_it_is_taken(tmp_path: Path, promtool: str, settings: dict[str, Any]) -> None:
    done = check(tmp_path, promtool, **settings)
    assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_a_mistake_is_refused(tmp_path: Path, promtool: str) -> None:
    done = check(tmp_path, promtool, remote_write=[{"address": "https://x.example.com"}])
    assert done.returncode != 0 and "address" in done.stderr
