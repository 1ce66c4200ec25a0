# SPDX-License-Identifier: Apache-2.0
"""The strict load client: what a deploy must not drop is what this client cannot get.

It never sends a request twice. Before it writes it looks whether the server has closed the connection; then it opens another
one, which is no failure, since nothing was asked yet. Once the first byte is written, everything but a whole response with an
expected status is a failure. Load tools in common use repeat a failed request quietly, or do not look.

    python -m tests.support.load http://127.0.0.1:8080 --get /api/version --post '/api/notes={"text": "x"}' --seconds 10
"""

from __future__ import annotations

import argparse
import json
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parents[2]
# How many failures are kept with their details; all are counted.
KEPT = 200
# Longer than the edge keeps an unused connection to the app (4 s): connections are used again just before and just after it ends.
IDLE_GAPS = (0.4, 2.0, 3.9, 4.1, 5.0, 6.0)
VERSION_HEADERS = ("x-version",)
HOST_HEADERS = ("x-hostname",)


@dataclass(frozen=True)
class Ask:
    """One kind of request and the statuses that are a good answer to it."""

    method: str
    path: str
    body: bytes = b""
    expect: tuple[int, ...] = (200, 201, 204)


@dataclass(frozen=True)
class Failure:
    """One request that was not answered as it should be; ``time`` is seconds of the epoch."""

    time: float
    method: str
    path: str
    what: str


@dataclass
class Report:
    """What the client saw. ``versions`` counts answers by the version they name, ``hosts`` by the host they name."""

    total: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    methods: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    reconnects: int = 0
    max_latency: float = 0.0
    p99: float = 0.0  # seconds; of the requests that were answered
    seconds: float = 0.0

    @classmethod
    def from_json(cls, text: str) -> Report:
        """The report a client printed."""
        data = json.loads(text)
        return cls(**{**data, "failures": [Failure(**item) for item in data["failures"]]})

    def to_json(self) -> str:
        """The report as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    def __str__(self) -> str:
        shown = "\n".join(f"  {item.time:.3f} {item.method} {item.path}: {item.what}" for item in self.failures[:20])
        return (
            f"{self.total} requests ({dict(self.methods)}), {self.failed} failed, statuses {self.statuses}, versions {self.versions}, hosts {self.hosts}, "
            f"{self.connections} connections, {self.reconnects} found closed before writing, p99 {self.p99:.2f} s, slowest {self.max_latency:.2f} s, "
            f"in {self.seconds:.1f} s\n{shown}"
        )


class Broken(Exception):
    """The answer is not a whole HTTP response; the message says in what way."""


@dataclass(frozen=True)
class Response:
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server said that it ends the connection."""
        return self.headers.get("connection", "").lower() == "close"

    def named(self, headers: tuple[str, ...], keys: tuple[str, ...]) -> str | None:
        """What the response says of itself, in a header or a key of its JSON body."""
        for header in headers:
            if header in self.headers:
                return self.headers[header]
        if "json" in self.headers.get("content-type", ""):
            try:
                data = json.loads(self.body)
            except ValueError as error:
                raise Broken(f"body is not JSON: {self.body[:80]!r}") from error
            if isinstance(data, dict):
                return next((str(data[key]) for key in keys if isinstance(data.get(key), str)), None)
        return None


class Connection:
    """One TCP connection that speaks HTTP/1.1 and hides nothing."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host = f"{host}:{port}"
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def ended(self) -> bool:
        """Whether the server has closed the connection, seen without writing. Raises Broken for bytes nobody asked for."""
        data = self._held
        if not data:
            if not select.select([self._socket], [], [], 0)[0]:
                return False
            try:
                data = self._socket.recv(100)
            except OSError:
                return True
        if data:
            raise Broken(f"the server sent bytes before it was asked: {data!r}")
        return True

    def exchange(self, ask: Ask, keep: bool) -> Response:
        """Send one request and read the whole answer. Raises Broken or OSError."""
        head = [f"{ask.method} {ask.path} HTTP/1.1", f"Host: {self._host}", "User-Agent: strict-load"]
        head.append(f"Connection: {'keep-alive' if keep else 'close'}")
        if ask.method == "POST":
            head += ["Content-Type: application/json", f"Content-Length: {len(ask.body)}"]
        self._socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + ask.body)
        return self._response()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _response(self) -> Response:
        first = self._line()
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise Broken(f"not an HTTP response: {first[:80]!r}")
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(parts[1])
        return Response(status, headers, b"" if status in (204, 304) else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(";")[0], 16):
                body += self._bytes(size)
                self._bytes(2)
            self._line()
            return body
        if "content-length" not in headers:
            raise Broken("a response without a length: a cut one could not be told from a whole one")
        return self._bytes(int(headers["content-length"]))

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise Broken(f"the server closed the connection after {len(self._held)} unread bytes of the response")
        self._held += data

    def _line(self) -> str:
        while b"\r\n" not in self._held:
            self._more()
        line, _, self._held = self._held.partition(b"\r\n")
        return line.decode("latin-1")

    def _bytes(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        data, self._held = self._held[:count], self._held[count:]
        return data


@dataclass(frozen=True)
class Settings:
    """How to load. Every bound ends the run: ``seconds`` and ``requests``."""

    url: str
    asks: tuple[Ask, ...] = (Ask("GET", "/"),)
    workers: int = 16
    rate: float = 250.0  # requests a second, over all workers, at most
    seconds: float = 120.0
    requests: int = 100_000
    timeout: float = 15.0


class Client:
    """The workers and what they saw. Most keep their connection, some open a new one each time, some stay idle in between."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.url)
        self._settings = settings
        self._address = (parts.hostname or "", parts.port or 80)
        self._report = Report()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._methods: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._latencies: list[float] = []

    def run(self) -> Report:
        """Load until a bound is reached or ``stop`` is called; every request that was begun is finished."""
        begin = time.monotonic()
        workers = [
            threading.Thread(target=self._work, args=(number, begin + self._settings.seconds), daemon=True)
            for number in range(self._settings.workers)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        report = self._report
        report.methods, report.statuses = dict(self._methods), dict(self._statuses)
        report.versions, report.hosts = dict(self._versions), dict(self._hosts)
        report.seconds = time.monotonic() - begin
        latencies = sorted(self._latencies)
        if latencies:
            report.max_latency, report.p99 = latencies[-1], latencies[int(0.99 * (len(latencies) - 1))]
        return report

    def stop(self) -> None:
        """End the run soon."""
        self._stop.set()

    def _work(self, number: int, deadline: float) -> None:
        kind = ("keep", "keep", "idle", "fresh")[number % 4]
        chance = random.Random(number)
        connection: Connection | None = None
        while not self._stop.is_set():
            if time.monotonic() > deadline or self._report.total >= self._settings.requests:
                self.stop()  # wakes the workers that are idle
                break
            asks = self._settings.asks
            # Half of the requests are POST when there is one to send.
            posts = [ask for ask in asks if ask.method == "POST"]
            gets = [ask for ask in asks if ask.method != "POST"]
            ask = chance.choice(posts if posts and (not gets or chance.random() < 0.5) else gets)
            connection = self._one(connection, ask, keep=kind != "fresh")
            pause = chance.choice(IDLE_GAPS) if kind == "idle" and chance.random() < 0.2 else 0.0
            self._stop.wait(pause or chance.uniform(0.5, 1.5) * self._settings.workers / self._settings.rate)
        if connection:
            connection.close()

    def _one(self, connection: Connection | None, ask: Ask, keep: bool) -> Connection | None:
        """One request; returns the connection when it can be used again."""
        begin = time.monotonic()
        try:
            if connection and connection.ended():
                connection.close()
                connection = None
                with self._lock:
                    self._report.reconnects += 1
            if connection is None:
                connection = Connection(*self._address, timeout=self._settings.timeout)
                with self._lock:
                    self._report.connections += 1
            response = connection.exchange(ask, keep)
            if response.status not in ask.expect:
                raise Broken(f"status {response.status}, body {response.body[:120]!r}")
            if response.status == 503 and "retry-after" not in response.headers:
                raise Broken("status 503 without Retry-After")
            self._count(ask, begin, response)
        except TimeoutError:
            self._fail(ask, begin, f"no whole answer within {self._settings.timeout:g} s")
        except (Broken, OSError, ValueError) as error:
            self._fail(ask, begin, f"{type(error).__name__}: {error}")
        else:
            if keep and not response.closes:
                return connection
        if connection:
            connection.close()
        return None

    def _count(self, ask: Ask, begin: float, response: Response) -> None:
        version = response.named(VERSION_HEADERS, ("version",))
        host = response.named(HOST_HEADERS, ("hostname",))
        with self._lock:
            self._seen(ask, begin)
            self._statuses[str(response.status)] += 1
            if version:
                self._versions[version] += 1
            if host:
                self._hosts[host] += 1

    def _fail(self, ask: Ask, begin: float, what: str) -> None:
        with self._lock:
            self._seen(ask, begin)
            self._report.failed += 1
            if len(self._report.failures) < KEPT:
                self._report.failures.append(Failure(time.time(), ask.method, ask.path, what))

    def _seen(self, ask: Ask, begin: float) -> None:
        self._report.total += 1
        self._latencies.append(time.monotonic() - begin)
        self._methods[ask.method] += 1


class Load:
    """The client in a process of its own while the block runs; ``report`` is there after it.

    A test that keeps this machine's Python busy does not slow the client, and the client does not slow the test.
    """

    def __init__(
        self,
        url: str,
        *asks: Ask,
        seconds: float = 240.0,
        workers: int = 16,
        rate: float = 250.0,
        timeout: float = 15.0,
        requests: int = 100_000,
    ) -> None:
        self._arguments = [
            "--requests",
            str(requests),
            "--seconds",
            str(seconds),
            "--workers",
            str(workers),
            "--rate",
            str(rate),
            "--timeout",
            str(timeout),
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-load-")
        for number, ask in enumerate(asks):
            if ask.method == "POST":
                # Not in the arguments: one of these may be 128 KiB.
                file = Path(self._folder.name) / str(number)
                file.write_bytes(ask.body)
                self._arguments += ["--post", f"{ask.path}=@{file}"]
            else:
                self._arguments += ["--get", ask.path]
            self._arguments += ["--expect", ",".join(map(str, ask.expect))]
        self._url = url
        self.report = Report()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load", self._url, "--until-eof", "--json", *self._arguments],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Closing its input tells it to finish.
            output, errors = self._process.communicate(timeout=60)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._folder.cleanup()
        if self._process.returncode not in (0, 1) or not output.strip():
            raise RuntimeError(f"the load client ended with {self._process.returncode}: {errors.strip()}")
        self.report = Report.from_json(output)


class _AddAsk(argparse.Action):
    """Collects ``--get``, ``--post`` and the ``--expect`` that follows one of them."""

    def __call__(
        self, parser: argparse.ArgumentParser, space: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        asks: list[Ask] = space.asks
        if option == "--expect":
            if not asks:
                parser.error("--expect belongs after the --get or --post it is for")
            last = asks.pop()
            asks.append(Ask(last.method, last.path, last.body, tuple(int(part) for part in value.split(","))))
            return
        path, _, text = value.partition("=") if option == "--post" else (value, "", "")
        body = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        asks.append(Ask("POST" if option == "--post" else "GET", path, body))


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when no request failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.load", description="Load a site and count every request it drops."
    )
    parser.add_argument("url", help="scheme, host and port of the site")
    parser.set_defaults(asks=[])
    wanted = {"action": _AddAsk, "dest": "asks", "default": argparse.SUPPRESS}
    parser.add_argument("--get", metavar="PATH", help="a path to GET; repeatable", **wanted)
    parser.add_argument(
        "--post", metavar="PATH=BODY", help="a path to POST a body to, or a file with =@FILE; repeatable", **wanted
    )
    parser.add_argument(
        "--expect",
        metavar="STATUSES",
        help="good statuses of the request named before it, with commas between",
        **wanted,
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="ends the run")
    parser.add_argument("--requests", type=int, default=100_000, help="ends the run")
    parser.add_argument("--workers", type=int, default=16, help="connections at once")
    parser.add_argument("--rate", type=float, default=250.0, help="requests a second over all workers, at most")
    parser.add_argument("--timeout", type=float, default=15.0, help="seconds for one answer")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    given = parser.parse_args(arguments)
    client = Client(
        Settings(
            url=given.url,
            asks=tuple(given.asks) or (Ask("GET", "/"),),
            workers=given.workers,
            rate=given.rate,
            seconds=given.seconds,
            requests=given.requests,
            timeout=given.timeout,
        )
    )
    if given.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), client.stop()), daemon=True).start()
    report = client.run()
    print(report.to_json() if given.json else report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
