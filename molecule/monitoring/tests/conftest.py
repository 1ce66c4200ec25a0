# SPDX-License-Identifier: Apache-2.0
"""A machine with a real app, and what Prometheus on the host beside it says of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import scenario

ONE, MON = "10.213.76.11", "10.213.76.12"
PORTS = {"node": 9100, "edge": 9113, "redis": 9121, "postgres": 9187}


class Monitor(scenario.Host):
    """The monitoring host."""

    def query(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        answer = json.loads(self.must(f"curl -sS --get 127.0.0.1:9090/api/v1/query --data-urlencode query={query!r}"))
        assert answer["status"] == "success", answer
        return [{"metric": item["metric"], "value": float(item["value"][1])} for item in answer["data"]["result"]]

    def value(self, query: str) -> float | None:
        """The value of the one series a query gives; None without any."""
        rows = self.query(query)
        assert len(rows) < 2, rows
        return rows[0]["value"] if rows else None

    def sees(
        self, query: str, wanted: Callable[[list[dict[str, Any]]], bool], seconds: float = 120
    ) -> list[dict[str, Any]]:
        """Wait until what Prometheus has is as wanted."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self.query(query)
            if wanted(rows):
                return rows
            assert time.monotonic() < deadline, f"{query}: {rows}"
            time.sleep(2)

    def counted(self, **labels: str) -> int:
        """The requests that the edge has counted, from its exporter itself."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        page = self.must(f"curl -sS http://{ONE}:{PORTS['edge']}/metrics")
        rows = [row for row in page.splitlines() if row.startswith("sluice_edge_requests_total{")]
        return sum(int(row.split()[-1]) for row in rows if all(one in row for one in wanted))


@pytest.fixture(scope="session")
def mon() -> Monitor:
    """The monitoring host."""
    return Monitor("mon1")


@pytest.fixture(scope="session")
def one() -> scenario.Host:
    """The machine."""
    return scenario.Host("one1")


def deploy(version: str) -> subprocess.Popen[str]:
    """Begin a deploy."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    identity = f"lab@{scenario.REPOSITORY}/scripts/vault-key-client"
    return subprocess.Popen(
        [
            "ansible-playbook",
            "deploy.yml",
            "-i",
            str(scenario.INVENTORY),
            "-e",
            f"@{scenario.VAULT}",
            "-e",
            f"app_version={version}",
        ],
        cwd=scenario.REPOSITORY,
        env={**own, "ANSIBLE_VAULT_IDENTITY_LIST": identity, "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def app(mon: Monitor) -> str:
    """The app's address, with v1.0.0 live."""
    process = deploy("v1.0.0")
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output[-3000:]
    mon.sees('sluice_release_live{version="v1.0.0"}', lambda rows: len(rows) == 1)
    return f"http://{ONE}"


def ask(url: str) -> int:
    """The status of one request."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
