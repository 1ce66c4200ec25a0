# SPDX-License-Identifier: Apache-2.0
"""Why an edge's configuration changes, from its current and its desired text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import UNSERVED
from ansible_collections.sluice.stack.plugins.module_utils.edge.passwords import MISSING

Upstreams = dict[tuple[str, str], set[tuple[str, str]]]  # service and slot → addresses and ports

_UPSTREAM = re.compile(r"^upstream sluice_[a-z0-9-]+_([a-z0-9-]+)_(blue|green) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(r"^server \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
# What edge/protection.py adds to a location, by what a person calls it.
_PROTECTION = {
    "rate limit": re.compile(r"^ +(?:limit_req|set \$sluice_wait) .*\n", re.MULTILINE),
    "connection limit": re.compile(r"^ +limit_conn .*\n", re.MULTILINE),
    "networks": re.compile(r"^ +if \(\$sluice_denied_.*\n", re.MULTILINE),
    "passwords": re.compile(r"^ +(?:auth_basic\w* .*|# \S+:.*|set \$sluice_authorization .*)\n", re.MULTILINE),
}
_LOCATION = re.compile(r"^    location (/\S*) \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)


def reasons(before: str, after: str, names: Mapping[str, str]) -> list[str]:
    """List the differences between two configurations of an app; ``names`` maps private address to host. Empty without any."""
    if before == after:
        return []
    if not before:
        return ["the app is new on this edge"]
    if before == after + UNSERVED:
        return ["a run died before Nginx confirmed it"]
    if before == after + MISSING:
        return ["a file of passwords is missing"]
    found = [*_hosts(before, after, names), *_routes(before, after)]
    return found or ["its text differs: changed by hand, or by another version of the collection"]


def _hosts(before: str, after: str, names: Mapping[str, str]) -> list[str]:
    """List hosts that join or leave all upstreams, and other changes of upstreams."""
    old, new = _upstreams(before), _upstreams(after)
    was, will = ({address for servers in one.values() for address, _unused in servers} for one in (old, new))
    found = [f"{names.get(address, address)} joins" for address in sorted(will - was)]
    found += [f"{names.get(address, address)} leaves" for address in sorted(was - will)]
    for service, slot in sorted({*old, *new}):
        key = (service, slot)
        if key not in new:
            found.append(f"{service} is removed from {slot}")
        elif key not in old:
            found.append(f"{service} is added to {slot}")
        else:
            lost = {item for item in old[key] - new[key] if item[0] in will}
            gained = {item for item in new[key] - old[key] if item[0] in was}
            if lost or gained:
                found.append(f"{service} in {slot} has other hosts or ports")
    return found


def _routes(before: str, after: str) -> list[str]:
    old, new = _locations(before), _locations(after)
    found = [f"route {key} is new" for key in sorted(new.keys() - old.keys())]
    found += [f"route {key} is removed" for key in sorted(old.keys() - new.keys())]
    return found + [
        f"route {key} changes{_what(old[key], new[key])}"
        for key in sorted(old.keys() & new.keys())
        if old[key] != new[key]
    ]


def _what(old: str, new: str) -> str:
    """Name the kinds of protection that differ between two locations, when nothing else does."""
    kinds = []
    for kind, lines in _PROTECTION.items():
        if lines.findall(old) != lines.findall(new):
            kinds.append(kind)
        old, new = lines.sub("", old), lines.sub("", new)
    return f" ({', '.join(kinds)})" if old == new else ""


def _upstreams(text: str) -> Upstreams:
    return {
        (service, slot): set(re.findall(r"server \[?([0-9a-f.:]+?)\]?:(\d+) ", body))
        for service, slot, body in _UPSTREAM.findall(text)
    }


def _locations(text: str) -> dict[str, str]:
    """Host and path → the location's text, with variables replaced by the services they stand for."""
    maps = dict(re.findall(r"^map \$sluice_slot (\$\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    found = {}
    for body in _SERVER.findall(text):
        name = re.search(r"server_name (\S+);", body)
        host = "" if name is None or name[1] == "_" else name[1]
        for path, lines in _LOCATION.findall(body):
            found[host + path] = re.sub(r"\$sluice_route_\w+", lambda match: maps.get(match[0], ""), lines)
    return found
