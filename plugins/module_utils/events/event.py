# SPDX-License-Identifier: Apache-2.0
"""The events of a run, typed. The console (and other readers) receive only these."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """The run as known so far; a field is empty until it is known."""

    id: str = ""
    action: str = ""
    app: str = ""
    release: str = ""
    who: str = ""
    revision: str = ""  # of the inventory's repository
    reason: str = ""
    started: str = ""  # UTC, in ISO 8601

    @property
    def report(self) -> str:
        """The name of the run's reports, without suffix: they sort by time. It is safe in a path and in a URL."""
        stamp = self.started.replace("-", "").replace(":", "")
        return "-".join(
            re.sub(r"[^\w.]+", "_", part, flags=re.ASCII) for part in (stamp, self.app, self.action, self.id)
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """``time`` is the controller's clock, in seconds since 1970."""

    time: float
    run: Run


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The contract was accepted."""


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """The printed plan; no lines when it was refused.

    ``status`` is that of the plan: change, repair, nothing or refused. ``previous`` is the live release, or empty; ``images`` are the services of
    the planned one, each with its image by digest, and ``previous_images`` those of the live one. ``changes`` are paths in the manifest: names, no values.
    """

    lines: tuple[str, ...]
    status: str = ""
    previous: str = ""
    images: tuple[tuple[str, str], ...] = ()
    previous_images: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    """A step of the release was sent to its hosts."""

    step: str


@dataclass(frozen=True)
class Built:
    """What is known of a service's image in a release: the commit it was built from, and when; empty when unknown."""

    release: str
    service: str
    revision: str
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """Every host has finished the step. ``summary`` has a short text for what they did.

    ``migrations`` were applied or reverted; ``parts`` are each host's parts of the step with their seconds, where it measures them.
    """

    step: str
    seconds: float
    hosts: tuple[str, ...]
    failed: tuple[str, ...]
    summary: tuple[str, ...]
    migrations: tuple[str, ...] = ()
    parts: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    built: tuple[Built, ...] = ()


@dataclass(frozen=True)
class Sample:
    """What a canary check counted of one release. Latencies are seconds, None without a request."""

    requests: int
    errors: int
    median: float | None
    p99: float | None


@dataclass(frozen=True, kw_only=True)
class Compared(Event):
    """A canary check compared both releases while the new one had ``percent`` of the visitors; 0 when that is unknown."""

    percent: int
    decision: str
    new: Sample
    old: Sample


@dataclass(frozen=True, kw_only=True)
class CertificatesLate(Event):
    """A look at the hosts found certificates that were not renewed in time."""

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Waiting(Event):
    """Nothing has happened for a while: ``hosts`` have been running for ``seconds``. ``step`` is empty outside of a release."""

    step: str
    task: str
    hosts: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Message(Event):
    """Lines for the operator. ``debug``: from a debug task, which Ansible's own output shows too."""

    lines: tuple[str, ...]
    debug: bool = False


@dataclass(frozen=True, kw_only=True)
class Changed(Event):
    """A task outside of a release changed a host, or would (``check``); ``diff`` may be empty."""

    host: str
    task: str
    diff: str
    check: bool


@dataclass(frozen=True, kw_only=True)
class Reported(Event):
    """The result of a successful run. ``lines`` describe it, ``notes`` list harmless failures."""

    lines: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Live(Reported):
    """The release is live."""


@dataclass(frozen=True, kw_only=True)
class RolledBack(Reported):
    """An earlier release is live again."""


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """A task ended the run for ``host``.

    The first line of ``message`` is the failure, details follow. ``worded``: the message was written for the operator and stands alone;
    others need ``task`` and ``where`` with them. ``shared``: it is not about this one host.
    """

    host: str
    task: str
    where: str
    message: str
    worded: bool
    shared: bool
    unreachable: bool


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The run has ended. ``hosts`` are those that took part, without the controller."""

    hosts: tuple[str, ...]
    seconds: float
    check: bool
