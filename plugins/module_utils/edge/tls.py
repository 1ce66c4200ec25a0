# SPDX-License-Identifier: Apache-2.0
"""Which host names of an edge have TLS, and which certificate a name gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

SOURCES = ("acme", "files", "self_signed", "none")
# Common to all servers with TLS; role nginx writes it.
TLS_SETTINGS = "/etc/nginx/sluice/tls.inc"

# The key of edge_tls, and the folder, of the certificate for requests that no host name matches. It is no host name: it has no dot.
DEFAULT = "default"

Hosts = Mapping[str, Mapping[str, Any]]  # edge_tls: by host name, *.example.com, or DEFAULT


def wildcard(name: str) -> str:
    """Return the wildcard that covers a name: a certificate's ``*`` stands for one label."""
    return f"*.{name.partition('.')[2]}"


def entry(name: str, hosts: Hosts) -> tuple[str, Mapping[str, Any]]:
    """Return the key and the value of ``edge_tls`` that a name's certificate has; the name and nothing without one."""
    for key in (name, wildcard(name)):
        if key in hosts:
            return key, hosts[key]
    return name, {}


class Tls(NamedTuple):
    """The edges' TLS, as a release sees it; none without a port."""

    port: int = 0
    http3: bool = False
    source: str = "acme"
    hosts: Hosts = MappingProxyType({})

    def of(self, host: str) -> bool:
        """Whether a host name has TLS. Requests for any name ("") have it when there is a certificate for them."""
        if not host and DEFAULT not in self.hosts:
            return False
        return bool(self.port) and entry(host or DEFAULT, self.hosts)[1].get("source", self.source) != "none"


NO_TLS = Tls()
