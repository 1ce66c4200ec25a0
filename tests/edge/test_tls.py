# SPDX-License-Identifier: Apache-2.0
"""TLS of an edge in a real Nginx: certificates that come and change without a reload, names, redirects, challenges."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import store
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge import verify as edge_verify

from tests.edge.conftest import started
from tests.support.edge import Edge

NAME, WILD, BARE = "safe.example.com", "api.wild.example.com", "bare.example.com"


@pytest.fixture
def tls(running: Edge, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The edge's folder of certificates, empty but for the placeholder."""
    folder = made(running, monkeypatch)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name != "placeholder.pem":
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def made(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An edge's folder of certificates, with the placeholder; r1 is live there."""
    edge.change(edge_record.adopt, release="r1", slot="blue")
    edge.serve()
    monkeypatch.setattr(store, "GROUP", "root")
    folder = edge.folder / "tls"
    store.placeholder(str(folder))
    return folder


@pytest.fixture(params=[True, False], ids=["redirecting", "plain HTTP too"])
def defaulted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """An edge with a default certificate, and one for a name."""
    with started(
        tmp_path, certificates={"default": {"source": "files"}}, nginx_tls_redirect=request.param, nginx_http3=True
    ) as edge:
        folder = made(edge, monkeypatch)
        for name, served in (("default", "_"), (NAME, NAME)):
            store.install(name, store.self_signed(name, 10), "files", (served,), edge.https_port, str(folder))
        yield edge


def use(tls: Path, edge: Edge, name: str, days: int = 10, served: str = "") -> str:
    """Install a new certificate for a name; its fingerprint."""
    bundle = store.self_signed(name, days)
    store.install(name, bundle, "self_signed", (served or name,), edge.https_port, str(tls))
    return store.described(bundle).fingerprint


def connect(
    edge: Edge, name: str, versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None, protocol: str = "http/1.1"
) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    if versions:
        context.minimum_version, context.maximum_version = versions
    return context.wrap_socket(socket.create_connection(("127.0.0.1", edge.https_port), 10), server_hostname=name)


def get(connection: socket.socket, name: str, path: str = "/") -> HTTPResponse:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    answer = HTTPResponse(connection)
    answer.begin()
    return answer


def plain(edge: Edge, name: str, path: str = "/", method: str = "GET") -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", edge.port, timeout=10)
    connection.request(method, path, headers={"Host": name})
    return connection.getresponse()


def test_without_a_certificate_the_app_answers_over_http(running: Edge, tls: Path) -> None:
    assert plain(running, NAME).status == 200
    with connect(running, NAME) as connection:
        assert get(connection, NAME).status == 200
    assert store.shown(NAME, running.https_port) == store.described((tls / "placeholder.pem").read_text()).fingerprint


def test_a_certificate_is_there_at_the_next_handshake(running: Edge, tls: Path) -> None:
    with connect(running, NAME) as before:
        for days in (10, 20):
            assert store.shown(NAME, running.https_port) != use(tls, running, NAME, days)
            live = store.live(NAME, str(tls))
            assert live and store.shown(NAME, running.https_port) == live.fingerprint
        # The connection is none the worse: nothing was reloaded.
        assert get(before, NAME).status == 200


def test_a_wildcards_is_used_and_a_names_own_comes_first(running: Edge, tls: Path) -> None:
    wild = use(tls, running, "*.wild.example.com", served=WILD)
    assert store.shown(WILD, running.https_port) == wild
    assert plain(running, WILD).status == 308
    assert use(tls, running, WILD) == store.shown(WILD, running.https_port)


def test_http_is_sent_on_once_there_is_a_certificate(running: Edge, tls: Path) -> None:
    use(tls, running, NAME)
    for method in ("GET", "POST"):
        answer = plain(running, NAME, "/a/b?c=d%20e", method)
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}:{running.https_port}/a/b?c=d%20e")
    assert plain(running, BARE).status == 200, "a name without TLS"
    assert plain(running, "any.example.com").status == 200, "and requests for any name"


def test_the_app_hears_what_the_client_uses(running: Edge, tls: Path) -> None:
    with connect(running, NAME) as connection:
        answer = get(connection, NAME)
        headers = json.loads(answer.read())["headers"]
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Host"]) == ("https", NAME)
    assert json.loads(plain(running, NAME).read())["headers"]["X-Forwarded-Proto"] == "http"
    assert answer.headers["Strict-Transport-Security"] == "max-age=300"
    assert plain(running, NAME).headers["Strict-Transport-Security"] is None


def test_an_unknown_name_gets_no_handshake_and_no_answer(running: Edge, tls: Path) -> None:
    use(tls, running, NAME)
    for name in ("unknown.example.com", BARE):
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            connect(running, name)
    with connect(running, NAME) as connection:
        # Known in the handshake, unknown in the request.
        connection.sendall(b"GET / HTTP/1.1\r\nHost: unknown.example.com\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    with pytest.raises(OSError, match=r"reset|closed"):
        plain(running, "sluice.invalid")


def test_the_default_certificate_is_for_what_no_name_matches(defaulted: Edge, request: pytest.FixtureRequest) -> None:
    default, own = (store.live(name, str(defaulted.folder / "tls")) for name in ("default", NAME))
    assert default and own
    for name in ("any.example.com", "127.0.0.1"):
        assert store.shown(name, defaulted.https_port) == default.fingerprint
        with connect(defaulted, name) as connection:
            assert get(connection, name).status == 200
    assert store.shown(NAME, defaulted.https_port) == own.fingerprint
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        connect(defaulted, BARE)  # a name whose source is none
    redirects = "redirecting" in request.node.name
    for name in ("any.example.com", NAME):
        answer = plain(defaulted, name, "/x")
        assert answer.status == (308 if redirects else 200)
        with connect(defaulted, name) as connection:
            sent = get(connection, name).headers["Strict-Transport-Security"]
        assert (sent is not None) is redirects, "it would end plain HTTP"
    routes = [{"host": None, "verify": "/"}, {"host": NAME, "verify": "/"}]
    edge_verify.verify(
        edge_verify.Ports(defaulted.port, defaulted.https_port, ("_", NAME)), routes, "r1", times=1, timeout=5
    )


def test_only_tls_1_2_and_1_3_and_http_2_are_offered(running: Edge, tls: Path) -> None:
    v = ssl.TLSVersion
    for version in (v.TLSv1_2, v.TLSv1_3):
        connect(running, NAME, (version, version)).close()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
        connect(running, NAME, (v.TLSv1_1, v.TLSv1_1))
    with connect(running, NAME, protocol="h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_every_edge_answers_any_challenge_with_the_shared_thumbprint(running: Edge, tls: Path) -> None:
    path = "/.well-known/acme-challenge/"
    assert plain(running, NAME, f"{path}abc").status == 404, "no account yet"
    (tls / "thumbprint").write_text("THUMB\n")
    use(tls, running, NAME)
    answer = plain(running, NAME, f"{path}abc_-9")
    assert (answer.status, answer.read()) == (200, b"abc_-9.THUMB"), "not sent on to https"
    for bad in ("a/b", "", "a%0d%0ab", "%3Cscript%3E"):
        assert plain(running, NAME, path + bad).status == 404


def test_a_release_is_verified_over_tls(running: Edge, tls: Path) -> None:
    ports = edge_verify.Ports(running.port, running.https_port, (NAME,))
    routes = [{"host": NAME, "verify": "/"}, {"host": None, "verify": "/"}]
    use(tls, running, NAME)
    edge_verify.verify(ports, routes, "r1", times=2, timeout=5)
    with pytest.raises(edge_verify.VerifyError, match=f"https://{NAME}/: answered by release r1 instead of r2"):
        edge_verify.verify(ports, routes, "r2", times=1, timeout=5)
    with pytest.raises(edge_verify.VerifyError, match="status 308"):
        edge_verify.verify(edge_verify.Ports(running.port), routes, "r1", times=1, timeout=5)


def test_security_headers_are_added_where_the_app_sends_none(running: Edge, tls: Path) -> None:
    headers = plain(running, BARE).headers
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "SAMEORIGIN")
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    headers = plain(running, BARE, "/?header=Content-Security-Policy:frame-ancestors%20*").headers
    assert headers.get_all("Content-Security-Policy") == ["frame-ancestors *"] and headers["X-Frame-Options"] is None
    assert plain(running, BARE, "/?header=X-Frame-Options:DENY").headers.get_all("X-Frame-Options") == ["DENY"]
