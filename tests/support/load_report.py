# SPDX-License-Identifier: Apache-2.0
"""What the strict client saw: the report, and how its threads write it together."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field

from tests.support.load_connection import Ask, Response

# How many failures are kept with their details; all are counted.
KEPT = 200


@dataclass(frozen=True)
class Failure:
    """One request that was not answered as it should be, or a WebSocket that ended as it should not (``method`` is WS).

    ``time`` is seconds of the epoch.
    """

    time: float
    method: str
    path: str
    what: str


@dataclass
class Sockets:
    """What became of the WebSockets. ``versions`` counts greetings by the version they name."""

    opened: int = 0
    pongs: int = 0
    notices: int = 0
    retired: int = 0  # ended by the server with "going away", and greeted by another version when they came back
    failed: int = 0
    versions: dict[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """What the client saw. ``versions`` counts answers by the version they name, ``hosts`` by the host they name.

    ``failed`` counts requests and WebSockets, ``total`` requests alone.
    """

    total: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    methods: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    reconnects: int = 0
    certificates: int = 0  # different ones that servers showed
    max_latency: float = 0.0
    p99: float = 0.0  # seconds, of all requests
    seconds: float = 0.0
    sockets: Sockets = field(default_factory=Sockets)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """The report a client printed."""
        data = json.loads(text)
        failures = [Failure(**item) for item in data.pop("failures")]
        return cls(**{**data, "failures": failures, "sockets": Sockets(**data["sockets"])})

    def to_json(self) -> str:
        """The report as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    def __str__(self) -> str:
        shown = "\n".join(f"  {item.time:.3f} {item.method} {item.path}: {item.what}" for item in self.failures[:20])
        sockets = self.sockets
        return (
            f"{self.total} requests ({self.methods}), {self.failed} failed, statuses {self.statuses}, versions {self.versions}, "
            f"hosts {self.hosts}, {self.connections} connections, {self.reconnects} found closed before writing, {self.certificates} certificates, "
            f"p99 {self.p99:.2f} s, slowest {self.max_latency:.2f} s, in {self.seconds:.1f} s; WebSockets: {sockets.opened} opened, {sockets.pongs} pongs, "
            f"{sockets.notices} notices, {sockets.retired} closed by retire, {sockets.failed} failed, greeted by {sockets.versions}\n{shown}"
        )


class Tally:
    """A report that many threads write."""

    def __init__(self) -> None:
        self.report = Report()
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._certificates: set[bytes] = set()

    def end(self, seconds: float) -> Report:
        """The whole report, of a load that took some seconds."""
        self.report.seconds = seconds
        latencies = sorted(self._latencies)
        if latencies:
            self.report.max_latency, self.report.p99 = latencies[-1], latencies[int(0.99 * (len(latencies) - 1))]
        return self.report

    def connected(self, again: bool, certificate: bytes = b"") -> None:
        """A connection was opened, with the server's certificate; ``again`` when the one before was found closed."""
        with self._lock:
            self._certificates.add(certificate)
            self.report.certificates = len(self._certificates - {b""})
            self.report.connections += 1
            self.report.reconnects += again

    def answered(self, ask: Ask, began: float, response: Response) -> None:
        """A request has its answer. Raises Broken for one that cannot be read."""
        version, host = response.named("version"), response.named("hostname")
        with self._lock:
            self._asked(ask, began)
            _count(self.report.statuses, str(response.status))
            _count(self.report.versions, version)
            _count(self.report.hosts, host)

    def dropped(self, ask: Ask, began: float, what: str) -> None:
        """A request has failed."""
        with self._lock:
            self._asked(ask, began)
            self._failed(ask.method, ask.path, what)

    def greeted(self, version: str) -> None:
        """A WebSocket was opened."""
        with self._lock:
            self.report.sockets.opened += 1
            _count(self.report.sockets.versions, version)

    def heard(self, pongs: int = 0, notices: int = 0, retired: int = 0) -> None:
        """A WebSocket has heard something."""
        with self._lock:
            self.report.sockets.pongs += pongs
            self.report.sockets.notices += notices
            self.report.sockets.retired += retired

    def lost(self, path: str, what: str) -> None:
        """A WebSocket has failed."""
        with self._lock:
            self.report.sockets.failed += 1
            self._failed("WS", path, what)

    def _failed(self, method: str, path: str, what: str) -> None:
        self.report.failed += 1
        if len(self.report.failures) < KEPT:
            self.report.failures.append(Failure(time.time(), method, path, what))

    def _asked(self, ask: Ask, began: float) -> None:
        self.report.total += 1
        self._latencies.append(time.monotonic() - began)
        _count(self.report.methods, ask.method)


def _count(counts: dict[str, int], name: str | None) -> None:
    if name:
        counts[name] = counts.get(name, 0) + 1
