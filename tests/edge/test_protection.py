# SPDX-License-Identifier: Apache-2.0
"""What keeps clients from an app: limits, networks, passwords, time. No limit here is given back while the tests run."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import store
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import htpasswd
from ansible_collections.sluice.stack.plugins.module_utils.edge import verify as edge_verify

from tests.edge.conftest import started
from tests.support.edge import CLIENT, Edge, slot_of
from tests.support.edge_app import GO

# Of "geheim"; the controller makes such hashes with bcrypt, which is not in this container.
SECRETS = {"STAGING": "$2b$05$xD4YBGdHYm7xWF1OXzuVjenupRl3ej4zdwsjIljkTYjdm/iUYWQYq"}
NAME = "safe.example.com"
OFFICE, ELSEWHERE = "192.0.2.7", "203.0.113.7"
THREE = {"requests": 1, "per": "minute", "burst": 3}
CONTRACT = contracts.resolve(
    {
        "app_name": "shop",
        "app_version": "v1",
        "app_services": {"web": {"image": "registry.test/shop", "port": 8080}},
        "app_secrets": SECRETS,
        "app_routes": [
            {"service": "web", "assets": "/assets"},
            {"service": "web", "path": "/login", "rate_limit": THREE},
            {"service": "web", "path": "/files", "assets": "/files/assets", "rate_limit": THREE},
            {"service": "web", "path": "/few", "connection_limit": 2},
            {"service": "web", "path": "/office", "allow": ["192.0.2.0/24", "2001:db8:a::/48"], "deny": ["192.0.2.66"]},
            {"service": "web", "path": "/open", "deny": ["198.51.100.0/24"]},
            {"service": "web", "path": "/staging", "basic_auth": {"team": "STAGING"}},
            {"service": "web", "host": NAME, "rate_limit": THREE},
            {
                "service": "web",
                "host": NAME,
                "path": "/shut",
                "allow": ["192.0.2.0/24"],
                "basic_auth": {"team": "STAGING"},
            },
        ],
    }
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with started(
        tmp_path_factory.mktemp("edge"),
        contract=CONTRACT,
        passwords=htpasswd.files("shop", CONTRACT["protection"], SECRETS),
        nginx_client_header_seconds=1,
        nginx_client_body_seconds=1,
        nginx_log_query_values=["page"],
    ) as found:
        yield found


def get(
    edge: Edge, path: str, client: str = ELSEWHERE, method: str = "GET", source: str = "", **headers: str
) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", edge.port, timeout=10, source_address=(source, 0) if source else None)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={CLIENT: client, **named})
    return connection.getresponse()


def statuses(edge: Edge, path: str, client: str, count: int = 5) -> list[int]:
    return [get(edge, path, client).status for _ in range(count)]


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


# rate limit


def test_requests_over_the_rate_get_429_and_when_to_come_back(edge: Edge) -> None:
    assert statuses(edge, "/login", "203.0.113.1") == [200] * 3 + [429] * 2
    refused = get(edge, "/login", "203.0.113.1")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert get(edge, "/login", "203.0.113.2").status == 200, "another client is not limited by it"
    assert statuses(edge, "/", "203.0.113.1", 50) == [200] * 50, "the control: a route without one"


def test_assets_are_limited_with_their_route(edge: Edge) -> None:
    assert statuses(edge, "/files/assets/x", "203.0.113.1", 2) == [200] * 2
    assert statuses(edge, "/files", "203.0.113.1", 1) == [200]
    assert statuses(edge, "/files/assets/x", "203.0.113.1", 1) == [429]


def test_a_flip_takes_nothing_off_the_count(edge: Edge) -> None:
    assert statuses(edge, "/login", "203.0.113.3", 4)[-1] == 429
    edge.canary(100)
    assert get(edge, "/login", "203.0.113.3").status == 429
    assert slot_of(edge.ask()) == "green"


def test_the_answer_of_an_app_that_limits_itself_is_its_own(edge: Edge) -> None:
    for path in ("/", "/assets/x", "/login"):
        answer = get(edge, f"{path}?status=429&header=Retry-After:7", "203.0.113.4")
        assert (answer.status, answer.headers.get_all("Retry-After")) == (429, ["7"])
        assert json.loads(answer.read())["slot"] == "blue"


@pytest.mark.parametrize(
    ("one", "same", "another"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        ("203.0.113.5", "::ffff:203.0.113.5", "::ffff:203.0.113.6"),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_of_ipv6(edge: Edge, one: str, same: str, another: str) -> None:
    assert statuses(edge, "/login", one, 4) == [200] * 3 + [429]
    assert (get(edge, "/login", same).status, get(edge, "/login", another).status) == (429, 200)


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1/32"]])
def test_a_forged_header_escapes_neither_limit_nor_list(tmp_path: Path, trusted: list[str]) -> None:
    """Every request comes from 127.0.0.1: a client that nobody believes, or a proxy that adds its client's address."""
    with started(tmp_path, contract=CONTRACT, nginx_trusted_proxies=trusted) as edge:
        edge.canary(100)

        def ask(path: str, forged: str, client: str = ELSEWHERE) -> int:
            return get(
                edge, path, X_Forwarded_For=f"{forged}, {client}", X_Real_IP=forged, Forwarded=f"for={forged}"
            ).status

        assert [ask("/login", f"198.51.100.{number}") for number in range(5)] == [200] * 3 + [429] * 2
        assert [ask("/office", forged) for forged in (OFFICE, "127.0.0.1")] == [403, 403]
        # The control: what a proxy adds is believed, where it is named.
        assert ask("/office", ELSEWHERE, OFFICE) == (200 if trusted else 403)
        assert ask("/login", ELSEWHERE, "203.0.113.99") == (200 if trusted else 429)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def over_http2(edge: Edge, path: str, count: int) -> list[int]:
    """Ask on as many streams of one connection; the statuses. Headers are literals (RFC 7541, 6.2.2)."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    fields = {":method": "GET", ":scheme": "https", ":path": path, ":authority": NAME, CLIENT.lower(): "203.0.113.8"}
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    plain = socket.create_connection(("127.0.0.1", edge.https_port), 10)
    with context.wrap_socket(plain, server_hostname=NAME) as connection, connection.makefile("rb") as file:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        connection.sendall(b"".join(frame(1, 5, 2 * number + 1, block) for number in range(count)))
        found: list[int] = []
        while len(found) < count:
            head = file.read(9)
            payload = file.read(int.from_bytes(head[:3], "big"))
            if head[3] == 1:  # 200 is in the static table, others are literals
                found.append(200 if payload[0] == 0x88 else int(payload[2:5]))
        return sorted(found)


def test_streams_of_one_connection_are_counted_each(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GROUP", "root")
    store.placeholder(str(edge.folder / "tls"))
    assert over_http2(edge, "/", 6) == [200] * 3 + [429] * 3


# connection limit


def test_requests_at_the_same_time_are_limited_until_one_ends(edge: Edge) -> None:
    GO.clear()
    try:
        streams = [get(edge, "/few", X_Stream="chunked") for _ in range(2)]
        assert [stream.readline() for stream in streams] == [b"begin\n"] * 2
        refused = get(edge, "/few")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert get(edge, "/few", OFFICE).status == get(edge, "/").status == 200
    finally:
        GO.set()
    assert [stream.read() for stream in streams] == [b"end\n"] * 2
    deadline = time.monotonic() + 5
    while get(edge, "/few").status != 200:
        assert time.monotonic() < deadline


# networks


@pytest.mark.parametrize(
    ("path", "client", "status"),
    [
        ("/office", OFFICE, 200),
        ("/office/x", "2001:db8:a::1", 200),
        ("/office", "::ffff:192.0.2.7", 200),
        ("/office", ELSEWHERE, 403),
        ("/office", "2001:db8:b::1", 403),
        ("/office", "192.0.2.66", 403),
        ("/open", ELSEWHERE, 200),
        ("/open", "2001:db8:b::1", 200),
        ("/open", "198.51.100.9", 403),
        ("/officer", ELSEWHERE, 200),
        ("/", "198.51.100.9", 200),
    ],
)
def test_networks_are_let_in_and_kept_out(edge: Edge, path: str, client: str, status: int) -> None:
    assert get(edge, path, client).status == status


EVASIONS = [
    "//{0}",
    "/{2}",
    "/{1}",
    "/{0};x=1",
    "/{1};x",
    "/{0}%3bx",
    "/{1}%2fx",
    "/{0}%2Fx",
    "/./{0}",
    "/x/../{0}",
    "/%2e/{0}",
    "/x/%2E%2e/{0}",
    "/{0}/x/../../y",
    "/{0}%2f..%2fy",
    "/{0}/..;/y",
    "/{1}%5cx",
    "/{1}?x",
]


@pytest.mark.parametrize("form", EVASIONS)
def test_another_spelling_of_a_path_has_the_same_protection(edge: Edge, form: str) -> None:
    """The app may take it for the protected path; what the app itself would see differently is no request at all."""
    client = f"203.0.113.{100 + EVASIONS.index(form)}"
    assert statuses(edge, "/login", client, 3) == [200] * 3
    assert get(edge, form.format("login", "LoGin", "%6c%6Fgin"), client).status in (429, 400)
    assert get(edge, form.format("office", "OFFICE", "%6f%66Fice"), client).status in (403, 400)


@pytest.mark.parametrize("path", ["/loginx", "/..x", "/a/...", "/x?y=/../z", "/.well-known/x", "/LOGINX", "/xlogin/"])
def test_paths_that_only_look_like_it_are_not_concerned(edge: Edge, path: str) -> None:
    assert statuses(edge, path, "203.0.113.99") == [200] * 5


# passwords


def test_a_password_lets_in_and_stays_at_the_edge(edge: Edge) -> None:
    asked = get(edge, "/staging/x")
    assert (asked.status, asked.headers["WWW-Authenticate"]) == (401, 'Basic realm="Restricted"')
    for wrong in (basic("team:gehein"), basic("other:geheim"), basic("team:"), "Bearer geheim", SECRETS["STAGING"]):
        assert get(edge, "/staging/x", Authorization=wrong).status == 401
    answer = get(edge, "/staging/x", Authorization=basic("team:geheim"))
    assert answer.status == 200 and "Authorization" not in json.loads(answer.read())["headers"]
    # The control: elsewhere it is the app's.
    assert json.loads(get(edge, "/", Authorization="Bearer x").read())["headers"]["Authorization"] == "Bearer x"


def test_without_its_file_nobody_gets_in(edge: Edge) -> None:
    (file,) = (edge.folder / "conf").glob("*.users")
    text = file.read_text()
    file.unlink()
    assert get(edge, "/staging", Authorization=basic("team:geheim")).status == 403
    file.write_text(text)
    assert get(edge, "/staging", Authorization=basic("team:geheim")).status == 200, "read at each request"


def test_a_challenge_of_a_certificate_is_answered_to_anyone(edge: Edge) -> None:
    (edge.folder / "tls" / "thumbprint").write_text("THUMB\n")
    for path, status in (("/.well-known/acme-challenge/abc", 200), ("/shut", 403)):
        connection = HTTPConnection("127.0.0.1", edge.port, timeout=10)
        for _ in range(5):
            connection.request("GET", path, headers={"Host": NAME, CLIENT: ELSEWHERE})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status


def test_maintenance_is_told_to_those_who_may_come_in(edge: Edge) -> None:
    edge.maintain(allow=("192.0.2.0/24",))
    assert [get(edge, "/office", client).status for client in (OFFICE, ELSEWHERE)] == [200, 403]
    assert [get(edge, "/staging", client).status for client in (OFFICE, ELSEWHERE)] == [401, 503]
    assert statuses(edge, "/login", ELSEWHERE) == [503] * 5


# a deploy's own check


def test_a_release_is_verified_whatever_keeps_clients_out(edge: Edge) -> None:
    routes = [{"host": None, "verify": path} for path in ("/login", "/few", "/office", "/staging")]

    def verify(word: str, times: int = 5, **more: Any) -> None:
        ports = edge_verify.Ports(edge.port)
        for route in routes:
            edge_verify.verify(ports, [route], "r1", times=times, timeout=5, own_pass=word, **more)

    word = edge_control.own_pass(socket_path=edge.socket)
    assert word == edge_control.own_pass(socket_path=edge.socket)
    verify(word)
    # The control: a refusal does not pass for an answer of the release.
    for wrong in ("", word[:-1], word.upper()):
        with pytest.raises(edge_verify.VerifyError, match="no release of the app instead of r1, status 4"):
            verify(wrong)


def test_only_the_edge_itself_is_let_in_by_its_word_and_the_app_does_not_learn_it(edge: Edge) -> None:
    word = edge_control.own_pass(socket_path=edge.socket)
    answer = get(edge, "/staging", X_Sluice_Pass=word)
    assert answer.status == 200 and word not in answer.read().decode()
    assert get(edge, "/staging", source="127.0.0.2", X_Sluice_Pass=word).status == 401
    for wrong in ("own", "", "undefined", "*"):
        assert get(edge, "/staging", X_Sluice_Pass=wrong).status == 401
    assert json.loads(get(edge, "/pass", method="POST").read())["slot"] == "blue", "the public port has no such call"


# slow clients


def drip(edge: Edge, pieces: list[bytes], pause: float) -> int:
    """Send piece by piece; the status, or 0 when the edge just hung up."""
    with socket.create_connection(("127.0.0.1", edge.port), 10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        except OSError:
            pass
        answer = HTTPResponse(connection)
        try:
            answer.begin()
        except OSError:
            return 0
        return answer.status


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"


@pytest.mark.parametrize(
    ("pieces", "pause", "served"),
    [
        (
            [HEAD, *[b"X-A: b\r\n"] * 6, b"\r\nbody"],
            0.3,
            False,
        ),  # the header takes too long, though no piece of it does
        ([HEAD, b"\r\nbo"], 1.5, False),
        ([HEAD, b"\r\nb", b"o", b"d", b"y"], 0.4, True),  # the control: a body may take its time
        ([HEAD, b"\r\nbody"], 0.3, True),
    ],
)
def test_a_slow_client_is_cut_off(edge: Edge, pieces: list[bytes], pause: float, served: bool) -> None:
    status = drip(edge, pieces, pause)
    assert status == 200 if served else status in (0, 408)


# log


def test_the_log_has_no_values_of_queries(edge: Edge) -> None:
    for query in ("token=geheim&page=2&x=&geheim", "geheim", "a=geheim=b&&page=&PAGE=geheim&=geheim"):
        get(edge, f"/logged?{query}")
    found = [entry["uri"] for entry in edge.log(lambda entry: entry["uri"].startswith("/logged"), count=3)]
    assert found == [
        "/logged?token=*&page=2&x=*&*",
        "/logged?*",
        "/logged?a=*&&page=&PAGE=*&=*",
    ]


def test_a_request_that_is_none_is_logged_without_them_too(edge: Edge) -> None:
    for line in (b"GET /bad?token=geheim HTTP/7.1\r\n\r\n", b"GET /bad?token=geheim\x01 HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", edge.port), 10) as connection:
            connection.sendall(line)
            connection.recv(1000)
    assert not [
        entry for entry in edge.log(lambda entry: entry["status"] in (400, 505), count=2) if "geheim" in str(entry)
    ]
