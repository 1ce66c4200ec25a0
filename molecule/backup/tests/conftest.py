# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside, and a client that knows what the database has acknowledged."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Any

import pytest

from tests.support import scenario
from tests.support.scenario import Host


class Client(threading.Thread):
    """Writes numbered rows one after the other and notes each one the database has acknowledged, and when. Never retries a number."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self.host, self.stopped = host, threading.Event()
        self.acknowledged: dict[int, float] = {}

    def run(self) -> None:
        """Write until told to stop, over a new connection when one breaks."""
        number = 0
        while not self.stopped.is_set():
            with subprocess.Popen(
                ["docker", "exec", "--interactive", "--user", "postgres", self.host.container, "psql", "-XAtq", "shop"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as psql:
                assert psql.stdin and psql.stdout
                try:
                    while not self.stopped.is_set():
                        number += 1
                        psql.stdin.write(f"insert into orders (seq) values ({number}) returning seq;\n")
                        psql.stdin.flush()
                        if psql.stdout.readline().strip() != str(number):
                            break
                        self.acknowledged[number] = time.time()
                        time.sleep(0.002)
                except BrokenPipeError:
                    pass
                finally:
                    psql.kill()
            time.sleep(0.2)

    def finish(self) -> dict[int, float]:
        """Stop; the acknowledged numbers, each with its moment."""
        self.stopped.set()
        self.join(timeout=30)
        return self.acknowledged


@pytest.fixture(scope="session")
def db1() -> Host:
    return Host("db1")


@pytest.fixture(scope="session")
def db2() -> Host:
    return Host("db2")


@pytest.fixture(scope="session")
def store1() -> Host:
    return Host("store1")


@pytest.fixture(scope="session")
def store() -> Any:
    """The object store, as who owns its keys."""
    return scenario.store("10.213.55.41")
