# SPDX-License-Identifier: Apache-2.0
"""What gates are judged by: gathered once, before the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Suite:
    """A file of test results."""

    file: str
    passed: int
    skipped: int
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Scan:
    """A scanner's results: ``findings`` as (level, text)."""

    file: str
    tool: str
    findings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Limit:
    """A limit of a load test, and whether it held."""

    file: str
    text: str
    ok: bool


@dataclass(frozen=True)
class Finding:
    """A check of the security audit."""

    file: str
    text: str
    state: str
    severity: str


@dataclass(frozen=True)
class Rehearsal:
    """A report of a rehearsal."""

    file: str
    version: str
    ok: bool
    ended: float  # seconds of the epoch


@dataclass(frozen=True)
class Statement:
    """An approval: what the file says, and who signed it. ``fault``: why it counts for nothing, when its signature does not."""

    file: str
    approver: str = ""
    app: str = ""
    version: str = ""
    environment: str = ""
    expires: float = 0.0
    digests: tuple[str, ...] = ()
    key: str = ""  # the fingerprint of the key that signed
    fault: str = ""


@dataclass(frozen=True)
class Evidence:
    """The files that CI left. ``fault``: why there are none."""

    place: str = ""
    fault: str = ""
    app: str = ""
    version: str = ""  # that it was made for
    commit: str = ""
    suites: tuple[Suite, ...] = ()
    scans: tuple[Scan, ...] = ()
    limits: tuple[Limit, ...] = ()
    findings: tuple[Finding, ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()
    statements: tuple[Statement, ...] = ()
    unreadable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # kind → lines


@dataclass(frozen=True)
class Facts:
    """Everything that is known. Times are seconds of the controller's clock."""

    now: float
    app: str
    version: str
    environment: str
    flags: Sequence[str] = ()  # that its code asks for
    migration: bool = False
    rehearses: bool = False  # the deploy itself, before it migrates
    evidence: Evidence = field(default_factory=Evidence)
    edges: Sequence[str] = ()
    apps: Sequence[str] = ()
    database: str = ""  # its host, empty when it is elsewhere
    engine: str = "none"  # of its backups
    # Host → what it answered, as module gate_facts returns it; and host → why it did not.
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    # Image reference → {digest, signatures: [{payload, signature}]} or {error}.
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    public_keys: Sequence[str] = ()
    # Prometheus's own answers, {rules, alerts}, or {error}.
    alerts: Mapping[str, Any] = field(default_factory=dict)
    # What is left of the app's error budgets by SLO, and which burn too fast: {left, burning}, or {error}.
    budgets: Mapping[str, Any] = field(default_factory=dict)
