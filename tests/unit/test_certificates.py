# SPDX-License-Identifier: Apache-2.0
"""Certificates: which are refused, when they are renewed and by whom, and what edges take from each other."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import certificate as certificates
from ansible_collections.sluice.stack.plugins.module_utils.certificates import peers
from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import Certificate

DAY = 86400.0
NOW = 1_800_000_000.0
# What OpenSSL 3.5 prints.
OUTPUT = """\
notBefore=2026-11-28 07:00:00Z
notAfter=2027-02-26 07:00:00Z
issuer=C=US, O=Let's Encrypt, CN=E7
sha256 Fingerprint=AB:CD:EF
X509v3 Subject Alternative Name:\x20
    DNS:shop.example.com, DNS:*.wild.example.com
"""


def certificate(
    days: float = 90, left: float | None = None, origin: str = "acme-1", names: tuple[str, ...] = ("a.test",)
) -> Certificate:
    left = days if left is None else left
    return Certificate(names, NOW - (days - left) * DAY, NOW + left * DAY, "CA", "00", origin)


def test_what_openssl_says_is_read() -> None:
    found = certificates.parse(OUTPUT)
    assert found.names == ("shop.example.com", "*.wild.example.com")
    assert (found.issuer, found.fingerprint, found.life) == ("E7", "abcdef", 90 * DAY)


def test_the_default_may_be_for_addresses() -> None:
    found = certificates.parse(
        OUTPUT.replace("DNS:*.wild.example.com", "IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7")
    )
    assert found.names == ("shop.example.com", "192.0.2.7", "2001:DB8:0:0:0:0:0:7")
    for names in (("192.0.2.7",), ()):
        assert certificates.refusal(certificate(names=names), "default", True, NOW) is None
        assert certificates.refusal(certificate(names=names), "a.test", True, NOW)
    assert certificates.refusal(certificate(), "default", False, NOW), "its key has to be its own all the same"


@pytest.mark.parametrize("text", ["", "notBefore=2026-11-28 07:00:00Z", OUTPUT.replace("2027-02-26 07", "soon")])
def test_what_is_no_certificate_is_said(text: str) -> None:
    with pytest.raises(certificates.Unreadable):
        certificates.parse(text)


@pytest.mark.parametrize(
    ("names", "name", "good"),
    [
        (("a.test",), "a.test", True),
        (("A.test",), "a.test", True),
        (("*.test",), "a.test", True),
        (("*.a.test",), "*.a.test", True),
        (("*.test",), "b.a.test", False),
        (("*.a.test",), "a.test", False),
        (("b.test",), "a.test", False),
        ((), "a.test", False),
    ],
)
def test_a_name_is_covered_by_itself_and_its_wildcard(names: tuple[str, ...], name: str, good: bool) -> None:
    assert certificates.covers(names, name) is good
    assert (certificates.refusal(certificate(names=names), name, True, NOW) is None) is good


def test_what_is_wrong_is_refused() -> None:
    assert "key does not belong" in str(certificates.refusal(certificate(), "a.test", False, NOW))
    assert "expired at" in str(certificates.refusal(certificate(left=0), "a.test", True, NOW))
    assert "not for b.test" in str(certificates.refusal(certificate(), "b.test", True, NOW))
    assert "valid from" in str(certificates.refusal(certificate(left=91), "a.test", True, NOW))
    assert certificates.refusal(certificate(), "a.test", True, NOW) is None


@pytest.mark.parametrize("life", [6.0, 90.0, 365.0])
def test_the_first_edge_renews_at_a_third_and_the_others_later(life: float) -> None:
    def due(position: int, part: float) -> bool:
        return bool(certificates.due(certificate(life, life * part), "acme-1", position, NOW, NOW))

    assert [due(0, part) for part in (0.34, 0.33)] == [False, True]
    assert [due(1, part) for part in (0.33, 0.31, 0.29)] == [False, False, True]
    assert [due(2, part) for part in (0.29, 0.26)] == [False, True]
    assert due(50, 0.16), "however many edges there are, each has its turn while a sixth is left"


def test_a_renewal_by_the_first_edge_comes_before_the_second_ones_turn() -> None:
    """The first edge tries that often, even for 6 days: every 10 minutes and 5 of jitter."""
    assert certificates.TURN * 6 * DAY > 10 * (10 + 5) * 60


def test_a_missing_an_expired_and_a_foreign_one_are_due() -> None:
    assert certificates.due(None, "acme-1", 0, NOW, NOW)
    assert certificates.due(certificate(left=-1), "acme-1", 0, NOW, NOW)
    assert certificates.due(certificate(origin="self_signed"), "acme-1", 0, NOW, NOW) == "its source changed"
    assert certificates.due(certificate(), "acme-1", 0, NOW, NOW) is None
    assert not certificates.due(None, "acme-1", 1, NOW, NOW), "the first edge is about to"
    assert certificates.due(None, "acme-1", 1, NOW - certificates.FIRST_TURN, NOW), "it seems to be lost"


def test_a_ca_that_refuses_is_asked_less_and_less() -> None:
    waits = [certificates.next_try(tries, NOW, None) - NOW for tries in range(1, 9)]
    assert waits == sorted(waits) and waits[0] == 900 and waits[-1] == certificates.LONGEST_RETRY
    # Let's Encrypt allows five failures an hour for a name.
    assert sum(wait < 3600 for wait in waits) < 5
    assert certificates.next_try(8, NOW, certificate(6, 0.1)) - NOW < 0.1 * DAY, "often enough before the end"


def test_a_problem_says_since_when_and_why() -> None:
    failure = {"since": NOW - DAY, "why": "the CA is down"}
    assert certificates.problem(certificate(), None, NOW) is None
    assert "the CA is down" in str(certificates.problem(certificate(), failure, NOW))
    assert "good for 90 days" in str(certificates.problem(certificate(), failure, NOW))
    assert str(certificates.problem(certificate(left=-1), failure, NOW)).startswith("EXPIRED")
    assert "not renewed" in str(certificates.problem(certificate(left=14), None, NOW))
    assert certificates.problem(certificate(left=16), None, NOW) is None
    assert certificates.problem(None, {"since": NOW, "why": ""}, NOW) == "no certificate yet"


# -- between edges -----------------------------------------------------------------------------------------------------

SOURCES = {"a.test": "acme-1", "own.test": "files", "dev.test": "self_signed"}


def have(begins: float, origin: str = "acme-1") -> dict[str, Any]:
    return {"begins": begins, "origin": origin}


@pytest.mark.parametrize(
    ("name", "theirs", "mine", "taken"),
    [
        ("a.test", have(2), None, True),
        ("a.test", have(2), have(1), True),
        ("a.test", have(1), have(2), False),
        ("a.test", have(2), have(2), False),
        ("a.test", have(1), have(2, "manual"), True),
        ("a.test", have(9, "manual"), have(2), False),
        ("own.test", have(9, "files"), None, False),
        ("new.test", have(9), None, True),
        ("new.test", have(9), have(2), True),
    ],
)
def test_an_edge_takes_what_is_newer_and_its_own_to_have(
    name: str, theirs: dict[str, Any], mine: dict[str, Any] | None, taken: bool
) -> None:
    mine_all = {"names": {name: mine} if mine else {}, "account": None}
    found = peers.accepted({"names": {name: theirs}, "account": None}, mine_all, SOURCES)
    assert found == {"names": [name] if taken else [], "account": False}


@pytest.mark.parametrize(
    ("theirs", "mine", "taken"),
    [("1", None, True), ("1", "2", True), ("2", "1", False), ("1", "1", False), (None, "1", False)],
)
def test_the_oldest_account_is_everyones(theirs: str | None, mine: str | None, taken: bool) -> None:
    offer, own = ({"names": {}, "account": {"made": made} if made else None} for made in (theirs, mine))
    assert peers.accepted(offer, own, {})["account"] is taken


def test_ssh_knows_its_peer_and_never_asks() -> None:
    words = peers.command({"name": "edge2", "address": "10.0.0.12"})
    assert words[-1] == "sluice-tls@10.0.0.12" and "StrictHostKeyChecking=yes" in words and "BatchMode=yes" in words
