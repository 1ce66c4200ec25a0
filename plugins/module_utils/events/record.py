# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run: its events added up to plain data. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event, Failed

SCHEMA = 1
# Steps that change neither the database nor what visitors get.
LOOKING = ("gates", "fence", "pending", "schema_check", "rollback_check", "rehearse", "restore_point")
# Steps after which, when one of them fails, the release before serves all visitors as if nothing had been.
PREPARING = (*LOOKING, "narrow", "reconcile", "fetch", "start", "join", "configure", "canary", "flip")
# Steps that end a run, and those of commands that only look.
CLEANING, READING = ("failure", "failure_revert", "unlock"), ("observe", "logs", "list")
# Runs on data, and of these the ones that only plan until their plan is confirmed.
DRILL = "drill"
CONFIRMED = ("restore", "files restore")
DATA = (DRILL, *CONFIRMED)
# So many lines of what a run without a plan printed.
PRINTED = 50
# How a run ended, for programs. 1 is any other error of Ansible's.
OK, REFUSED, KEPT, ATTENTION = 0, 2, 3, 4
LIVE, ROLLED_BACK, FAILED, DONE, PLANNED = "live", "rolled back", "failed", "done", "planned"


class Record:
    """Adds up the events of one run. Without a run of the release engine there is nothing to report."""

    def __init__(self) -> None:
        self._run = events.Run()
        self._begin = self._end = 0.0
        self._outcome = DONE
        self._check = False
        self._planned: events.Planned | None = None
        self._steps: list[events.StepEnded] = []
        self._failures: list[Failed] = []
        self._result: tuple[str, ...] = ()
        self._warnings: tuple[str, ...] = ()
        self._hosts: tuple[str, ...] = ()
        self._compared: list[events.Compared] = []
        self._printed: list[str] = []
        self._changed = False

    def add(self, event: Event) -> None:
        """Take an event in."""
        self._run = event.run if event.run.id else self._run
        self._begin, self._end = self._begin or event.time, event.time
        if isinstance(event, events.Planned):
            self._planned = event
        elif isinstance(event, events.StepEnded):
            self._steps.append(event)
        elif isinstance(event, events.Compared):
            self._compared.append(event)
        elif isinstance(event, events.Message):
            self._printed += event.lines
        elif isinstance(event, events.Changed):
            self._changed = True
        elif isinstance(event, Failed):
            self._failures.append(event)
        elif isinstance(event, events.Reported):
            self._result, self._warnings = event.lines, event.notes
            self._outcome = {events.Live: LIVE, events.RolledBack: ROLLED_BACK}.get(type(event), DONE)
        elif isinstance(event, events.RunEnded):
            self._hosts, self._check = event.hosts, event.check
            self._begin = event.time - event.seconds

    def worth_it(self) -> bool:
        """Whether the run planned or restored something; reading commands leave no report."""
        return bool(self._run.id and (self._planned or self._failures or self._run.action in DATA))

    def data(self) -> dict[str, Any]:
        """The run as plain data, for JSON. Times are UTC, in ISO 8601, durations seconds."""
        planned = self._planned
        return {
            "schema": SCHEMA,
            "run": self._run.id,
            "report": self._run.report,
            "action": self._run.action,
            "app": self._run.app,
            "release": self._run.release,
            "previous": planned.previous if planned else "",
            "who": self._run.who,
            "reason": self._run.reason,
            "revision": self._run.revision,
            "outcome": self._ended(),
            "code": self._code(),
            "started": _iso(self._begin),
            "ended": _iso(self._end),
            "seconds": round(self._end - self._begin, 1),
            "hosts": list(self._hosts),
            "plan": list(planned.lines) if planned else [],
            "images": dict(planned.images) if planned else {},
            "previous_images": dict(planned.previous_images) if planned else {},
            "changes": list(planned.changes) if planned else [],
            "commits": self._commits(),
            "migrations": list(dict.fromkeys(name for step in self._steps for name in step.migrations)),
            "steps": [_step(step) for step in self._steps],
            "health": {host: dict(parts) for step in self._steps if step.step == "start" for host, parts in step.parts},
            "canary": [_check(one) for one in self._compared],
            # Without a plan it is what the run printed.
            "result": list(self._result) if planned else self._printed[-PRINTED:],
            "warnings": list(self._warnings),
            "errors": list(dict.fromkeys(_error(failure) for failure in self._failures)),
        }

    def _ended(self) -> str:
        if self._failures:
            return FAILED
        planned = self._check or (self._run.action in CONFIRMED and not self._changed)
        return PLANNED if planned else self._outcome

    def _commits(self) -> dict[str, dict[str, str]]:
        """For each service the commit its image was built from, before and after, and when the new one was built."""
        found: dict[str, dict[str, str]] = {}
        previous = self._planned.previous if self._planned else ""
        for one in (built for step in self._steps for built in step.built if built.revision or built.created):
            commit = found.setdefault(one.service, {"before": "", "after": "", "created": ""})
            if one.release == self._run.release:
                commit |= {"after": one.revision, "created": one.created or commit["created"]}
            elif one.release == previous:
                commit["before"] = one.revision
        return {service: commit for service, commit in sorted(found.items()) if any(commit.values())}

    def _code(self) -> int:
        """Return the kind of ending: done, refused before any change, failed with the release before serving, or one for a person."""
        if not self._failures:
            return OK
        if self._check:
            return REFUSED
        if self._changed or (self._run.action == DRILL and self._hosts):
            return ATTENTION
        if any(step.failed for step in self._steps if step.step == "failure_revert"):
            return ATTENTION
        begun = {step.step for step in self._steps} - {*CLEANING, *READING}
        if begun <= {*LOOKING}:
            return REFUSED
        # A migration that went well suits the release before, too.
        done = {step.step for step in self._steps if step.step == "migrate" and not step.failed}
        return KEPT if begun <= {*PREPARING, *done} else ATTENTION


def _step(step: events.StepEnded) -> dict[str, Any]:
    return {
        "step": step.step,
        "seconds": round(step.seconds, 1),
        "hosts": list(step.hosts),
        "failed": list(step.failed),
        "summary": list(step.summary),
    }


def _check(one: events.Compared) -> dict[str, Any]:
    return {"percent": one.percent, "decision": one.decision, "new": asdict(one.new), "old": asdict(one.old)}


def _error(failure: Failed) -> str:
    return failure.message if failure.worded else f"{failure.host}: {failure.task}: {failure.message}"


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
