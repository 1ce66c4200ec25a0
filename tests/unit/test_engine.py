# SPDX-License-Identifier: Apache-2.0
"""The engine's socket, against a small server that answers as the engine does."""

from __future__ import annotations

import base64
import json
import socketserver
import stat
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, engine
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError, NoEngine, NotFound

Asked = list[tuple[str, str, Any, str | None]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Asked]]:
    """Start an engine that gives the answers, in their order, after its version; returns what it was asked."""
    running: list[socketserver.BaseServer] = []

    def start(*answers: tuple[int, bytes]) -> Asked:
        asked: Asked = []
        waiting = [(200, b'{"ApiVersion": "1.41"}'), *answers]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append(
                    (self.command, self.path, json.loads(body) if body else None, self.headers["X-Registry-Auth"])
                )
                status, text = waiting.pop(0)
                self.send_response(status)
                self.end_headers()
                for part in text.split(b"|"):
                    self.wfile.write(part)
                    self.wfile.flush()
                    time.sleep(0.01)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def address_string(self) -> str:
                return "test"

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return asked

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def connect(tmp_path: Path, timeout: float = 5) -> Engine:
    return Engine(timeout, str(tmp_path / "docker.sock"))


def test_an_older_engine_is_spoken_to_in_its_own_version(serve: Callable[..., Asked], tmp_path: Path) -> None:
    asked = serve((200, b"[]"))
    assert docker_host.app_containers(connect(tmp_path), "shop") == []
    assert [path.split("?")[0] for _, path, _, _ in asked] == ["/version", "/v1.41/containers/json"]
    assert "all=true" in asked[1][1] and "stack.sluice.app%3Dshop" in asked[1][1]


def test_the_engines_own_words_are_the_error(serve: Callable[..., Asked], tmp_path: Path) -> None:
    serve(
        (409, b'{"message": "Conflict. The container name is in use"}'), (404, b'{"message": "No such container: x"}')
    )
    one = connect(tmp_path)
    with pytest.raises(EngineError, match=r"^Conflict\. The container name is in use$"):
        one.post("/containers/create", {}, name="x")
    with pytest.raises(NotFound, match="No such container"):
        docker_host.inspect(one, "x")


def test_an_engine_that_does_not_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoEngine, match=r"run provision\.yml, or check systemctl status docker"):
        connect(tmp_path)


def test_a_log_is_taken_out_of_its_frames(serve: Callable[..., Asked], tmp_path: Path) -> None:
    frames = b"".join(
        bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text
        for stream, text in ((1, b"one\n"), (2, "zwei ü\n".encode()), (1, b""))
    )
    serve((200, frames))
    assert connect(tmp_path).logs("x", tail=15) == "one\nzwei ü\n"


def test_a_pull_that_fails_on_the_way_says_so_in_a_line_with_what_to_do(
    serve: Callable[..., Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    asked = serve((200, b'{"status": "Pulling"}\n{"sta|tus": "Waiting"}\n|{"error": "manifest unknown"}\n'))
    with pytest.raises(EngineError, match=r"^image r\.test/web@sha256:01: not found in registry r\.test: push it"):
        docker_host.pull(connect(tmp_path), "r.test/web@sha256:01", 5)
    assert asked[1][1] == "/v1.41/images/create?fromImage=r.test%2Fweb&tag=sha256%3A01"


def test_a_pull_that_is_refused_at_once_has_the_engines_words(
    serve: Callable[..., Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    serve((500, b'{"message": "dial tcp: lookup r.test: no such host"}\n'))
    with pytest.raises(EngineError, match=r"registry r\.test cannot be reached from this host .*no such host\)$"):
        docker_host.pull(connect(tmp_path), "r.test/web@sha256:01", 5)


def test_what_the_engine_is_set_to_is_read_once(serve: Callable[..., Asked], tmp_path: Path) -> None:
    asked = serve((200, b'{"DockerRootDir": "/d"}'))
    one = connect(tmp_path)
    assert one.info() == one.info() == {"DockerRootDir": "/d"}
    assert len(asked) == 2


def test_a_container_is_created_with_its_values_in_the_body_alone(serve: Callable[..., Asked], tmp_path: Path) -> None:
    asked = serve((201, b'{"Id": "abc"}'))
    wanted = {
        "image": "r.test/web@sha256:01",
        "command": None,
        "environment": {"KEY": "hunter2"},
        "host": {"ReadonlyRootfs": True},
        "name": "shop-web",
        "labels": {"a": "b"},
        "network": "sluice-shop-blue",
        "alias": "web",
        "publish": {"port": 8080, "address": "10.0.0.21", "host_port": 20000},
    }
    assert docker_host.create(connect(tmp_path), wanted) == "abc"
    _, path, body, _ = asked[1]
    assert path == "/v1.41/containers/create?name=shop-web"
    assert body["Env"] == ["KEY=hunter2"]
    assert body["HostConfig"]["ReadonlyRootfs"] is True
    assert body["HostConfig"]["PortBindings"] == {"8080/tcp": [{"HostIp": "10.0.0.21", "HostPort": "20000"}]}
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert body["NetworkingConfig"]["EndpointsConfig"] == {"sluice-shop-blue": {"Aliases": ["web"]}}


def decoded(header: dict[str, str]) -> dict[str, str]:
    return dict(json.loads(base64.urlsafe_b64decode(header["X-Registry-Auth"])))


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def test_a_log_in_is_taken_from_dockers_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = base64.b64encode(b"anna:pa:ss").decode()
    configure(tmp_path, monkeypatch, auths={"r.test:5000": {"auth": auth}, engine.DOCKER_HUB: {"identitytoken": "t"}})
    assert decoded(engine.credentials("r.test:5000/shop/web:v1")) == {
        "username": "anna",
        "password": "pa:ss",
        "serveraddress": "r.test:5000",
    }
    assert decoded(engine.credentials("nginx"))["identitytoken"] == "t"
    assert engine.credentials("other.test/web") == {}


def test_a_log_in_is_asked_from_the_registrys_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-vault"
    helper.write_text('#!/bin/sh\nread server\nprintf \'{"Username": "AWS", "Secret": "for %s"}\' "$server"\n')
    helper.chmod(helper.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    configure(tmp_path, monkeypatch, credHelpers={"r.test": "vault", "s.test": "missing"})
    assert decoded(engine.credentials("r.test/web:v1"))["password"] == "for r.test"
    assert engine.credentials("s.test/web:v1") == {}, "the registry says then what is missing"


def test_without_a_file_nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    assert engine.credentials("r.test/web") == {}
