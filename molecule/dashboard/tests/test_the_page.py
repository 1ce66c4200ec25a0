# SPDX-License-Identifier: Apache-2.0
"""Who has a password sees the page and may ask for figures; nobody may do anything else."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
from testinfra.host import Host

URL = "https://10.213.83.11:9443"
LOGIN = "anna:correct horse battery"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Trust in the certificate as anybody is handed it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_text(ssl.get_server_certificate(("10.213.83.11", 9443)))
    return ssl.create_default_context(cafile=str(path))


@pytest.fixture
def ask(context: ssl.SSLContext) -> Any:
    def asked(
        path: str, login: str = LOGIN, method: str = "GET", body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(URL + path, body, method=method)
        if login:
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    return asked


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/panels.json", "/grafana/sluice-app.json", "/api/v1/query?query=up"]
)
def test_nobody_sees_anything_without_a_password(ask: Any, path: str) -> None:
    assert ask(path)[0] == 200, "the control"
    assert ask(path, login="")[0] == 401
    assert ask(path, login="anna:wrong horse battery")[0] == 401


def test_the_page_has_a_strict_policy_and_loads_nothing_from_elsewhere(ask: Any) -> None:
    _status, headers, text = ask("/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Content-Type"].startswith("text/html")
    assert b"http" not in text.replace(b"http-equiv", b"")
    assert ask("/page.js")[1]["Content-Type"].split(";")[0].endswith("/javascript")


def test_figures_can_be_asked_for(ask: Any) -> None:
    # Prometheus looks at itself every 15 s.
    for path in ("query?query=prometheus_build_info", "query_range?query=1&start=1&end=61&step=30"):
        data = json.loads(ask(f"/api/v1/{path}")[2])
        assert data["status"] == "success"
    assert json.loads(ask(f"/api/v1/query?query={urllib.parse.quote('up{')}")[2])["status"] == "error"


@pytest.mark.parametrize(
    "path",
    [
        "targets",
        "status/config",
        "status/flags",
        "series?match[]=up",
        "labels",
        "metadata",
        "rules",
        "query/../status/config",
        "query%2f..%2fstatus%2fconfig",
        "admin/tsdb/snapshot",
        "query_exemplars",
        "format_query?query=up",
    ],
)
def test_nothing_else_of_prometheus_can_be_reached(host: Host, ask: Any, path: str) -> None:
    assert ask(f"/api/v1/{path}")[0] == 404
    if "/.." not in path and "%2f" not in path and "admin" not in path:
        # The control: Prometheus itself does have it.
        assert (
            "200" in host.check_output(f"curl -gso /dev/null -w '%{{http_code}}' 'http://127.0.0.1:9090/api/v1/{path}'")
            or path == "query_exemplars"
        )


@pytest.mark.parametrize(
    "path", ["/metrics", "/-/healthy", "/-/reload", "/graph", "/../etc/passwd", "/nginx.conf", "/users"]
)
def test_there_is_nothing_but_the_page(ask: Any, path: str) -> None:
    assert ask(path)[0] in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_figures_are_read_only(ask: Any, method: str) -> None:
    assert ask("/api/v1/query", method=method, body=b"query=up")[0] == 405


def test_who_guesses_is_slowed_down(ask: Any) -> None:
    assert 429 in [ask("/", login="anna:guess")[0] for _ in range(400)]


def test_files_are_private_and_the_default_server_is_gone(host: Host) -> None:
    for name, mode, group in (("users", 0o640, "www-data"), ("key.pem", 0o600, "root")):
        file = host.file(f"/etc/sluice-dashboard/{name}")
        assert (file.mode, file.user, file.group) == (mode, "root", group)
    assert "correct horse" not in host.file("/etc/sluice-dashboard/users").content_string
    assert host.file("/etc/sluice-dashboard/users").content_string.startswith("anna:$2b$")
    assert host.socket("tcp://0.0.0.0:9443").is_listening and not host.socket("tcp://0.0.0.0:80").is_listening
    # By who comes from outside: Prometheus answers only through the page.
    assert not host.service("nginx").is_running and host.service("sluice-dashboard").is_enabled
