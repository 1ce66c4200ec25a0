# SPDX-License-Identifier: Apache-2.0
"""Certificates: what the CA is asked, and what has to be right before."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import acme, precheck
from ansible_collections.sluice.stack.plugins.module_utils.certificates.precheck import Seen


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
    assert not any(word.startswith("--reuse-key") for word in words), "each certificate has a key of its own"


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
