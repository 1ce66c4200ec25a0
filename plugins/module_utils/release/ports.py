# SPDX-License-Identifier: Apache-2.0
"""Slot ports: given out once, the same on every app host, recorded until the app is removed."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping

SLOTS = ("blue", "green")
SINGLE = "singleton"  # instead of a slot: a singleton service has one port for both
Ports = dict[str, dict[str, list[int]]]  # service → slot → a port for each replica


class PortError(Exception):
    """Ports cannot be allocated; the message says why and what to do."""


def key(app: str, service: str, slot: str, replica: int) -> str:
    """The name a port is recorded under."""
    return f"{app}/{service}/{slot}/{replica}"


def port_numbers(ports: Mapping[str, Mapping[str, list[int]]], service: str, slot: str) -> list[int]:
    """Return the ports of a service in a slot; empty without any."""
    slots = ports.get(service, {})
    return slots.get(slot) or slots.get(SINGLE, [])


def merge_records(records: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Merge the hosts' records; ``records`` maps host to its record. Raises PortError when they contradict each other."""
    merged: dict[str, int] = {}
    holder: dict[int, tuple[str, str]] = {}
    for host, record in sorted(records.items()):
        for name, port in record.items():
            if merged.setdefault(name, port) != port:
                raise PortError(
                    f"port of {name} is {port} on {host} and {merged[name]} elsewhere; make ports.json agree on the hosts"
                )
            other, where = holder.setdefault(port, (name, host))
            if other != name:
                raise PortError(
                    f"port {port} is recorded for {other} on {where} and for {name} on {host}: remove the lines of one of the two apps from "
                    "/var/lib/sluice/ports.json on its hosts and deploy that app again to allocate new ports"
                )
    return merged


def allocate(
    app: str,
    replicas: Mapping[str, int],
    recorded: Mapping[str, int],
    in_use: Iterable[int],
    low: int,
    high: int,
    singleton: Collection[str] = (),
) -> Ports:
    """Allocate a port for every service, slot and replica of ``app``: the recorded one, else the next free one in the range.

    The search starts at an offset from the app's name: two apps deployed for the first time at once do not see each other's ports
    yet.

    ``replicas`` maps service to its count, ``in_use`` are ports in use on any host, ``single`` services with one port for both
    slots. Raises PortError.
    """
    taken = set(recorded.values()) | set(in_use)
    span = high + 1 - low
    first = zlib.crc32(app.encode()) % span
    free = (port for port in (low + (first + index) % span for index in range(span)) if port not in taken)
    result: Ports = {}
    for service, count in sorted(replicas.items()):
        slots = (SINGLE,) if service in singleton else SLOTS
        result[service] = {slot: [] for slot in slots}
        for slot in slots:
            for replica in range(count):
                port = recorded.get(key(app, service, slot, replica)) or next(free, None)
                if port is None:
                    raise PortError(f"app_port_range {low}-{high} has no free port left for {app}/{service}; widen it")
                result[service][slot].append(port)
    return result


def records(app: str, ports: Ports) -> dict[str, int]:
    """Return the record of an app's ports, as each host stores it."""
    return {
        key(app, service, slot, replica): port
        for service, slots in ports.items()
        for slot, numbers in slots.items()
        for replica, port in enumerate(numbers)
    }


def of_app(recorded: Mapping[str, int], app: str) -> dict[str, int]:
    """The part of a host's record that is an app's."""
    return {name: port for name, port in recorded.items() if name.split("/", 1)[0] == app}


def clash(recorded: Mapping[str, int], wanted: Mapping[str, int]) -> str | None:
    """Return why ``wanted`` cannot be recorded on a host that has ``recorded``, or None."""
    names = {port: name for name, port in recorded.items()}
    for name, port in sorted(wanted.items()):
        if recorded.get(name, port) != port:
            return f"port of {name} is recorded as {recorded[name]}, but the release has {port}"
        if names.get(port, name) != name:
            return f"port {port} for {name} already belongs to {names[port]} on this host; run the deploy again"
    return None
