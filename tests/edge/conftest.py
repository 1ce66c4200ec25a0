# SPDX-License-Identifier: Apache-2.0
"""An edge before two apps, for each module of tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record

from tests.support.edge import SLOTS, Edge
from tests.support.edge_app import app


@contextmanager
def serving() -> Iterator[dict[str, int]]:
    """Two apps, each in a slot: their ports."""
    servers = {slot: ThreadingHTTPServer(("127.0.0.1", 0), app(slot)) for slot in SLOTS}
    for server in servers.values():
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # an edge that goes away is part of the tests
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield {slot: int(server.server_address[1]) for slot, server in servers.items()}
    for server in servers.values():
        server.shutdown()


@contextmanager
def started(folder: Path, **settings: Any) -> Iterator[Edge]:
    """An edge before two apps; ``settings`` are those of Edge."""
    with serving() as ports:
        found = Edge(folder, ports, **settings)
        found.start()
        yield found
        found.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge before two apps."""
    with started(tmp_path_factory.mktemp("edge")) as found:
        yield found


@pytest.fixture
def edge(running: Edge) -> Edge:
    """The edge with r1 confirmed in blue and nothing else."""
    running.change(edge_record.adopt, release="r1", slot="blue")
    running.serve()
    return running
