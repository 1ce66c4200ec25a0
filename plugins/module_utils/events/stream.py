# SPDX-License-Identifier: Apache-2.0
"""Ansible's tasks and results in, events out. Knows no step by name: a step is what the role ``release`` sends to hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event

OWN = "sluice.stack."
# Failures of these say it all in their message.
WORDED = ("ansible.builtin.assert", "ansible.builtin.fail", "assert", "fail")
DEBUG = ("ansible.builtin.debug", "debug")
# A sign of life when nothing was to be seen for so many seconds, and from then on every so many.
FIRST, LATER = 10.0, 60.0
# What ansible-core puts before the message of an action plugin that failed.
PREFIXES = ("Task failed: ", "Action failed: ")
PLANNED_ACTIONS = {"deploy": events.Live, "join": events.Live, "rollback": events.RolledBack}


@dataclass(frozen=True)
class Task:
    """A task as Ansible starts it. ``role`` without its collection; ``where`` is file and line."""

    id: str
    name: str
    action: str
    role: str = ""
    where: str = ""
    run_once: bool = False

    @property
    def title(self) -> str:
        """The name, with the role it is of."""
        return f"{self.role}: {self.name}" if self.role else self.name

    @property
    def step(self) -> str:
        """The release's step that this task is the work of; empty for other tasks. Names are ``Step | Verb object``."""
        hosts = self.role == "release" and self.action.startswith(OWN) and not self.run_once
        return self.name.partition(" | ")[0].lower().replace(" ", "_") if hosts else ""


@dataclass(frozen=True)
class Result:
    """What one host answered; ``on`` is the host it was delegated to.

    ``ignored``: the playbook goes on whatever this is, or rescues it.
    """

    task: Task
    host: str
    time: float
    data: Mapping[str, Any]
    status: str = "ok"  # or failed, unreachable, skipped
    ignored: bool = False
    check: bool = False
    diff: str = ""
    on: str = ""


@dataclass
class _Step:
    name: str
    begin: float
    end: float = 0.0
    hosts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


class Stream:
    """The state of one run, as far as deriving events needs it. Times are seconds of the controller's clock."""

    def __init__(self, now: float) -> None:
        self._begin = self._seen = now
        self._patience = FIRST
        self._run = events.Run()
        self._status = ""
        self._step: _Step | None = None
        self._open: dict[tuple[str, str], tuple[Task, float]] = {}
        self._output: list[tuple[str, tuple[str, ...]]] = []

    def task_started(self, task: Task, now: float) -> list[Event]:
        """A task begins on its hosts, so the one before is over everywhere."""
        found = [*self._told(now)]
        if self._step and self._step.name != task.step and task.step:
            found += self._step_ended()
        return self._noticed(found, now)

    def host_started(self, task: Task, host: str, now: float) -> list[Event]:
        """A host was given a task."""
        self._open[host, task.id] = (task, now)
        return []

    def result(self, result: Result) -> list[Event]:
        """A host is done with a task."""
        _unused, begin = self._open.pop((result.host, result.task.id), (result.task, result.time))
        if result.status == "skipped":
            return []
        found: list[Event] = []
        if result.task.step:
            found += self._step_result(result, begin)
        if result.status in ("failed", "unreachable"):
            found += [] if result.ignored else [*self._step_ended(), self._failed(result)]
        elif result.task.action in DEBUG:
            self._output.append((result.host, tuple(_debug_lines(result.data))))
        elif result.task.action.startswith(OWN) and not result.task.step:
            found += self._answered(result)
        if result.status == "ok" and result.data.get("changed") and result.task.role != "release":
            found.append(
                events.Changed(
                    **self._now(result.time),
                    host=result.host,
                    task=result.task.title,
                    diff=result.diff,
                    check=result.check,
                )
            )
        return self._noticed(found, result.time)

    def waiting(self, now: float) -> list[Event]:
        """What hosts have not answered, when nothing was to be seen for long enough."""
        if not self._open or now - self._seen < self._patience:
            return []
        self._seen, self._patience = now, LATER
        task, begin = min(self._open.values(), key=lambda item: item[1])
        hosts = sorted(host for (host, identity) in self._open if identity == task.id)
        return [
            events.Waiting(
                **self._now(now), step=task.step, task=task.title, hosts=tuple(hosts), seconds=max(0.0, now - begin)
            )
        ]

    def ended(self, hosts: Iterable[str], now: float, check: bool) -> list[Event]:
        """The playbook is over."""
        return [
            *self._told(now),
            *self._step_ended(),
            events.RunEnded(**self._now(now), hosts=tuple(hosts), seconds=now - self._begin, check=check),
        ]

    def _now(self, time: float) -> dict[str, Any]:
        return {"time": time, "run": self._run}

    def _noticed(self, found: list[Event], now: float) -> list[Event]:
        """Something was to be seen, so there is no need for a sign of life for a while."""
        if found:
            self._seen, self._patience = now, FIRST
        return found

    def _step_result(self, result: Result, begin: float) -> Iterator[Event]:
        # A step has begun when a host has done something for it: one that every host skips is none.
        if not self._step or self._step.name != result.task.step:
            yield from self._step_ended()
            self._step = _Step(result.task.step, begin)
            yield events.StepStarted(**self._now(begin), step=result.task.step)
        step = self._step
        step.end = result.time
        host = result.on or result.host
        step.hosts[host] = {**step.hosts.get(host, {}), **result.data}
        if result.status != "ok" and host not in step.failed:
            step.failed.append(host)

    def _step_ended(self) -> Iterator[Event]:
        step, self._step = self._step, None
        if step:
            yield events.StepEnded(
                **self._now(step.end),
                step=step.name,
                seconds=max(0.0, step.end - step.begin),
                hosts=tuple(sorted(step.hosts)),
                failed=tuple(sorted(step.failed)),
                summary=tuple(_summary(step.hosts.values())),
            )

    def _answered(self, result: Result) -> Iterator[Event]:
        """What a plugin of the collection found out."""
        data = result.data
        if isinstance(data.get("run"), Mapping) and isinstance(data.get("contract"), Mapping):
            self._run = events.Run(str(data["run"]["id"]), str(data["run"]["action"]), str(data["contract"]["app"]))
            yield events.RunStarted(**self._now(result.time))
        if isinstance(data.get("plan"), Mapping):
            yield from self._step_ended()
            self._status = str(data["plan"].get("status", ""))
            self._run = replace(self._run, release=str((data["plan"].get("manifest") or {}).get("id", "")))
            yield events.Planned(**self._now(result.time), lines=tuple(data["plan"].get("lines", ())))
        elif "notes" in data and "lines" in data:
            yield from self._step_ended()
            done = self._status in ("change", "repair") and not result.check
            kind = PLANNED_ACTIONS.get(self._run.action, events.Reported) if done else events.Reported
            yield kind(**self._now(result.time), lines=tuple(data["lines"]), notes=tuple(data["notes"]))
        elif data.get("lines"):
            yield events.Told(**self._now(result.time), lines=tuple(map(str, data["lines"])))

    def _told(self, now: float) -> Iterator[Event]:
        """What debug tasks show. One host's stands alone; several hosts' come under their names, equal ones together."""
        output, self._output = self._output, []
        names: dict[tuple[str, ...], list[str]] = {}
        for host, lines in output:
            names.setdefault(lines, []).append(host)
        alone = len({host for host, _unused in output}) < 2 or len(names) == 1
        for lines, hosts in names.items():
            head = () if alone else (f"{', '.join(dict.fromkeys(hosts))}:",)
            yield events.Told(**self._now(now), lines=(*head, *lines), debug=True)

    def _failed(self, result: Result) -> Event:
        data, task = result.data, result.task
        return events.Failed(
            **self._now(result.time),
            host=result.host,
            task=task.title,
            where=task.where,
            message=_message(data),
            worded=task.action.startswith(OWN) or task.action in WORDED,
            shared=task.run_once,
            unreachable=result.status == "unreachable",
        )


def _message(data: Mapping[str, Any]) -> str:
    """What is wrong, and below that what a program printed."""
    items = [item for item in data.get("results") or () if isinstance(item, Mapping) and item.get("failed")]
    if items:
        return _message(items[0])
    said = str(data.get("msg") or data.get("censored") or "failed").strip()
    while True:
        bare = said
        for prefix in PREFIXES:
            bare = bare.removeprefix(prefix)
        if bare == said:
            break
        said = bare
    # As ansible-core 2.19 and 2.21 word it.
    if "rc" in data and "non-zero return code" in said:
        said = f"exit code {data['rc']}"
    printed = [str(data.get(name) or "").strip() for name in ("module_stderr", "stderr")]
    text = next((item for item in printed if item), str(data.get("stdout") or "").strip())
    if isinstance(data.get("output"), list):
        return "\n".join([said, *map(str, data["output"])])
    if not text or text in said:
        return said
    return f"{said}\n{text}" if "\n" in text else f"{said}: {text}"


def _debug_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """The text of a debug task."""
    for item in data.get("results") or [data]:
        if item.get("skipped"):
            continue
        shown = item["msg"] if "msg" in item else _variable(item)
        for line in shown if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown]:
            yield from str(line).splitlines() or [""]


def _variable(item: Mapping[str, Any]) -> str:
    names = [name for name in item if not name.startswith("_") and name not in ("changed", "failed", "item")]
    return "\n".join(f"{name}: {item[name]}" for name in names)


def _summary(answers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What a step did, where its hosts say more than that they did it."""
    answers = list(answers)
    for key, one, many in (
        ("applied", "migration applied", "migrations applied"),
        ("reverted", "migration reverted", "migrations reverted"),
        ("pulled", "image pulled", "images pulled"),
    ):
        # Every app host pulls the same images.
        found = {str(name) for answer in answers if isinstance(answer.get(key), list) for name in answer[key]}
        if found:
            yield f"{len(found)} {one if len(found) == 1 else many}"
