# SPDX-License-Identifier: Apache-2.0
"""What visitors get: TLS, certificates, headers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import LATE_AT, span
from ansible_collections.sluice.stack.plugins.module_utils.security.rule import Answer, Facts, NotHere, Unknown

# How HTTP is answered where it is sent on to TLS; 0: not at all.
REDIRECTED = (0, 301, 308)


def plain_http(facts: Facts) -> Answer:
    """Every route is served over TLS, and HTTP is sent on to it."""
    wrong = []
    for site in _sites(facts):
        if not site["tls"]:
            wrong.append(f"{site['host'] or 'routes without a host'}: served without TLS")
        elif site["redirect"] not in REDIRECTED:
            wrong.append(f"{site['host']}: HTTP is answered with {site['redirect']} instead of a redirect")
    return Answer(wrong, "all of it is over TLS")


def certificate(facts: Facts) -> Answer:
    """Clients trust each certificate, and it is renewed in time."""
    wrong, fine = [], []
    for site in _secure(facts):
        found = site["certificate"]
        if found.get("missing"):
            wrong.append(f"{site['host']}: {found['missing']}")
            continue
        left, life = found["ends"] - facts["now"], found["ends"] - found["begins"]
        if left <= 0:
            wrong.append(f"{site['host']}: expired {span(-left)} ago")
        elif found["untrusted"]:
            wrong.append(f"{site['host']}: {found['untrusted']}")
        elif left < life * LATE_AT:
            wrong.append(f"{site['host']}: {span(left)} left and not renewed")
        fine.append(f"{site['host']} {span(left)} left")
    return Answer(wrong, ", ".join(fine))


def tls_versions(facts: Facts) -> Answer:
    """TLS 1.2 or newer only."""
    wrong = [f"{site['host']}: accepts {version}" for site in _secure(facts) for version in site["old_versions"]]
    return Answer(wrong, "TLS 1.2 or newer")


def tls_grade(facts: Facts) -> Answer:
    """What sslyze holds against Mozilla's intermediate configuration."""
    wrong: list[str] = []
    for site in _secure(facts):
        found = site["sslyze"]
        if "missing" in found:
            raise Unknown(found["missing"], "on the controller: pipx install sslyze")
        wrong += [f"{site['host']}: {line}" for line in found["problems"]]
    return Answer(wrong, "as Mozilla's intermediate configuration asks")


def headers(facts: Facts) -> Answer:
    """Each route's answer tells browsers to be careful, and nobody which version of a program it is from."""
    wrong = []
    for site in _sites(facts):
        for path, found in site["headers"].items():
            # Without the redirect no edge sends HSTS, and plain_http says so.
            secure = site["tls"] and site["redirect"] in REDIRECTED
            wrong += [f"{site['host']}{path}: {line}" for line in header_problems(found, secure)]
    return Answer(wrong, "as they should be")


def header_problems(found: Mapping[str, str], tls: bool) -> Iterator[str]:
    """Yield what is wrong with the headers of an answer; their names are in lower case."""
    if tls and "max-age=" not in found.get("strict-transport-security", ""):
        yield "no Strict-Transport-Security"
    if found.get("x-content-type-options", "").lower() != "nosniff":
        yield "no X-Content-Type-Options: nosniff"
    if "x-frame-options" not in found and "frame-ancestors" not in found.get("content-security-policy", ""):
        yield "may be framed: no X-Frame-Options, no frame-ancestors"
    if "referrer-policy" not in found:
        yield "no Referrer-Policy"
    for name in ("server", "x-powered-by", "x-aspnet-version"):
        if any(letter.isdigit() for letter in found.get(name, "")) or (name != "server" and name in found):
            yield f"{name} says {found[name]}"


def _sites(facts: Facts) -> list[Mapping[str, Any]]:
    sites = list(facts["outside"]["sites"])
    if not sites:
        raise NotHere
    away = [site for site in sites if site.get("missing")]
    if away:
        raise Unknown(str(away[0]["missing"]))
    return sites


def _secure(facts: Facts) -> list[Mapping[str, Any]]:
    found = [site for site in _sites(facts) if site["tls"]]
    if not found:
        raise NotHere
    return found
