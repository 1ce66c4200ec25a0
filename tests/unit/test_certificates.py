# SPDX-License-Identifier: Apache-2.0
"""Certificates: which are refused, when they are renewed and by whom, what edges take from each other, and what the CA is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import (
    acme,
    peers,
    precheck,
    program,
    settings,
    store,
)
from ansible_collections.sluice.stack.plugins.module_utils.certificates import certificate as certificates
from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import Certificate
from ansible_collections.sluice.stack.plugins.module_utils.certificates.precheck import Seen
from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls, entry

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


# -- the CA ------------------------------------------------------------------------------------------------------------


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    # The example of RFC 7638, 3.1.
    key = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6"
        "4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
        "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert acme.thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


OF = {
    "source": "acme",
    "directory": "https://ca.test/dir",
    "key_type": "ecdsa",
    "email": "",
    "ca": "/ca.pem",
    "precheck": True,
}


def test_certbot_is_asked_for_one_name_with_nothing_to_prepare() -> None:
    words = acme.certonly("/state", "a.test", OF, "id1")
    assert {
        "--manual",
        "--manual-auth-hook=/bin/true",
        "--domain=a.test",
        "--server=https://ca.test/dir",
        "--account=id1",
    } <= set(words)
    words = acme.certonly(
        "/state", "*.a.test", {**OF, "dns_plugin": "rfc2136", "dns_credentials": "/x.ini", "dns_seconds": 5}, "id1"
    )
    assert {"--dns-rfc2136", "--dns-rfc2136-credentials=/x.ini", "--cert-name=_.a.test", "--domain=*.a.test"} <= set(
        words
    )
    assert "--manual" not in words
    assert acme.environment(OF) == {"REQUESTS_CA_BUNDLE": "/ca.pem"}


def test_an_account_without_an_address_is_one() -> None:
    assert "--register-unsafely-without-email" in acme.register("/state", OF)
    assert "--email=ops@a.test" in acme.register("/state", {**OF, "email": "ops@a.test"})


def test_another_ca_is_another_origin() -> None:
    assert acme.origin(OF) != acme.origin({**OF, "directory": "https://staging.ca.test/dir"})
    assert acme.origin({"source": "files"}) == "files"


def test_certbots_reason_is_one_line() -> None:
    output = (
        "Saving debug log to /x\nRequesting a certificate for a.test\n\nCertbot failed to authenticate some domains (authenticator: manual). The Certificate"
        " Authority reported these problems:\n  Domain: a.test\n  Type:   connection\n  Detail: 192.0.2.1: Timeout\n\nHint: The Certificate\n"
    )
    assert acme.reason(output) == "connection: 192.0.2.1: Timeout"
    assert acme.reason(
        "Saving debug log to /x\nAn unexpected error occurred:\nError creating new order :: too many certificates\n"
    ) == ("An unexpected error occurred: Error creating new order :: too many certificates")
    assert acme.reason("") == "certbot said nothing"


# -- before the CA is asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([Seen("192.0.2.1", "edge"), Seen("192.0.2.2", "edge")], None),
        ([Seen("192.0.2.1", "edge"), Seen("192.0.2.2", "no answer", "timed out")], None),
        ([Seen("192.0.2.1", "edge"), Seen("2001:db8::1", "unreachable", "no route")], None),
        (
            [Seen("192.0.2.1", "edge"), Seen("192.0.2.9", "other", "status 404")],
            "192.0.2.9, which is not one of these edges",
        ),
        ([Seen("192.0.2.1", "no answer", "timed out")], "where port 80 does not answer"),
    ],
)
def test_a_name_has_to_lead_here(seen: list[Seen], why: str | None) -> None:
    found = precheck.judge("a.test", seen)
    assert found is None if why is None else why in str(found)


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


# -- settings ----------------------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Any] = {
    "source": "acme", "email": "", "directory": "https://ca.test/dir", "ca": "", "profile": "", "dns": {}, "key_type": "ecdsa", "precheck": True,
}  # fmt: skip
DNS = {**DEFAULTS, "dns": {"plugin": "rfc2136", "settings": {"server": "192.0.2.53", "secret": "hush"}}}
OWN = {"source": "files", "fullchain": "CERTIFICATE\n", "key": "KEY\n"}


@pytest.mark.parametrize(
    ("hosts", "defaults", "message"),
    [
        ({"a.test": {"sorce": "acme"}}, DEFAULTS, "edge_tls.a.test.sorce is unknown"),
        ({"a.test": {"source": "acmee"}}, DEFAULTS, "edge_tls.a.test.source=acmee"),
        ({"a.test": {"source": "files"}}, DEFAULTS, "needs fullchain and key"),
        ({"*.a.test": {}}, DEFAULTS, "set edge_tls_dns.plugin"),
        ({"a.test": {"challenge": "dns"}}, DEFAULTS, "set edge_tls_dns.plugin"),
        ({"a.test": {"challenge": "tls"}}, DEFAULTS, "use http or dns"),
        ({"A.test": {}}, DEFAULTS, "not a host name"),
        ({"a.test": "acme"}, DEFAULTS, "must be a map"),
        ({"default": {}}, DEFAULTS, "no CA gives a certificate for any name"),
        ({"standard": {"source": "self_signed"}}, DEFAULTS, "not a host name in lower case, *.example.com, or default"),
        ({}, {**DEFAULTS, "source": "files"}, "put its fullchain and key into edge_tls.shop.test"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(hosts: dict[str, Any], defaults: dict[str, Any], message: str) -> None:
    found = settings.problems(hosts, defaults, ["shop.test"])
    assert len(found) == 1 and message in found[0]


def test_what_is_right_is_no_problem() -> None:
    assert (
        settings.problems(
            {"*.a.test": {}, "own.test": OWN, "default": OWN, "b.test": {"source": "none"}},
            DNS,
            ["shop.test", "x.a.test"],
        )
        == []
    )


def test_secrets_are_in_files_of_their_own() -> None:
    found = settings.written({"own.test": OWN, "*.a.test": {}}, {**DNS, "ca": "ROOT"}, ["shop.test"], "shop")
    shown = str({**found, "secrets": None})
    assert "KEY" not in shown and "hush" not in shown
    assert found["secrets"] == {
        "/etc/sluice/certificates/shop-dns.ini": "dns_rfc2136_server = 192.0.2.53\ndns_rfc2136_secret = hush\n",
        "/etc/sluice/certificates/shop-ca.pem": "ROOT\n",
        "/etc/sluice/certificates/own.test.pem": "KEY\nCERTIFICATE\n",
    }
    assert found["packages"] == ["certbot", "python3-certbot-dns-rfc2136"]


def test_certbot_is_installed_where_a_name_needs_it() -> None:
    assert settings.written({}, DEFAULTS, [], "shop")["packages"] == []
    assert settings.written({"a.test": {"source": "self_signed"}}, DEFAULTS, ["a.test"], "shop")["packages"] == []
    assert settings.written({}, DEFAULTS, ["a.test"], "shop")["packages"] == ["certbot"]


def test_an_edge_wants_what_is_named_and_what_it_serves() -> None:
    shop = {
        "defaults": {"source": "acme"},
        "hosts": {"*.wild.test": {}, "off.test": {"source": "none"}, "own.test": {"source": "files"}},
    }
    blog = {"defaults": {"source": "self_signed"}, "hosts": {}}
    found = settings.desired(
        {"blog": blog, "shop": shop}, {"shop": ["shop.test", "x.wild.test"], "blog": ["blog.test"], "other": []}
    )
    assert {one.name: (one.settings["source"], one.names) for one in found} == {
        "*.wild.test": ("acme", ("x.wild.test",)),
        "blog.test": ("self_signed", ("blog.test",)),
        "own.test": ("files", ()),
        "shop.test": ("acme", ("shop.test",)),
    }


def test_requests_for_any_name_are_served_with_the_default() -> None:
    given = {"defaults": {"source": "acme"}, "hosts": {"default": {"source": "files"}}}
    found = settings.desired({"shop": given}, {"shop": ["_"]})
    assert [(one.name, one.settings["source"], one.names) for one in found] == [("default", "files", ("_",))]
    assert settings.desired({"shop": {**given, "hosts": {}}}, {"shop": ["_"]}) == [], "no CA is asked for it"


def test_a_name_has_tls_unless_it_is_turned_off() -> None:
    tls = Tls(443, False, "acme", {"off.test": {"source": "none"}, "*.in.test": {"source": "none"}})
    assert tls.of("a.test") and not tls.of("") and not tls.of("off.test") and not tls.of("x.in.test")
    assert not Tls().of("a.test"), "and unless the edges have none"
    assert Tls(443, False, "none", {"a.test": {"source": "files"}}).of("a.test")
    assert entry("x.in.test", tls.hosts)[0] == "*.in.test"


def test_what_nothing_uses_is_kept_for_a_week() -> None:
    def look(since: dict[str, float], days: float, *wanted: str) -> tuple[dict[str, float], list[str]]:
        return settings.unused(["a", "b"], wanted, since, NOW + days * DAY)

    since, over = look({}, 0, "a")
    assert (since, over) == ({"b": NOW}, [])
    assert look(since, 6.9, "a") == ({"b": NOW}, [])
    assert look(since, 7, "a") == ({}, ["b"])
    # Wanted again meanwhile: the week begins anew.
    since, over = look(since, 6, "a", "b")
    assert (since, over) == ({}, []) and look(since, 8, "a") == ({"b": NOW + 8 * DAY}, [])


def test_what_the_role_wrote_is_used() -> None:
    found = settings.written({"own.test": OWN, "*.a.test": {}}, {**DNS, "ca": "ROOT"}, ["shop.test"], "shop")
    assert settings.referred({"shop": found}) == set(found["secrets"])


# -- on an edge --------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder for certificates, of a group that exists here; no Nginx answers."""
    monkeypatch.setattr(store, "GROUP", __import__("grp").getgrgid(__import__("os").getgid()).gr_name)
    monkeypatch.setattr(store, "shown", lambda host, port: "")
    return str(tmp_path)


def use(root: str, bundle: str, name: str = "a.test", served: tuple[str, ...] = ()) -> bool:
    return store.install(name, bundle, "self_signed", served, 443, root)


def test_a_certificate_is_swapped_in_and_the_old_one_is_kept(root: str) -> None:
    assert store.live("a.test", root) is None
    first, second, third = (store.self_signed("a.test", days) for days in (10, 20, 30))
    assert use(root, first) and not use(root, first), "twice is once"
    assert use(root, second) and use(root, third)
    found = store.live("a.test", root)
    assert found and found.origin == "self_signed" and found.names == ("a.test",)
    assert len([path for path in (Path(root) / "a.test").iterdir() if path.name != "live.pem"]) == 2
    assert all(path.stat().st_mode & 0o007 == 0 for path in Path(root).rglob("*.pem")), "for nobody else"


def test_a_wildcard_has_a_folder_that_nginx_finds(root: str) -> None:
    assert use(root, store.self_signed("*.a.test", 10), "*.a.test")
    assert (Path(root) / "_.a.test" / "live.pem").exists()


@pytest.mark.parametrize("what", ["foreign key", "foreign name", "no certificate", "no key"])
def test_a_bad_one_is_refused_and_the_old_one_stays(root: str, what: str) -> None:
    good, other = store.self_signed("a.test", 10), store.self_signed("a.test", 10)
    mark = "-----BEGIN CERTIFICATE"
    bad = {
        "foreign key": good[: good.index(mark)] + other[other.index(mark) :],
        "foreign name": store.self_signed("b.test", 10),
        "no certificate": good[: good.index(mark)],
        "no key": good[good.index(mark) :],
    }[what]
    use(root, good)
    with pytest.raises(CertificateError):
        use(root, bad)
    assert store.live_text("a.test", root) == good


def test_one_that_nginx_does_not_show_is_taken_back(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good, new = store.self_signed("a.test", 10), store.self_signed("a.test", 20)
    use(root, good)
    monkeypatch.setattr(store, "shown", lambda host, port: "another")
    with pytest.raises(CertificateError, match=r"does not serve it for a\.test"):
        use(root, new, served=("a.test",))
    assert store.live_text("a.test", root) == good


def test_a_bundle_that_was_damaged_in_its_place_is_replaced_by_the_one_before(root: str) -> None:
    first, second = store.self_signed("a.test", 10), store.self_signed("a.test", 20)
    use(root, first)
    use(root, second)
    assert store.repair("a.test", root) is None, "nothing is wrong"
    other = store.self_signed("a.test", 30)
    (Path(root) / "a.test" / "live.pem").resolve().write_text(
        second[: second.index("-----BEGIN CERT")] + other[other.index("-----BEGIN CERT") :]
    )
    assert "key does not belong" in str(store.repair("a.test", root))
    assert store.live_text("a.test", root) == first


def test_openssl_is_what_the_programs_ask(tmp_path: Path) -> None:
    bundle = store.self_signed("a.test", 10)
    (tmp_path / "a.pem").write_text(bundle)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", tmp_path / "a.pem"], capture_output=True, text=True, check=True
    )
    assert str(store.described(bundle).life / DAY).startswith("10") and "notAfter" in said.stdout


@pytest.fixture
def edge(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """An edge that serves one name, and has certificates for it and for another one that Certbot obtained."""
    places = {name: tmp_path / name for name in ("etc", "nginx", "state", "tls")}
    for path in places.values():
        path.mkdir()
    for name in ("a.test", "_.b.test", "default"):
        store.install(
            name.replace("_", "*"), store.self_signed(name.replace("_", "*"), 10), "acme-1", (), 443, str(places["tls"])
        )
    for part in ("live/_.b.test", "archive/_.b.test", "live/a.test"):
        (places["state"] / "certbot" / part).mkdir(parents=True)
        (places["state"] / "certbot" / part / "privkey.pem").touch()
    (places["state"] / "certbot/renewal").mkdir()
    (places["state"] / "certbot/renewal/_.b.test.conf").touch()
    (places["nginx"] / "shop.conf").write_text("server {\n    server_name a.test;\n}\n")
    (places["etc"] / "old.test.pem").touch()
    (places["etc"] / "shop.json").write_text('{"defaults": {"source": "none"}, "hosts": {}}')
    monkeypatch.setattr(settings.read, "__defaults__", (str(places["etc"]),))
    monkeypatch.setattr(settings, "FOLDER", str(places["etc"]))
    monkeypatch.setattr(program, "EDGE_CONFIGS", str(places["nginx"]))
    for name, file in (("CERTBOT", "certbot"), ("FAILURES", "failures.json"), ("UNUSED", "unused.json")):
        monkeypatch.setattr(program, name, str(places["state"] / file))
    for function in (store.folders, store.folder_of, store.live, store.live_text):
        defaults = tuple(
            str(places["tls"]) if value == store.FOLDER else value for value in function.__defaults__ or ()
        )
        monkeypatch.setattr(function, "__defaults__", defaults)
    return places


def test_certificates_and_keys_of_names_that_are_gone_are_removed(edge: dict[str, Path]) -> None:
    def left() -> list[str]:
        kept = [*edge["tls"].iterdir(), *edge["state"].glob("certbot/*/*"), *edge["etc"].iterdir()]
        return sorted(str(path.relative_to(edge["tls"].parent)) for path in kept)

    before = left()
    program.Edge().forget(NOW)
    (edge["nginx"] / "blog.conf").write_text("server {\n    server_name x.b.test;\n}\n")
    program.Edge().forget(NOW + DAY)
    program.Edge().forget(NOW + 6 * DAY)
    assert left() == before, "not before a week has passed"
    program.Edge().forget(NOW + 9 * DAY)
    kept = [
        "etc/shop.json",
        "state/certbot/archive/_.b.test",
        "state/certbot/live/_.b.test",
        "state/certbot/live/a.test",
    ]
    kept += ["state/certbot/renewal/_.b.test.conf", "tls/_.b.test", "tls/a.test"]
    assert left() == kept, "a name that an app has got again keeps its wildcard; the default and the role's old file go"
    (edge["nginx"] / "blog.conf").unlink()
    for day in (10, 17):
        program.Edge().forget(NOW + day * DAY)
    assert left() == ["etc/shop.json", "state/certbot/live/a.test", "tls/a.test"]


def test_edges_ask_each_other_only_where_there_is_something_to_share(
    edge: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(source: str) -> list[str]:
        peer = {"name": "edge2", "address": "192.0.2.2"}
        hosts = {"a.test": {"source": source}}
        given = {"defaults": {"source": "none"}, "hosts": hosts, "peers": [peer]}
        (edge["etc"] / "shop.json").write_text(json.dumps(given))
        found: list[str] = []
        answer = {"names": [], "account": False}
        monkeypatch.setattr(peers, "talk", lambda peer, message: found.append(peer["name"]) or answer)
        program.Edge().spread()
        return found

    assert asked("files") == [] and asked("self_signed") == ["edge2"]
