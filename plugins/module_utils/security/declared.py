# SPDX-License-Identifier: Apache-2.0
"""Which ports the inventory opens to whom, and which ones are tried from outside. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# What is left open by mistake most: remote access, file shares, databases, queues, container engines, dashboards, exporters.
WELL_KNOWN = (
    *(
        21,
        23,
        25,
        53,
        80,
        110,
        111,
        139,
        143,
        389,
        443,
        445,
        631,
        873,
        1433,
        1521,
        1883,
        2049,
        2375,
        2376,
        2377,
        2379,
        3000,
        3306,
    ),
    *(
        3389,
        4243,
        5000,
        5432,
        5601,
        5672,
        5900,
        5984,
        6379,
        6443,
        7946,
        8000,
        8080,
        8081,
        8086,
        8088,
        8200,
        8443,
        8500,
        8888,
        9000,
    ),
    *(9090, 9093, 9100, 9187, 9200, 9300, 10250, 11211, 15672, 26379, 27017),
)
# Of each host; with more, those that listen come first.
MOST = 256


class Rule(NamedTuple):
    """Ports, from the first to the last, and who may reach them: ``any``, addresses or networks."""

    first: int
    last: int
    sources: tuple[str, ...]


def rules(given: Iterable[Mapping[str, Any]], protocol: str = "tcp") -> list[Rule]:
    """Read rules of the firewall as role baseline takes them. One for nobody opens nothing."""
    found = []
    for entry in given:
        if entry.get("protocol", "tcp") != protocol or not entry["from"]:
            continue
        for port in entry["ports"]:
            first, _unused, last = str(port).partition("-")
            found.append(Rule(int(first), int(last or first), tuple(map(str, entry["from"]))))
    return found


def to_anybody(found: Iterable[Rule], port: int) -> bool:
    """Whether a port is open to somebody at all."""
    return any(rule.first <= port <= rule.last for rule in found)


def open_to(found: Iterable[Rule], port: int, sources: Sequence[str]) -> bool:
    """Whether one of these addresses may reach a port."""
    return any(rule.first <= port <= rule.last and _admits(rule, sources) for rule in found)


def _admits(rule: Rule, sources: Sequence[str]) -> bool:
    return "any" in rule.sources or any(_within(one, net) for one in sources for net in rule.sources)


def _within(address: str, net: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(net, strict=False)
    except (ValueError, TypeError):
        # A host name, or the other version.
        return address == net


def loopback(address: str) -> bool:
    """Whether only the host itself reaches an address; ``*`` is any."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def to_try(found: Iterable[Rule], listening: Iterable[int], never: Iterable[int]) -> list[int]:
    """Return the ports to try from outside: what listens, what is declared (the ends of a range) and what is often left open."""
    ends = [port for rule in found for port in (rule.first, rule.last)]
    wanted = dict.fromkeys([*sorted(set(listening)), *sorted(set(ends)), *WELL_KNOWN])
    return [port for port in wanted if port not in set(never)][:MOST]
