# SPDX-License-Identifier: Apache-2.0
"""The size of an image, as a registry reports it, over TLS as the engine would; one that cannot be read has a reason and stops nothing."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import registry, registry_http
from ansible_collections.sluice.stack.plugins.module_utils.docker.registry_http import Unknown, bypassed, proxies
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LAYERS = {"new": {"base": 100, "app2": 7}, "old": {"base": 100, "app1": 5}}
BASIC = "Basic YW5uYTpzZXNhbWU="  # anna, sesame
Answer = tuple[int, dict[str, str], bytes]


class Authority:
    """Signs certificates for this test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.folder, self.name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key, authority=True)
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, authority: bool = False) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def pair(self, name: str, suffix: str) -> Path:
        """A certificate and its key beside it; the certificate's path."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / f"{name}.{suffix}"
        certificate = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        path.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path


class Server:
    """A registry: its answers by the last part of the path, and the requests it got."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers["Authorization"]))
                answer = outer.answers.get(self.path.rpartition("/")[2], (404, {}, b"{}"))
                status, headers, body = answer(self.headers) if callable(answer) else answer
                self.send_response(status)
                for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in (body[:5], body[5:]):
                    if piece:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.name = f"127.0.0.1:{self._server.server_port}"
        self.image = f"{self.name}/shop/web@sha256:new"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def over_tls(self, certificate: Path, clients: Path | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def manifest(name: str) -> Answer:
    layers = [{"digest": digest, "size": size} for digest, size in LAYERS[name].items()]
    return 200, {}, json.dumps({"layers": layers}).encode()


def engine(*present: str, secure: bool = False, name: str = "", **info: Any) -> Any:
    config = {"IndexConfigs": {name: {"Secure": True}} if secure else {}, "InsecureRegistryCIDRs": ["127.0.0.0/8"]}
    return SimpleNamespace(
        get={"/images/json": [{"RepoDigests": [one]} for one in present]}.__getitem__,
        info=lambda: {"RegistryConfig": config, **info},
        platform=("linux", "arm64"),
    )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A registry without TLS at a loopback address, which an engine allows; this host can log in to it."""
    one = Server()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": {one.name: {"auth": BASIC.split()[1]}}}))
    monkeypatch.setattr(registry_http, "CERTIFICATES", str(tmp_path / "certs.d"))
    one.answers = {"sha256:new": manifest("new"), "sha256:old": manifest("old")}
    yield one
    one.stop()


@pytest.fixture
def trusted(server: Server, tmp_path: Path) -> Path:
    """Where the engine looks for the registry's certificates."""
    folder = tmp_path / "certs.d" / server.name
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path, name)


def test_layers_of_an_image_that_is_there_are_not_counted(server: Server) -> None:
    found = registry.sizes(engine("other.test/web@sha256:x", server.image.replace("new", "old")), server.image, 10)
    assert found == {"size": 107, "layers": {"app2": 7}}
    assert server.asked[0] == ("/v2/shop/web/manifests/sha256:new", BASIC)


def test_on_a_fresh_host_all_of_them_are(server: Server) -> None:
    assert registry.sizes(engine(), server.image, 10) == {"size": 107, "layers": LAYERS["new"]}


def test_without_the_manifest_of_what_is_there_the_size_is_a_bound(server: Server) -> None:
    del server.answers["sha256:old"]
    assert registry.sizes(engine(server.image.replace("new", "old")), server.image, 10) == {"size": 107}


def test_of_an_image_for_several_platforms_the_hosts_own_counts(server: Server) -> None:
    index = {
        "manifests": [
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
        ]
    }
    server.answers = {"sha256:new": (200, {}, json.dumps(index).encode()), "sha256:arm": manifest("new")}
    assert registry.sizes(engine(), server.image, 10)["size"] == 107
    del index["manifests"][1]
    server.answers["sha256:new"] = (200, {}, json.dumps(index).encode())
    assert registry.sizes(engine(), server.image, 10) == {"size_unknown": "the registry has no image for linux/arm64"}


def test_a_token_is_fetched_where_a_registry_wants_one(server: Server) -> None:
    def guarded(headers: Mapping[str, str]) -> Answer:
        challenge = f'Bearer realm="http://{server.name}/token",service="r",scope="repository:shop/web:pull"'
        return (
            manifest("new") if headers["Authorization"] == "Bearer t0" else (401, {"WWW-Authenticate": challenge}, b"")
        )

    token = "token?service=r&scope=repository%3Ashop%2Fweb%3Apull"
    server.answers = {"sha256:new": guarded, token: (200, {}, b'{"token": "t0"}')}
    assert registry.sizes(engine(), server.image, 10)["size"] == 107
    assert server.asked[1] == (f"/{token}", BASIC)


DIGEST = "sha256:" + "a" * 64
SIGNED = "sha256-" + "a" * 64 + ".sig"


def test_signatures_are_read_from_their_tag_with_their_payloads(server: Server) -> None:
    image = f"{server.name}/shop/web@{DIGEST}"
    assert registry.signatures(engine(), image, 10) == {"signatures": []}, "the registry knows no such tag"
    layers = [
        {"digest": "sha256:said", "annotations": {"dev.cosignproject.cosign/signature": "c2ln"}},
        {"digest": "sha256:sbom"},
    ]
    server.answers[SIGNED] = (200, {}, json.dumps({"layers": layers}).encode())
    server.answers["sha256:said"] = (200, {}, b"what was signed")
    found = registry.signatures(engine(), image, 10)
    assert found == {"signatures": [{"payload": "d2hhdCB3YXMgc2lnbmVk", "signature": "c2ln"}]}
    assert server.asked[-1] == ("/v2/shop/web/blobs/sha256:said", BASIC)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b"", "rejected the credentials"),
        (500, b"", "returned status 500 and no manifest"),
        (200, b"[]", "returned status 200 and no manifest"),
        (200, b'{"layers": [{"annotations": {"dev.cosignproject.cosign/signature": "c2ln"}}]}', "cannot be read"),
    ],
)
def test_signatures_that_cannot_be_read_are_an_error_and_not_none(
    server: Server, status: int, body: bytes, why: str
) -> None:
    server.answers[SIGNED] = (status, {}, body)
    found = registry.signatures(engine(), f"{server.name}/shop/web@{DIGEST}", 10)
    assert list(found) == ["error"] and why in found["error"]


def test_without_the_registry_signatures_are_an_error(server: Server) -> None:
    server.stop()
    assert "error" in registry.signatures(engine(), f"{server.name}/shop/web@{DIGEST}", 2)


def test_a_log_in_that_only_the_engine_can_use_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.name: {"identitytoken": "t"}}}))
    why = registry.sizes(engine(), server.image, 10)["size_unknown"]
    assert why == f"this host logs in to {server.name} with an identity token, which only the engine can use"
    assert server.asked == []


def test_a_redirect_is_followed_and_gets_no_password(server: Server) -> None:
    server.answers["sha256:new"] = (307, {"Location": f"http://{server.name}/blobs/sha256:old"}, b"")
    assert registry.sizes(engine(), server.image, 10)["size"] == 105
    assert server.asked == [("/v2/shop/web/manifests/sha256:new", BASIC), ("/blobs/sha256:old", None)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, b"{}"), "not found in registry {}: push it, or check app_version"),
        ((200, {}, b"not JSON"), "registry {} returned status 200 and no manifest"),
        ((500, {}, b"{}"), "registry {} returned status 500 and no manifest"),
        ((200, {}, b'{"layers": [{}]}'), "registry {} did not return a manifest"),
        (
            (401, {"WWW-Authenticate": "Basic realm=x"}, b""),
            "registry {} rejected the credentials: check docker_host_registries and run provision.yml",
        ),
        (
            (401, {"WWW-Authenticate": 'Bearer realm="ftp://plain.test/token"'}, b""),
            "registry {} rejected the credentials: check docker_host_registries and run provision.yml",
        ),
    ],
)
def test_a_size_that_cannot_be_read_has_a_reason(server: Server, answer: Answer, reason: str) -> None:
    server.answers["sha256:new"] = answer
    assert registry.sizes(engine(), server.image, 10) == {"size_unknown": reason.format(server.name)}


def test_a_registry_that_is_away_or_hangs_is_said_in_one_line(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/web@sha256:new"
        why = registry.sizes(engine(), image, 0.2)["size_unknown"]
    assert "timed out: check that it is up and reachable from this host" in why
    why = registry.sizes(engine(), image, 10)["size_unknown"]
    assert "cannot be reached from this host ([Errno 111] Connection refused)" in why
    assert "\n" not in why


def test_tls_is_verified_with_the_engines_authority(
    server: Server, trusted: Path, authority: Callable[[str], Authority]
) -> None:
    good, wrong = authority("good"), authority("wrong")
    server.over_tls(good.pair("server", "cert"))
    secure = engine(secure=True, name=server.name)
    (trusted / "ca.crt").write_bytes(wrong.path.read_bytes())
    why = registry.sizes(secure, server.image, 10)["size_unknown"]
    assert why.startswith(f"registry {server.name}'s certificate is not trusted: check docker_host_registries[].ca")
    assert server.asked == [], "and was shown no password"
    # One that the engine is allowed not to verify.
    assert registry.sizes(engine(), server.image, 10)["size"] == 107
    (trusted / "ca.crt").write_bytes(good.path.read_bytes())
    assert registry.sizes(secure, server.image, 10)["size"] == 107


def test_without_tls_nothing_is_sent_where_the_engine_would_not(server: Server) -> None:
    assert "size_unknown" in registry.sizes(engine(secure=True, name=server.name), server.image, 10)
    assert server.asked == []


def test_a_client_certificate_is_shown(server: Server, trusted: Path, authority: Callable[[str], Authority]) -> None:
    good = authority("good")
    server.over_tls(good.pair("server", "cert"), clients=good.path)
    (trusted / "ca.crt").write_bytes(good.path.read_bytes())
    secure = engine(secure=True, name=server.name)
    assert "size_unknown" in registry.sizes(secure, server.image, 10)
    client = good.pair("client", "cert")
    for path in (client, client.with_suffix(".key")):
        (trusted / path.name).write_bytes(path.read_bytes())
    assert registry.sizes(secure, server.image, 10)["size"] == 107
    (trusted / "client.key").write_text("garbage")
    assert "a certificate in" in registry.sizes(secure, server.image, 10)["size_unknown"]


def test_the_engines_proxy_is_used() -> None:
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                seen.append(connection.recv(4096).decode())
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        through = engine(HttpsProxy=f"http://127.0.0.1:{proxy.getsockname()[1]}")
        why = registry.sizes(through, "registry.test/web@sha256:new", 10)["size_unknown"]
    assert seen[0].startswith("CONNECT registry.test:443 HTTP/1.")
    assert "407 Proxy Authentication Required" in why


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("", "registry.test", False),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
        ("*", "registry.test", True),
        ("example.com, registry.test", "registry.test", True),
        ("test", "registry.test", True),
        (".registry.test", "registry.test", False),
        (".test", "registry.test", True),
        ("istry.test", "registry.test", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("registry.test:5000", "registry.test", False),
        ("registry.test:443", "registry.test", True),
    ],
)
def test_no_proxy_is_read_as_the_engine_does(no_proxy: str, host: str, expected: bool) -> None:
    assert bypassed(host, None, no_proxy) is expected
    found = proxies(f"https://{host}/v2/", {"HttpsProxy": "http://proxy.test:3128", "NoProxy": no_proxy})
    assert found == ({} if expected else {"https": "http://proxy.test:3128"})


def test_the_proxys_password_is_in_the_engines_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "docker.pid"
    monkeypatch.setattr(registry_http, "ENGINE_PID", str(pid))
    info = {"HttpsProxy": "http://xxxxx:xxxxx@127.0.0.2:3128"}
    with pytest.raises(Unknown, match="needs a password, which is not in the engine's environment"):
        proxies("https://registry.test/v2/", info)
    environment = {"HTTPS_PROXY": "http://anna:sesame@127.0.0.2:3128"}
    pipe = subprocess.PIPE
    with subprocess.Popen(["/bin/cat"], env=environment, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"up\n")  # once it answers, it is the program, with its environment
        process.stdout.readline()
        pid.write_text(f"{process.pid}\n")
        found = proxies("https://registry.test/v2/", info)
        process.stdin.close()
    assert found == {"https": "http://anna:sesame@127.0.0.2:3128"}


def test_a_proxy_of_another_kind_is_the_engines_alone() -> None:
    with pytest.raises(Unknown, match="has the scheme socks5, which only the engine can use"):
        proxies("https://registry.test/v2/", {"HttpsProxy": "socks5://127.0.0.2:1080"})
