# SPDX-License-Identifier: Apache-2.0
"""What is spoken on the public ports, as a client and as a scanner see it."""

from __future__ import annotations

import json

import pytest
from conftest import SHOP, Edge, World


def curl(world: World, edge: Edge, *words: str, url: str = f"https://{SHOP}/") -> str:
    """What curl says, from outside; it trusts any certificate."""
    resolve = " ".join(f"--resolve {SHOP}:{port}:{edge.address}" for port in (80, 443))
    return world.must(f"curl -sk --max-time 10 {resolve} {' '.join(words)} {url}")


@pytest.mark.parametrize("edge", ["edge1", "edge2"])
@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_every_version_of_http_reaches_the_app(world: World, edge: str, version: str) -> None:
    option = "--http3-only" if version == "3" else f"--http{version}"
    said = curl(world, Edge(edge), option, "-w", "'\\n%{http_version} %{http_code}'")
    body, _, seen = said.partition("\n")
    assert seen == f"{version} 200"
    assert json.loads(body) == {
        "version": "v1",
        "Host": SHOP,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": json.loads(body)["X-Forwarded-For"],
    }


def test_http_is_sent_on(world: World, edge1: Edge) -> None:
    said = curl(world, edge1, "-o", "/dev/null", "-w", "'%{http_code} %{redirect_url}'", url=f"http://{SHOP}/a?b=c")
    assert said == f"308 https://{SHOP}/a?b=c"
    plain = world.must(f"curl -s -H 'Host: plain.example.test' http://{edge1.address}/")
    assert json.loads(plain)["X-Forwarded-Proto"] == "http"


def test_headers_say_to_stay_with_tls(world: World, edge1: Edge) -> None:
    head = curl(world, edge1, "-D", "-", "-o", "/dev/null").lower()
    assert "strict-transport-security: max-age=31536000" in head
    assert 'alt-svc: h3=":443"' in head
    assert "server: nginx\r" in f"{head}\r".replace("\n", "\r"), "no version"


def test_only_a_named_proxy_says_who_the_client_is(world: World, edge1: Edge, edge2: Edge) -> None:
    def client(host: World | Edge, given: str) -> str:
        said = host.must(f"curl -s -H 'Host: plain.example.test' -H 'X-Forwarded-For: {given}' http://{edge1.address}/")
        return str(json.loads(said)["X-Forwarded-For"])

    assert client(world, "203.0.113.7") == "203.0.113.7", "the proxy's word"
    assert client(world, "127.0.0.1, 203.0.113.7") == "203.0.113.7", (
        "what the proxy itself has seen, not what it was told"
    )
    assert client(edge2, "203.0.113.7") == edge2.address, "anyone else's is not believed"


def test_a_scanner_finds_nothing_above_low(world: World, edge1: Edge) -> None:
    world.must("curl -skf https://127.0.0.1:15000/roots/0 > /root/root.pem; rm -f /root/scan.json")
    world.run(
        f"testssl --quiet --warnings off --color 0 --add-ca /root/root.pem --ip {edge1.address} --jsonfile /root/scan.json "
        f"--protocols --server-defaults --server-preference --fs --headers --vulnerable https://{SHOP} > /root/scan.txt 2>&1",
        timeout=500,
    )
    found = json.loads(world.must("cat /root/scan.json"))
    assert len(found) > 50, "it has looked"
    # The scanner's own OpenSSL, which may leave before the session that it is to resume arrives; and this CA names neither a CRL nor OCSP, as
    # others do.
    known = ("engine_problem", "sessionresumption_ticket", "cert_revocation")
    bad = [item for item in found if item["severity"] not in ("OK", "INFO", "LOW") and item["id"] not in known]
    assert bad == [], bad
