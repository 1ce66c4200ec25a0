# SPDX-License-Identifier: Apache-2.0
"""Certificates of two edges: obtained once, shared, renewed without a dropped request, and refused where they are wrong."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ADDRESSES, SHOP, Edge, World, scenario_wait, stopped, without_ca, words

from tests.support.load import Ask, Load

RENEWALS = 20


def trusted(edge: Edge, name: str, root: str) -> None:
    """Connect as a browser does that trusts the CA."""
    context = ssl.create_default_context(cafile=root)
    with (
        socket.create_connection((edge.address, 443), 10) as plain,
        context.wrap_socket(plain, server_hostname=name),
    ):
        pass


def key_of(edge: Edge, name: str = SHOP) -> str:
    """A fingerprint of the private key in use for a name."""
    return edge.must(f"openssl pkey -in /var/lib/sluice-tls/{name}/live.pem -outform der | sha256sum")


def test_the_first_certificate_is_one_for_both_edges(edge1: Edge, edge2: Edge, root: str) -> None:
    assert edge1.shown() == edge2.shown()
    for edge in (edge1, edge2):
        trusted(edge, SHOP, root)
        trusted(edge, "api.wild.example.test", root)
        with pytest.raises(ssl.SSLCertVerificationError):  # the check can fail
            trusted(edge, "dev.example.test", root)
    account = (
        "find /var/lib/sluice/certificates/certbot/accounts -name private_key.json -exec sha256sum {} + | cut -c1-64"
    )
    assert edge1.must(account) == edge2.must(account) != ""
    assert key_of(edge1) == key_of(edge2)


def test_the_sources_files_and_self_signed_are_served(edge1: Edge, edge2: Edge) -> None:
    own = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "tls/own.pem"
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", own], capture_output=True, text=True, check=True
    )
    wanted = said.stdout.strip().partition("=")[2].replace(":", "").lower()
    assert edge1.shown("own.example.test") == edge2.shown("own.example.test") == wanted
    assert edge1.shown("dev.example.test") == edge2.shown("dev.example.test") != wanted


def test_names_without_tls_and_unknown_names_get_no_handshake(edge1: Edge) -> None:
    for name in ("plain.example.test", "unknown.example.test"):
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            edge1.shown(name)


def test_keys_are_for_nginx_and_root_alone(edge1: Edge) -> None:
    modes = edge1.must("find /var/lib/sluice-tls -name '*.pem' -type f -printf '%m %u:%g\\n' | sort -u")
    assert modes == "640 root:www-data"
    private = edge1.must(
        "find /var/lib/sluice/certificates /etc/sluice/certificates -type f -perm /077 -not -path '*/ssh/known_hosts' -not -name '*.pub'"
    )
    assert private == "", private
    assert edge1.run("su nobody -s /bin/sh -c 'cat /var/lib/sluice-tls/*/live.pem'").returncode


def test_another_edge_may_bring_certificates_and_nothing_else(edge1: Edge, edge2: Edge, world: World) -> None:
    ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/var/lib/sluice/certificates/ssh/known_hosts -i"
    key = "/var/lib/sluice/certificates/ssh/id_ed25519"
    there = f"sluice-tls@{ADDRESSES['edge2']}"
    answer = edge1.must(
        f"""echo '{{"offer": {{"names": {{}}, "account": null}}}}' | {ssh} {key} {there} cat /etc/shadow"""
    )
    assert answer == '{"names": [], "account": false}', "what was asked for is not what is run"
    # From elsewhere the same key opens nothing.
    world.must(
        f"cat > /root/key && chmod 600 /root/key <<'END'\nEND\ncat > /root/key <<'END'\n{edge1.must(f'cat {key}')}\nEND"
    )
    assert (
        world.run(f"ssh -o BatchMode=yes -o StrictHostKeyChecking=no -i /root/key {there} </dev/null").returncode == 255
    )
    # A certificate with a foreign key is refused there, too.
    fingerprint = edge2.shown()
    mixed = '{"origin": "x", "bundle": other[:other.index(mark)] + text[text.index(mark):]}'
    bad = edge1.must(
        'python3 -c \'import json; text = open("/var/lib/sluice-tls/shop.example.test/live.pem").read(); '
        'other = open("/var/lib/sluice-tls/placeholder.pem").read(); mark = "-----BEGIN CERT"; '
        f'print(json.dumps({{"give": {{"account": {{}}, "names": {{"{SHOP}": {mixed}}}}}}}))\''
        f" | {ssh} {key} {there}; true"
    )
    assert "the key does not belong to the certificate" in bad
    assert edge2.shown() == fingerprint


def test_the_default_is_the_same_on_both_and_shown_to_nobody_while_no_app_is_for_any_name(
    edge1: Edge, edge2: Edge
) -> None:
    read = "openssl x509 -noout -fingerprint -in /var/lib/sluice-tls/default/live.pem"
    assert edge1.must(read) == edge2.must(read)
    for name in ("unknown.example.test", "plain.example.test"):
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            edge1.shown(name)


def test_keys_of_names_that_are_gone_are_removed_and_no_others(edge1: Edge) -> None:
    keys = "ls -d /var/lib/sluice-tls/*/ /etc/sluice/certificates/*.pem /var/lib/sluice/certificates/certbot/live/*/"
    before, shop = edge1.must(keys), edge1.shown()
    for folder in ("/var/lib/sluice-tls", "/var/lib/sluice/certificates/certbot/live"):
        edge1.must(f"cp -a {folder}/{SHOP} {folder}/gone.example.test")
    edge1.must("cp -a /etc/sluice/certificates/own.example.test.pem /etc/sluice/certificates/gone.example.test.pem")
    with_gone = edge1.must(keys)
    start = "systemctl start sluice-certificates.service"  # in its sandbox
    edge1.must(start)
    assert edge1.must(keys) == with_gone
    assert "gone.example.test" in words(edge1.certificates("status")[1]["lines"])
    # A week ago.
    edge1.must(
        "python3 - <<'END'\nimport json\npath = '/var/lib/sluice/certificates/unused.json'\nsince = json.load(open(path))\n"
        "json.dump({name: begun - 7 * 86400 for name, begun in since.items()}, open(path, 'w'))\nEND"
    )
    edge1.must(start)
    assert edge1.must(keys) == before
    assert edge1.shown() == shop and edge1.problem() == ""


def test_renewals_drop_no_request(edge1: Edge, edge2: Edge, world: World) -> None:
    seen = {edge1.shown()}
    world.must("rm -f /root/stop")
    asks = (Ask("GET", "/"), Ask("POST", "/", b'{"text": "x"}'))
    http2 = subprocess.Popen(
        ["docker", "exec", world.container, "python3", "/opt/http2.py", edge1.address, SHOP, "/root/stop"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with Load(f"https://{edge1.address}", *asks, name=SHOP, seconds=600, rate=100) as load:
        for _ in range(RENEWALS):
            edge1.renew("--force", SHOP)
            seen.add(edge1.shown())
            assert edge1.shown() == edge2.shown()
    world.must("touch /root/stop")
    output, _ = http2.communicate(timeout=60)
    count, *failures = output.split("\n", 1)
    print(f"HTTP/1.1: {load.report}\nHTTP/2: {count} requests")
    assert len(seen) == RENEWALS + 1
    assert load.report.failed == 0 and load.report.total > 1000, load.report
    assert load.report.certificates > RENEWALS / 2, "the client saw them come"
    assert int(count) > 1000 and failures == [""], failures


def test_that_client_notices_a_restart(edge1: Edge) -> None:
    with Load(f"https://{edge1.address}", Ask("GET", "/"), name=SHOP, seconds=60, rate=200) as load:
        time.sleep(1)
        edge1.must("systemctl restart nginx")
        time.sleep(1)
    assert load.report.failed > 0


def test_a_ca_that_is_down_leaves_the_old_one(edge1: Edge) -> None:
    before = edge1.shown()
    # The same one, put there by hand: it serves until the source gives one, which is due.
    edge1.must(
        "cd /root && awk '/BEGIN CERT/{p=1} p' /var/lib/sluice-tls/shop.example.test/live.pem > chain.pem && "
        "openssl pkey -in /var/lib/sluice-tls/shop.example.test/live.pem -out own.key"
    )
    assert edge1.certificates("install", SHOP, "/root/chain.pem", "/root/own.key")[0] == 0
    with without_ca(edge1):
        assert edge1.run("systemctl start sluice-certificates.service").returncode, "the unit has failed"
        said = edge1.problem()
        assert "failing since" in said and "good for 90 days" in said and ":14000/dir" in said, said
        assert edge1.shown() == before
        # It is not tried again at once; the problem stays.
        code, answer = edge1.certificates("renew")
        assert code == 1 and said in words(answer["problems"]) and "FAILED" not in words(answer["lines"]), answer
    edge1.renew(SHOP)
    assert edge1.problem() == "" and edge1.shown() != before


def test_a_name_that_leads_elsewhere_is_refused_before_the_ca_is_asked(edge1: Edge, world: World, away: Any) -> None:
    before, dev, orders = edge1.shown(), edge1.shown("dev.example.test"), world.orders()
    assert orders > RENEWALS, "orders are counted"
    for addresses in ([ADDRESSES["world1"]], [ADDRESSES["edge1"], ADDRESSES["world1"]]):
        away(*addresses)
        code, answer = edge1.certificates("check", SHOP)
        assert code == 2 and ADDRESSES["world1"] in answer["failed"], answer
    code, answer = edge1.certificates("renew", "--force")
    assert code == 1 and "correct" in words(answer["problems"]), answer
    away()
    assert "does not resolve" in edge1.certificates("check", SHOP)[1]["failed"]
    # The wildcard, proved by DNS, is one order; the name that leads elsewhere is none.
    assert world.orders() == orders + 1
    assert edge1.shown() == before
    assert edge1.shown("dev.example.test") != dev, "one name's failure keeps no other one back"


def test_the_check_is_content_again(edge1: Edge) -> None:
    assert edge1.certificates("check", SHOP)[0] == 0
    edge1.renew("--force", SHOP)


def test_a_foreign_key_is_refused(edge1: Edge) -> None:
    before = edge1.shown()
    edge1.must(
        "cd /root && awk '/BEGIN CERT/{p=1} p' /var/lib/sluice-tls/shop.example.test/live.pem > chain.pem && openssl pkey -in "
        "/var/lib/sluice-tls/placeholder.pem -out foreign.key && openssl pkey -in /var/lib/sluice-tls/shop.example.test/live.pem -out own.key"
    )
    code, answer = edge1.certificates("install", SHOP, "/root/chain.pem", "/root/foreign.key")
    assert (code, answer["failed"]) == (2, "refused: the key does not belong to the certificate")
    assert edge1.certificates("install", "dev.example.test", "/root/chain.pem", "/root/own.key")[0] == 2, (
        "nor for another name"
    )
    assert edge1.shown() == before
    assert edge1.certificates("install", SHOP, "/root/chain.pem", "/root/own.key")[0] == 0, "its own key is taken"
    # Put there past the program: found, and the one before is back.
    edge1.must("cat /root/foreign.key /root/chain.pem > $(realpath /var/lib/sluice-tls/shop.example.test/live.pem)")
    with pytest.raises(ssl.SSLError):
        edge1.shown()
    answer = edge1.certificates("renew")[1]
    assert "was replaced by the one before it" in words(answer["lines"]), answer
    assert edge1.shown()
    edge1.renew("--force", SHOP)


def test_one_near_its_end_is_renewed_and_by_the_next_edge_when_the_first_is_lost(
    edge1: Edge, edge2: Edge, brief: None, away: Any
) -> None:
    edge1.renew("--force", SHOP)
    begun = edge1.shown()
    assert edge2.shown() == begun
    assert edge1.renew(SHOP)["lines"] == ["nothing is due"] and edge2.renew(SHOP)["lines"] == ["nothing is due"]
    # Near its end, the first edge's turn.
    scenario_wait(lambda: bool(edge1.renew(SHOP)) and edge1.shown() != begun)
    second = edge1.shown()
    assert edge2.shown() == second
    # The first edge is lost, its name is taken away, and the second one's turn comes.
    with stopped(edge1, "nginx ssh"):
        away(ADDRESSES["edge2"])
        scenario_wait(lambda: edge2.certificates("renew", SHOP) is not None and edge2.shown() != second)
        code, answer = edge2.certificates("status")
        assert code == 1 and "edge1 takes no certificates" in words(answer["problems"])
    # It is back: what the second one has it gets at the next run.
    edge2.renew()
    assert edge1.shown() == edge2.shown() != second
