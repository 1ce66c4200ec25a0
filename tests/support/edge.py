# SPDX-License-Identifier: Apache-2.0
"""The edge's configuration in an Nginx of a test's own, before two small apps.

A private Nginx runs the role's own configuration with its paths moved into a temporary directory. It needs Nginx with an njs that
has shared dictionaries, which Debian 13 has: `make edge-tests` runs these tests in a container.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import nginx as edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls

ROLE = Path(__file__).resolve().parents[2] / "roles" / "nginx"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

SLOTS = ("blue", "green")
VISITOR = "203.0.113.9"
# Who a request is from: the edge under test believes it, so that no test depends on this machine's addresses.
CLIENT = "X-Test-Client"
# 1.5 MB: more than fits into any buffer on the way, so it is still being sent when the edge decides.
LARGE = b"x" * 1_500_000
MB = 2**20

# The routes of an edge that protects nothing.
STANDARD: dict[str, Any] = {
    "routes": [
        {"host": None, "path": "/", "service": "web", "assets": "/assets"},
        {"host": None, "path": "/brief", "service": "web", "assets": None, "timeout": 1},
        {"host": None, "path": "/upload", "service": "web", "assets": None, "body_limit": 30 * MB},
        {"host": None, "path": "/any", "service": "web", "assets": None, "body_limit": 0},
        {"host": None, "path": "/stream", "service": "web", "assets": None, "buffering": False},
        *(
            {"host": f"{name}.example.com", "path": "/", "service": "web", "assets": None}
            for name in ("safe", "api.wild", "bare")
        ),
    ],
}
NOTHING: dict[str, str] = {}
NO_CERTIFICATES: Mapping[str, Mapping[str, str]] = {}

Answer = tuple[int, dict[str, str], str]


class Edge:
    """An Nginx of this test's own, and the record of its app."""

    def __init__(
        self,
        folder: Path,
        ports: dict[str, int],
        contract: Mapping[str, Any] = STANDARD,
        passwords: Mapping[str, str] = NOTHING,
        certificates: Mapping[str, Mapping[str, str]] = NO_CERTIFICATES,
        **settings: Any,
    ) -> None:
        """Configure it; ``certificates`` is more of edge_tls, and ``settings`` more of the role's variables."""
        self.folder, self.record = folder, edge_record.empty("shop")
        self.socket = str(folder / "run" / "control.sock")
        with socket.socket() as probe, socket.socket() as other:
            probe.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, self.https_port = int(probe.getsockname()[1]), int(other.getsockname()[1])
        self._configure(ports, contract, certificates, settings)
        for name, text in passwords.items():
            (folder / "conf" / name).write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def _configure(
        self,
        ports: dict[str, int],
        contract: Mapping[str, Any],
        certificates: Mapping[str, Mapping[str, str]],
        settings: dict[str, Any],
    ) -> None:
        for name in ("conf", "run", "records", "log", "temp", "tls"):
            (self.folder / name).mkdir()
        moved = {
            "/etc/nginx/sluice": "conf",
            "/run/sluice-edge": "run",
            "/run/nginx.pid": "run/nginx.pid",
            "/var/lib/sluice-edge": "records",
            "/var/lib/sluice-tls": "tls",
            "/var/log/nginx": "log",
        }

        def write(name: str, text: str) -> None:
            for there, here in moved.items():
                text = text.replace(there, str(self.folder / here))
            (self.folder / name).write_text(text)

        given = {"nginx_http_port": self.port, "nginx_https_port": self.https_port, **settings}
        rendered = {
            name: value
            for part in ("defaults", "vars")
            for name, value in yaml.safe_load((ROLE / part / "main.yml").read_text()).items()
        } | given
        environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
        main = environment.from_string((ROLE / "templates" / "nginx.conf.j2").read_text()).render(rendered)
        write("nginx.conf", main.replace("user www-data;", "user root;" if os.getuid() == 0 else ""))
        for source in (ROLE / "files").iterdir():
            write(f"conf/{source.name}", source.read_text())
        release = {
            "app": "shop",
            "services": {"web": {}},
            "ports": {"web": {slot: [port] for slot, port in ports.items()}},
            "routes": contract["routes"],
        }
        tls = Tls(
            self.https_port,
            bool(settings.get("nginx_http3")),
            hosts={"bare.example.com": {"source": "none"}, **certificates},
        )
        protection = contract.get("protection", {})
        hosts = {"app1": "127.0.0.1"}
        write("conf/shop.conf", edge_nginx.render_app(None, release, hosts, self.port, tls=tls, protection=protection))
        believing = "nginx_trusted_proxies" not in settings
        places = [f"{kind}_temp_path {self.folder}/temp/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")]
        write(
            "conf/test.conf",
            "\n".join(
                [
                    *places,
                    f"client_body_temp_path {self.folder}/temp/body;",
                    # Unless a test is about whom the edge believes.
                    *([f"set_real_ip_from 127.0.0.1; real_ip_header {CLIENT};"] if believing else []),
                ]
            ),
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        files = ["-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "log" / "error.log")]
        self._process = subprocess.Popen([str(NGINX), *files, "-g", "daemon off;"])
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.control()
            except edge_control.EdgeDown:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise AssertionError((self.folder / "log" / "error.log").read_text())

    def stop(self) -> None:
        """End it."""
        assert self._process
        self._process.terminate()
        self._process.wait(10)

    def control(self) -> dict[str, Any]:
        """What it holds, and what that means."""
        return edge_control.call("GET", "/split/shop", socket_path=self.socket)

    def change(self, step: Callable[..., Record], **arguments: Any) -> None:
        """Take a step of the record as edge_split does: the file, then Nginx's memory."""
        self.record = step(self.record, token=1, **arguments)
        (self.folder / "records" / "shop.json").write_text(json.dumps(self.record))
        edge_control.hold(self.record, socket_path=self.socket)

    def canary(self, percent: int) -> None:
        """Try r2 in green with a share of the visitors."""
        self.change(edge_record.propose, release="r2", slot="green", percent=percent, seconds=600, now=time.time())

    def maintain(self, message: str = "Back soon.", allow: tuple[str, ...] = ()) -> None:
        """Begin maintenance."""
        self.change(edge_record.maintain, message=message, retry_after=120, allow=allow, now=time.time())

    def serve(self) -> None:
        """End maintenance."""
        self.change(edge_record.serve)

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is not opened again when the edge closes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.connect()
        connection.auto_open = 0
        return connection

    def ask(self, headers: dict[str, str] | None = None, client: str = VISITOR, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, method, headers=headers, client=client)
        finally:
            connection.close()

    def log(self, holds: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
        """The lines of the access log that are looked for; one is written just after its answer."""
        deadline = time.monotonic() + 5
        while True:
            text = (self.folder / "log" / "access.log").read_text()
            found = [entry for entry in map(json.loads, text[: text.rfind("\n") + 1].splitlines()) if holds(entry)]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} lines"
            time.sleep(0.01)


def ask(
    connection: http.client.HTTPConnection,
    method: str = "GET",
    body: Any = None,
    headers: dict[str, str] | None = None,
    client: str = VISITOR,
) -> Answer:
    """One request on an open connection: status, headers, body."""
    connection.request(method, "/", body, {CLIENT: client, **(headers or {})})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()


def slot_of(answer: Answer) -> str:
    """The slot that answered."""
    assert answer[0] == 200, answer
    return str(json.loads(answer[2])["slot"])
