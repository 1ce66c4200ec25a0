# SPDX-License-Identifier: Apache-2.0
"""What is checked before a CA is asked, whose refusals are counted: does the name lead here, and is the challenge answered?"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError

SECONDS = 5.0
PATH = "/.well-known/acme-challenge/"


class Seen(NamedTuple):
    """What an address of the name did: answered as an edge does, answered otherwise, nothing, or cannot be reached from here."""

    address: str
    kind: Literal["edge", "other", "no answer", "unreachable"]
    detail: str = ""


def judge(name: str, seen: Sequence[Seen]) -> str | None:
    """Return why a CA would refuse, or None. An address without an answer may be a lost edge: the CA may still ask another one."""
    for one in seen:
        if one.kind == "other":
            return f"{name} resolves to {one.address}, which is not one of these edges ({one.detail}): correct its DNS"
    if any(one.kind == "edge" for one in seen):
        return None
    places = ", ".join(f"{one.address} ({one.detail})" for one in seen)
    return f"{name} resolves to {places}, where port 80 does not answer: open it, or correct the DNS"


def run(name: str, thumbprint: str) -> None:
    """Resolve a name and ask every address for a challenge that nobody knows; raises CertificateError.

    The token is random and the thumbprint is that of our account's key, so only an edge of this fleet answers right.
    """
    try:
        found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CertificateError(
            f"{name} does not resolve ({error.strerror or error}): set its DNS to the edges"
        ) from error
    addresses = sorted({str(item[4][0]) for item in found})
    why = judge(name, [look(address, name, thumbprint) for address in addresses])
    if why:
        raise CertificateError(why)


def look(address: str, name: str, thumbprint: str) -> Seen:
    """Ask one address, on the port a CA asks."""
    token = secrets.token_urlsafe(16)
    headers: Mapping[str, str] = {"Host": name, "User-Agent": "sluice-certificates"}
    try:
        answer = plain_http.request((address, 80), "GET", PATH + token, timeout=SECONDS, headers=headers, limit=4096)
    except plain_http.NoAnswer as error:
        cause = error.__cause__
        away = isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)
        return Seen(address, "unreachable" if away else "no answer", str(error))
    if answer.status == 200 and answer.body.decode(errors="replace").strip() == f"{token}.{thumbprint}":
        return Seen(address, "edge")
    return Seen(address, "other", f"status {answer.status} for the challenge")
