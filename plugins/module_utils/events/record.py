# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run: its events added up to plain data. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event, Failed

SCHEMA = 1
# Steps that change neither the database nor what visitors get.
LOOKING = ("gates", "fence", "pending", "schema_check", "rollback_check", "rehearse", "restore_point")
# Steps after which, when one of them fails, the release before serves all visitors as if nothing had been.
PREPARING = (*LOOKING, "narrow", "reconcile", "start", "join", "configure", "canary", "flip")
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

    def add(self, event: Event) -> None:
        """Take an event in."""
        self._run = event.run if event.run.id else self._run
        self._begin, self._end = self._begin or event.time, event.time
        if isinstance(event, events.Planned):
            self._planned = event
        elif isinstance(event, events.StepEnded):
            self._steps.append(event)
        elif isinstance(event, Failed):
            self._failures.append(event)
        elif isinstance(event, events.Reported):
            self._result, self._warnings = event.lines, event.notes
            self._outcome = {events.Live: LIVE, events.RolledBack: ROLLED_BACK}.get(type(event), DONE)
        elif isinstance(event, events.RunEnded):
            self._hosts, self._check = event.hosts, event.check
            self._begin = event.time - event.seconds

    def worth_it(self) -> bool:
        """Whether the run planned something; reading commands leave no report."""
        return bool(self._run.id and (self._planned or self._failures))

    def data(self) -> dict[str, Any]:
        """The run as plain data, for JSON. Times are UTC, in ISO 8601, durations seconds."""
        planned = self._planned
        return {
            "schema": SCHEMA,
            "run": self._run.id,
            "action": self._run.action,
            "app": self._run.app,
            "release": self._run.release,
            "previous": planned.previous if planned else "",
            "who": self._run.who,
            "revision": self._run.revision,
            "outcome": FAILED if self._failures else PLANNED if self._check else self._outcome,
            "code": self._code(),
            "started": _iso(self._begin),
            "ended": _iso(self._end),
            "seconds": round(self._end - self._begin, 1),
            "hosts": list(self._hosts),
            "plan": list(planned.lines) if planned else [],
            "images": dict(planned.images) if planned else {},
            "steps": [_step(step) for step in self._steps],
            "result": list(self._result),
            "warnings": list(self._warnings),
            "errors": list(dict.fromkeys(_error(failure) for failure in self._failures)),
        }

    def _code(self) -> int:
        """Return the kind of ending: done, refused before any change, failed with the release before serving, or one for a person."""
        if not self._failures:
            return OK
        begun = {step.step for step in self._steps} - {"failure", "failure_revert", "unlock"}
        if begun <= {*LOOKING}:
            return REFUSED
        # A migration that went well suits the release before, too.
        done = {step.step for step in self._steps if step.step == "migrate" and not step.failed}
        return KEPT if begun <= {*PREPARING, *done} else ATTENTION


def file_name(data: dict[str, Any]) -> str:
    """The name of a run's reports, without suffix: they sort by time."""
    stamp = str(data["started"]).replace("-", "").replace(":", "")
    return f"{stamp}-{data['app']}-{data['action']}-{data['run']}"


def _step(step: events.StepEnded) -> dict[str, Any]:
    return {
        "step": step.step,
        "seconds": round(step.seconds, 1),
        "hosts": list(step.hosts),
        "failed": list(step.failed),
        "summary": list(step.summary),
    }


def _error(failure: Failed) -> str:
    return failure.message if failure.worded else f"{failure.host}: {failure.task}: {failure.message}"


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
