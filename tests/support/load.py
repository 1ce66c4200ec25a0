# SPDX-License-Identifier: Apache-2.0
"""The strict load client: what a deploy must not drop is what this client cannot get.

It never sends a request twice. Before it writes it looks whether the server has closed the connection; then it opens another
one, which is no failure, since nothing was asked yet. Once the first byte is written, everything but a whole response with an
expected status is a failure. Load tools in common use repeat a failed request quietly, or do not look.

WebSockets stay open over the whole load. One that the server ends with 1001 ("going away") comes back at once and has to meet another
version: it was retired. Any other end is a failure.

    python -m tests.support.load http://127.0.0.1:8080 --get /api/version --post '/api/notes={"text": "x"}' --sockets 8 --seconds 10
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.load_connection import Ask, Broken, Connection, Site
from tests.support.load_report import Report, Tally
from tests.support.load_socket import GOING_AWAY, Closed, WebSocket

__all__ = ["Ask", "Client", "Load", "Report", "Settings"]

REPO = Path(__file__).resolve().parents[2]
# Longer than the edge keeps an unused connection to the app (4 s): connections are used again just before and just after it ends.
IDLE_GAPS = (0.4, 2.0, 3.9, 4.1, 5.0, 6.0)
# How long a WebSocket only listens, in seconds.
SILENCES = (0.5, 0.5, 1.0, 5.0)


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
    sockets: int = 0  # WebSockets that stay open over the whole load
    socket_path: str = "/api/live"
    name: str = ""  # the host name to ask for; else the address


class Client:
    """The workers and what they saw. Most keep their connection, some open a new one each time, some stay idle in between."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.url)
        self._settings = settings
        tls = parts.scheme == "https"
        self._site = Site(parts.hostname or "", parts.port or (443 if tls else 80), settings.name, tls)
        self._tally = Tally()
        self._stop = threading.Event()

    def run(self) -> Report:
        """Load until a bound is reached or ``stop`` is called; every request that was begun is finished."""
        begin = time.monotonic()
        deadline = begin + self._settings.seconds
        work = [(self._work, (number, deadline)) for number in range(self._settings.workers)]
        work += [(self._stay, (number,)) for number in range(self._settings.sockets)]
        threads = [threading.Thread(target=what, args=arguments, daemon=True) for what, arguments in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._tally.end(time.monotonic() - begin)

    @property
    def report(self) -> Report:
        """What was seen so far."""
        return self._tally.report

    def stop(self) -> None:
        """End the run soon."""
        self._stop.set()

    def _work(self, number: int, deadline: float) -> None:
        kind = ("keep", "keep", "idle", "fresh")[number % 4]
        chance = random.Random(number)
        connection: Connection | None = None
        # Half of the requests are POST when there is one to send.
        posts = [ask for ask in self._settings.asks if ask.method == "POST"]
        gets = [ask for ask in self._settings.asks if ask.method != "POST"]
        while not self._stop.is_set():
            if time.monotonic() > deadline or self._tally.report.total >= self._settings.requests:
                self.stop()  # wakes the workers that are idle
                break
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
            again = False
            if connection and connection.ended():
                connection.close()
                connection, again = None, True
            if connection is None:
                connection = Connection(self._site, self._settings.timeout)
                self._tally.connected(again, connection.certificate)
            response = connection.exchange(ask, keep)
            if response.status not in ask.expect:
                raise Broken(f"status {response.status}, body {response.body[:120]!r}")
            if response.status == 503 and "retry-after" not in response.headers:
                raise Broken("status 503 without Retry-After")
            self._tally.answered(ask, begin, response)
        except TimeoutError:
            self._tally.dropped(ask, begin, f"no whole answer within {self._settings.timeout:g} s")
        except (Broken, OSError, ValueError) as error:
            self._tally.dropped(ask, begin, f"{type(error).__name__}: {error}")
        else:
            if keep and not response.closes:
                return connection
        if connection:
            connection.close()
        return None

    def _stay(self, number: int) -> None:
        """Have a WebSocket open, and another one when it was sent away."""
        chance = random.Random(-number)
        gone: str | None = None  # the version that sent the last one away
        while not self._stop.is_set():
            try:
                gone = self._converse(chance, gone)
            except (Broken, Closed, OSError, ValueError) as error:
                gone = None
                self._tally.lost(self._settings.socket_path, f"{type(error).__name__}: {error}")
                self._stop.wait(0.5)

    def _converse(self, chance: random.Random, gone: str | None) -> str | None:
        """One WebSocket from its greeting to its end; the version that sent it away, None when it left by itself.

        Raises for every other end, and when it comes back to the very version that has ended: that one was live.
        """
        socket = WebSocket(self._site, self._settings.socket_path, self._settings.timeout)
        try:
            version = str(socket.greeting()["version"])
            self._tally.greeted(version)
            if gone:
                if gone == version:
                    raise Broken(f"sent away by {gone} and greeted by it again")
                self._tally.heard(retired=1)
            while not self._stop.is_set():
                socket.ping()
                self._tally.heard(pongs=1)
                silence = chance.choice(SILENCES)
                while silence > 0 and not self._stop.is_set():
                    socket.listen(min(silence, 0.5))
                    silence -= 0.5
            socket.leave()
        except Closed as end:
            if end.code != GOING_AWAY:
                raise
            return version
        finally:
            self._tally.heard(notices=socket.notices)
            socket.close()
        return None


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
        sockets: int = 0,
        name: str = "",
    ) -> None:
        bounds = {"requests": requests, "seconds": seconds, "workers": workers, "rate": rate, "timeout": timeout}
        self._arguments = [f"--{name}={value}" for name, value in {**bounds, "sockets": sockets, "name": name}.items()]
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
    parser.add_argument("--sockets", type=int, default=0, help="WebSockets that stay open over the whole load")
    parser.add_argument("--socket-path", default="/api/live", help="where they are opened")
    parser.add_argument("--name", default="", help="the host name to ask for, where it is not that of the URL")
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
            sockets=given.sockets,
            socket_path=given.socket_path,
            name=given.name,
        )
    )
    if given.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), client.stop()), daemon=True).start()
    report = client.run()
    print(report.to_json() if given.json else report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
