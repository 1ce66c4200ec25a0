# SPDX-License-Identifier: Apache-2.0
"""The gate of approvals: statements that people signed with their SSH keys. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates.evidence import Unreadable, plain, time_of
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts, Statement
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, UNKNOWN, Result, named

FIX = "have it approved: docs/runbooks/checklists.md"


def namespace(app: str) -> str:
    """What a signature of an approval is for: one for another app, or for something else altogether, does not count."""
    return f"sluice-approval@{app}"


def statement(file: str, text: str) -> Statement:
    """Read a statement; its signature is checked elsewhere. Raises Unreadable."""
    try:
        data = json.loads(text)
        given = {name: str(data[name]) for name in ("approver", "app", "environment")}
        digests = tuple(str(one) for one in data.get("digests") or ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"it is no statement with approver, app, environment and expires ({plain(error)})") from error
    if not data.get("version") and not digests:
        raise Unreadable("it names neither a version nor digests")
    if not re.fullmatch(r"[^\s*?!,#-][^\s*?!,#]*", given["approver"]):
        raise Unreadable(f"its approver {plain(given['approver'], 40)!r} is no name")
    return Statement(
        file=file,
        version=str(data.get("version") or ""),
        expires=time_of(data.get("expires")),
        digests=digests,
        **given,
    )


def key_of(said: str) -> str:
    """The fingerprint in what `ssh-keygen -Y verify` prints when a signature is good."""
    found = re.search(r"\bkey (SHA256:\S+)", said)
    return found[1] if found else ""


def approval(facts: Facts, options: Mapping[str, Any]) -> Result:
    """Enough different people, by name and by key, approved this version for this environment."""
    seen = facts.evidence
    if seen.fault:
        return Result("approval", UNKNOWN, seen.fault, "set app_gate_evidence to the directory with CI's files")
    good, refused = [], list(seen.unreadable.get("approval", ()))
    for one in seen.statements:
        fault = one.fault or _fault(one, facts)
        if fault:
            refused.append(f"{one.file}: {fault}")
        else:
            good.append(one)
    # Nobody counts twice: not by two statements, two keys, or two names for one key.
    people = min(len({one.approver for one in good}), len({one.key for one in good}))
    names = ", ".join(sorted({one.approver for one in good}))
    if people >= options["by"]:
        return Result("approval", OK, f"by {names}")
    have = f"{people} of {options['by']} approvals of {facts.version} for {facts.environment}" + (
        f", by {names}" if names else ""
    )
    return Result("approval", FAILED, f"{have}{f'; {named(refused, 2)}' if refused else ''}", FIX)


def _fault(one: Statement, facts: Facts) -> str:
    """Why a statement whose signature is good does not count here; empty when it does."""
    if one.app != facts.app:
        return f"it is about {plain(one.app, 40)}, not {facts.app}"
    if one.environment != facts.environment:
        return f"it is for {plain(one.environment, 40)}, not {facts.environment}"
    if one.version and one.version != facts.version:
        return f"it is about {plain(one.version, 40)}, not {facts.version}"
    if one.expires <= facts.now:
        return "it has expired"
    digests = {str(item.get("digest", "")) for item in facts.images.values()}
    if one.digests and (not digests or not digests <= {*one.digests}):
        return "it names other images than this version's"
    return ""
