# SPDX-License-Identifier: Apache-2.0
"""Networks of clients, as people write them and as the edge compares them. Pure."""

from __future__ import annotations

import ipaddress


class BadNetwork(ValueError):
    """An entry that is not one address or network; the message is the end of a sentence about it."""


def normal(entry: str) -> str:
    """Normalise an address or network: ``address/length``, IPv4-mapped as IPv4. Raises BadNetwork."""
    try:
        if "%" in entry:
            raise ValueError("the edge does not know the zone of an address")
        wide = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise BadNetwork(": write an address or a network, like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32") from None
    address = ipaddress.ip_address(entry.partition("/")[0])
    if "/" in entry and address != wide.network_address:
        # Ambiguous: one address, or its whole network?
        raise BadNetwork(f", which is neither one address nor a network: write {address} or {wide}")
    mapped = wide.network_address.ipv4_mapped if isinstance(wide, ipaddress.IPv6Network) else None
    if mapped and wide.prefixlen >= 96:
        return f"{mapped}/{wide.prefixlen - 96}"
    return str(wide)
