# SPDX-License-Identifier: Apache-2.0
"""Certificates: what may be said of a name, what is written of it, and which names an edge has one for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import settings
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls, entry

DAY = 86400.0
NOW = 1_800_000_000.0
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
