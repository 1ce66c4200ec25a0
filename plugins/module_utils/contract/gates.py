# SPDX-License-Identifier: Apache-2.0
"""app_gates, app_gate_waivers and app_signature: what a deploy must have proved before it begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    Kind,
    Problems,
    duration,
    number,
    sequence,
    shown,
    size,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

CHECKLISTS = ("pre-deploy", "post-deploy", "production")
HOUR, DAY = 3600.0, 86400.0
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def days(default: Sequence[str]) -> Kind:
    """Days of the week, ``mon`` or a range like ``mon..thu``; kept as a list of days."""

    def read(value: Any, path: str, problems: Problems) -> list[str] | None:
        found: set[str] = set()
        for item in [value] if isinstance(value, str) else value if isinstance(value, Sequence) else [None]:
            first, mark, last = str(item).lower().partition("..")
            if first not in DAYS or (mark and last not in DAYS):
                problems.add(path, f"must be days like 'mon' or 'mon..thu', not {shown(item)}", value)
                return None
            begin, end = DAYS.index(first), DAYS.index(last or first)
            found |= {*DAYS[begin : end + 1]} if begin <= end else {*DAYS[begin:], *DAYS[: end + 1]}
        return sorted(found, key=DAYS.index)

    return Kind(read, list(default))


def clock(default: int) -> Kind:
    """A time of day, kept as minutes since midnight."""

    def read(value: Any, path: str, problems: Problems) -> int | None:
        # YAML reads 16:00 without quotes as a number to the base of 60: these minutes.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1440:
            return int(value)
        match = re.fullmatch(r"(\d\d?):(\d\d)", str(value))
        if not match or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > 1440:
            problems.add(path, f"must be a time of day like '09:00', not {shown(value)}", value)
            return None
        return int(match[1]) * 60 + int(match[2])

    return Kind(read, default)


def time_zone(default: str) -> Kind:
    """The name of a time zone that the controller knows."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        try:
            ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            problems.add(path, f"is {shown(value)}: it must be a time zone like 'Europe/Athens'", value)
            return None
        return str(value)

    return Kind(read, default)


def moment(default: Any = REQUIRED) -> Kind:
    """A date, whose end is meant, or a time with its zone; kept as seconds of the epoch."""

    def read(value: Any, path: str, problems: Problems) -> float | None:
        # YAML reads a date without quotes as one.
        found = _moment(value.isoformat() if isinstance(value, date) else str(value))
        if found is None:
            problems.add(
                path, f"must be a date like '2026-12-31', or a time like '2026-12-31T18:00Z', not {shown(value)}", value
            )
        return found

    return Kind(read, default)


def _moment(given: str) -> float | None:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return None
    if re.fullmatch(r"\d{4}-\d\d-\d\d", given):
        return found.replace(hour=23, minute=59, second=59, tzinfo=UTC).timestamp()
    return found.timestamp() if found.tzinfo else None


# A person without wildcards, options such as valid-before, and a key: a line of ssh-keygen's allowed signers.
SIGNER = text(
    pattern=r"[^\s*?!,#]+ ([a-z][^\n]* )?(sk-)?(ssh|ecdsa)-[^\s]+ [A-Za-z0-9+/=]+( [^\n]*)?",
    means="a name and a public SSH key, like 'anna@example.com ssh-ed25519 AAAA…'",
)
PUBLIC_KEY = text(
    pattern=r"\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*",
    means="a public key in PEM, as cosign generate-key-pair writes it to cosign.pub",
)

# Gate → its options. What each of them asks is in module_utils/gates.
GATES: dict[str, Kind] = {
    "tests": struct({"least": number(1, 1, whole=True)}),
    "scans": struct(
        {
            "level": text("error", choices=("error", "warning", "note")),
            "tools": sequence(text(), default=[]),  # whose results must be there
        }
    ),
    "security": struct({"severity": text("high", choices=("low", "medium", "high", "critical"))}),
    "load_test": struct({}),
    "migrations": struct({"max_age": duration(7 * DAY)}),
    "window": struct(
        {
            "days": days(("mon", "tue", "wed", "thu", "fri")),
            "from": clock(9 * 60),
            "to": clock(17 * 60),
            "time_zone": time_zone("UTC"),
        }
    ),
    "backup": struct({"max_age": duration(26 * HOUR)}),
    "drill": struct({"max_age": duration(8 * DAY)}),
    "rollback_target": struct({}),
    "certificates": struct({"days": number(14, 0, 366)}),
    "capacity": struct({"disk": size(2 * 2**30), "memory": size(256 * 2**20)}),
    "alerts": struct(
        {
            # None: the Prometheus of the hosts in the group monitors.
            "url": text("", pattern=r"(https?://[^\s@]+)?", means="the URL of Prometheus, without a password"),
            "firing": sequence(text(), default=["critical", "page"]),  # severities that must not be firing
        }
    ),
    "error_budget": struct(
        {
            "least": number(0, 0, 1),  # of the budget that must be left, a share
            "wait": duration(0.0),  # for how long, until it no longer burns too fast
        }
    ),
    "approval": struct({"by": number(1, 1, 20, whole=True), "keys": sequence(SIGNER)}),
    "signature": struct({}),
    "flags": struct({}),
    "live": struct({}),
}


def _gates(value: Any, path: str, problems: Problems) -> list[dict[str, Any]] | None:
    """Read gates, each a name, or a name with its options."""
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        problems.add(path, f"must be a list, not {shown(value)}", value)
        return None
    found: list[dict[str, Any]] = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        named = {item: {}} if isinstance(item, str) else item
        if not isinstance(named, Mapping) or len(named) != 1:
            problems.add(where, f"must be a gate's name, or one name with its options, not {shown(item)}", item)
            continue
        name, options = next(iter(named.items()))
        if name not in GATES:
            problems.add(where, f"is {shown(name)}: {did_you_mean(str(name), GATES)}", item)
        elif any(one["name"] == name for one in found):
            problems.add(where, f"names {name} again", item)
        else:
            read = GATES[name].read({} if options is None else options, f"{path}.{name}", problems)
            found.append({"name": str(name), "options": read})
    return found


APP_GATES = Kind(_gates, [])
WAIVER = struct(
    {
        "gate": text(choices=tuple(GATES)),
        "reason": text(pattern=r"[^\n]*\S[^\n]*", means="one line"),
        "until": moment(),
        "by": text(pattern=r"[^\n]*\S[^\n]*", means="a name"),
    }
)
APP_GATE_WAIVERS = sequence(WAIVER, default=[])
SIGNATURE = struct({"keys": sequence(PUBLIC_KEY)}, default=None)


def default_options(name: str) -> dict[str, Any] | None:
    """The options of a gate that no variable sets; None where it needs some."""
    problems = Problems()
    found = GATES[name].read({}, name, problems)
    return None if problems.lines else found


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that the gates have what they are judged by."""
    names = [one["name"] for one in contract["app_gates"]]
    if "signature" in names and not contract["app_signature"]:
        problems.add("app_gates.signature", "needs app_signature.keys: the public keys", given["app_gates"])
    if contract["app_signature"] and not contract["app_signature"]["keys"]:
        problems.add("app_signature.keys", "is empty: name a public key, or remove it", given["app_signature"])
    approval = next((one["options"] for one in contract["app_gates"] if one["name"] == "approval"), None)
    if approval and len(approval["keys"]) < approval["by"]:
        problems.add(
            "app_gates.approval.keys",
            f"names {len(approval['keys'])}, but {approval['by']} must approve",
            given["app_gates"],
        )
    read = [name for name in names if name in FROM_FILES]
    if read and not contract["app_gate_evidence"]:
        problems.add(
            f"app_gates.{read[0]}", "reads files: set app_gate_evidence to their directory", given["app_gates"]
        )


# Gates that read what CI left in app_gate_evidence.
FROM_FILES = ("tests", "scans", "security", "load_test", "approval")


def resolved(contract: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gates of a deploy; a signature is asked for wherever there are keys to check it with."""
    asked = list(contract["app_gates"])
    if contract["app_signature"] and all(one["name"] != "signature" for one in asked):
        asked.append({"name": "signature", "options": {}})
    return asked


def waived_now(given: Any, who: str, until: float, problems: Problems) -> list[dict[str, Any]]:
    """Read ``gate_waive`` of a command line, ``gate: reason`` or a list of these: a waiver of this run alone, by who runs it."""
    found = []
    for item in [given] if isinstance(given, str) else given if isinstance(given, Sequence) else [None]:
        match = re.fullmatch(r"\s*(\w+)\s*:\s*(\S[^\n]*?)\s*", item) if isinstance(item, str) else None
        if not match:
            problems.add("gate_waive", f"must be 'gate: reason', not {shown(item)}", given)
        elif match[1] not in GATES:
            problems.add("gate_waive", f"names {shown(match[1])}: {did_you_mean(match[1], GATES)}", given)
        else:
            found.append({"gate": match[1], "reason": match[2], "until": until, "by": who})
    return found
