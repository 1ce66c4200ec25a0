# SPDX-License-Identifier: Apache-2.0
"""What the audit sees from the controller: real sockets and a real TLS server on the loopback, and recorded output of the scanners."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.security import outside
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "shop.example.test"
pytestmark = pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def address(request: pytest.FixtureRequest) -> str:
    """The loopback, by both protocols."""
    return str(request.param[1])


def test_open_and_refused_are_told_apart(address: str) -> None:
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        port = server.getsockname()[1]
        assert outside.scan([address], [port], 22)[address] == {"reached": True, "states": {str(port): "open"}}
    assert outside.scan([address], [port], 22)[address] == {"reached": True, "states": {str(port): "refused"}}


def test_without_any_answer_an_address_was_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "attempt", lambda _address, _port: "dropped")
    monkeypatch.setattr(outside, "pinged", lambda _address: False)
    assert outside.scan(["127.0.0.1"], [1], 22)["127.0.0.1"]["reached"] is False
    # A ping, or SSH, is the control: the ports are dropped, and not out of reach.
    monkeypatch.setattr(outside, "attempt", lambda _address, port: "open" if port == 22 else "dropped")
    assert outside.scan(["127.0.0.1"], [1], 22)["127.0.0.1"] == {"reached": True, "states": {"1": "dropped"}}


def test_private_addresses_that_only_the_host_knows_are_left_alone() -> None:
    assert outside.addresses("10.0.0.1", ["10.0.0.1", "192.168.0.9", "fe80::1", "1.1.1.1"], ["fd00::1"]) == [
        "10.0.0.1",
        "fd00::1",
        "1.1.1.1",
    ]


def test_sites_are_the_routes_host_names_with_their_paths() -> None:
    routes = [
        {"host": NAME, "path": "/api"},
        {"host": NAME, "path": "/"},
        {"path": "/"},
        {"host": "plain.test", "path": "/"},
    ]
    tls = {"port": 443, "source": "acme", "hosts": {"plain.test": {"source": "none"}}}
    assert outside.sites(routes, tls) == [("", 0, ["/"]), ("plain.test", 0, ["/"]), (NAME, 443, ["/", "/api"])]
    assert outside.sites(routes[:1], {}) == [(NAME, 0, ["/api"])]


# -- TLS


def certificate(folder: Path, days: int, name: str = NAME) -> str:
    """A certificate that vouches for itself, with its key, ending in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.{days}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return str(path)


class Page(BaseHTTPRequestHandler):
    """A page with one careful header."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve the page over TLS; returns the port."""
    servers = []

    def start(pem: str, old: bool = False) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        if old:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_words: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def site(port: int, pem: str = "") -> outside.Site:
    vouching = Path(pem).read_text().split("-----END PRIVATE KEY-----")[1] if pem else ""
    return outside.Site("127.0.0.1", NAME, (1, port), vouching)


def test_a_good_certificate_is_trusted_and_dated(tmp_path: Path, serve: Serve) -> None:
    pem = certificate(tmp_path, 30)
    found = site(serve(pem), pem).certificate()
    assert found["untrusted"] == ""
    assert 29 < (found["ends"] - datetime.now(UTC).timestamp()) / 86400 < 31


@pytest.mark.parametrize(
    ("days", "name", "vouched", "word"),
    [(-1, NAME, True, "expired"), (30, NAME, False, "self-signed"), (30, "other.test", True, "mismatch")],
)
def test_a_bad_certificate_is_not_trusted(
    tmp_path: Path, serve: Serve, days: int, name: str, vouched: bool, word: str
) -> None:
    pem = certificate(tmp_path, days, name)
    assert word in site(serve(pem), pem if vouched else "").certificate()["untrusted"]


def test_old_versions_are_seen_where_they_are_accepted(tmp_path: Path, serve: Serve) -> None:
    pem = certificate(tmp_path, 30)
    assert site(serve(pem)).look(["/"])["old_versions"] == []
    assert site(serve(pem, old=True)).look(["/"])["old_versions"] == ["TLS 1.0", "TLS 1.1"]


def test_headers_are_those_of_the_answer_and_a_closed_port_for_http_is_no_answer(tmp_path: Path, serve: Serve) -> None:
    found = site(serve(certificate(tmp_path, 30))).look(["/", "/api"])
    assert set(found["headers"]) == {"/", "/api"} and found["headers"]["/"]["x-content-type-options"] == "nosniff"
    assert found["redirect"] == 0


def test_a_site_that_does_not_answer_says_so() -> None:
    assert "refused" in site(1).look(["/"])["missing"]


# -- recorded


SSH_AUDIT = {
    "kex": [
        {
            "algorithm": "ecdh-sha2-nistp256",
            "notes": {"fail": ["using elliptic curves that are suspected as being backdoored"]},
        }
    ],
    "key": [{"algorithm": "ssh-ed25519", "notes": {"info": ["available since OpenSSH 6.5"]}}],
    "enc": [{"algorithm": "aes256-ctr", "notes": {"warn": ["a warning"]}}],
    "mac": [],
    "cves": [],
}


def test_ssh_audits_failures_count_and_its_warnings_do_not() -> None:
    assert outside.ssh_problems(json.dumps(SSH_AUDIT)) == {
        "problems": ["ecdh-sha2-nistp256: using elliptic curves that are suspected as being backdoored"]
    }


@pytest.mark.parametrize("text", ["", "timed out", "[]", '{"kex": [], "key": [], "enc": [], "mac": []}'])
def test_without_an_exchange_ssh_audit_says_nothing(text: str) -> None:
    assert "missing" in outside.ssh_problems(text)


# sslyze 6.3.1
SSLYZE = """\
 COMPLIANCE AGAINST TLS CONFIGURATION
 ------------------------------------

    Checking results against Mozilla's "intermediate" configuration. See https://ssl-config.mozilla.org/ for more details.

    shop.example.test:44433: FAILED - Not compliant.
        * certificate_path_validation: Certificate path validation failed for CN=shop.example.test.
        * dh_param_size: DH parameter size is 1024, should be superior or equal to 2048.
"""


CURVES = "        * tls_curves: TLS curves {%s} are supported, but should be rejected.\n"


@pytest.mark.parametrize(("curves", "count"), [("'X448', 'secp521r1'", 0), ("'X448', 'secp192r1'", 1)])
def test_strong_curves_that_mozilla_leaves_out_are_no_weakness(curves: str, count: int) -> None:
    found = outside.sslyze_problems(SSLYZE.rpartition("        *")[0] + CURVES % curves, NAME)
    assert len(found["problems"]) == count


def test_sslyzes_objections_count_but_for_trust_which_has_a_check_of_its_own() -> None:
    assert outside.sslyze_problems(SSLYZE, NAME) == {
        "problems": ["dh_param_size: DH parameter size is 1024, should be superior or equal to 2048."]
    }
    good = SSLYZE.split("    shop.example", maxsplit=1)[0] + "    shop.example.test:443: OK - Compliant.\n"
    assert outside.sslyze_problems(good, NAME) == {"problems": []}
    assert "missing" in outside.sslyze_problems("ERROR: no route", NAME)


@pytest.mark.parametrize("tool", ["ssh-audit", "sslyze"])
def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = outside.ssh_audit("127.0.0.1", 22) if tool == "ssh-audit" else outside.sslyze("127.0.0.1", 443, NAME)
    assert found == {"missing": f"{tool} is not installed on the controller"}
