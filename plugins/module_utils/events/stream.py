# SPDX-License-Identifier: Apache-2.0
"""Ansible's tasks and results in, events out. Independent of step names: a step is what the role ``release`` runs on hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event

OWN = "sluice.stack."
# Modules whose failure message is complete.
WORDED = ("ansible.builtin.assert", "ansible.builtin.fail", "assert", "fail")
DEBUG = ("ansible.builtin.debug", "debug")
# Print a progress line after so many seconds without output, then repeatedly.
FIRST, LATER = 10.0, 60.0
# Prefixes that ansible-core adds to the message of a failed action plugin.
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
        """The name with its role."""
        return f"{self.role}: {self.name}" if self.role else self.name

    @property
    def step(self) -> str:
        """The release step of this task; empty for other tasks. Names are ``Step | Verb object``."""
        hosts = self.role == "release" and self.action.startswith(OWN) and not self.run_once
        return self.name.partition(" | ")[0].lower().replace(" ", "_") if hosts else ""


@dataclass(frozen=True)
class Result:
    """The result of one host; ``on`` is the host it was delegated to.

    ``ignored``: the playbook ignores or rescues a failure.
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
    """The state of one run that events are derived from. Times are seconds of the controller's clock."""

    def __init__(self, now: float) -> None:
        self._begin = self._seen = now
        self._patience = FIRST
        self._run = events.Run()
        self._status = ""
        self._step: _Step | None = None
        self._open: dict[tuple[str, str], tuple[Task, float]] = {}
        self._output: list[tuple[str, tuple[str, ...]]] = []
        self._percent = 0  # the canary's share

    def task_started(self, task: Task, now: float) -> list[Event]:
        """A task starts on its hosts, so the previous one is done everywhere."""
        found = [*self._debug_output(now)]
        if self._step and self._step.name != task.step and task.step:
            found += self._step_ended()
        return self._noticed(found, now)

    def host_started(self, task: Task, host: str, now: float) -> list[Event]:
        """A host started a task."""
        self._open[host, task.id] = (task, now)
        return []

    def result(self, result: Result) -> list[Event]:
        """A host finished a task."""
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
        """Return the hosts that are still running, after long enough without output."""
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
        """The playbook has ended."""
        return [
            *self._debug_output(now),
            *self._step_ended(),
            events.RunEnded(**self._now(now), hosts=tuple(hosts), seconds=now - self._begin, check=check),
        ]

    def _now(self, time: float) -> dict[str, Any]:
        return {"time": time, "run": self._run}

    def _noticed(self, found: list[Event], now: float) -> list[Event]:
        """Note output, which postpones the next progress line."""
        if found:
            self._seen, self._patience = now, FIRST
        return found

    def _step_result(self, result: Result, begin: float) -> Iterator[Event]:
        # A step starts with the first result of a host: a step that every host skips does not count.
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
        shares = [one for one in result.data.get("served") or () if one.get("release") == self._run.release]
        self._percent = int(shares[0]["percent"]) if shares else self._percent

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
                migrations=tuple(_names(step.hosts.values(), "applied", "reverted")),
                parts=tuple((host, _parts(data)) for host, data in sorted(step.hosts.items()) if _parts(data)),
                built=tuple(dict.fromkeys(_built(step.hosts.values(), self._run.release))),
            )

    def _answered(self, result: Result) -> Iterator[Event]:
        """Derive events from the result of a plugin of the collection."""
        data = result.data
        if isinstance(data.get("run"), Mapping) and "id" in data["run"]:
            run, contract = data["run"], data.get("contract") or {}
            self._run = events.Run(
                str(run["id"]),
                str(run["action"]),
                str(contract.get("app") or data.get("subject") or ""),
                who=str(run.get("who") or ""),
                revision=str(run.get("revision") or ""),
                reason=str(run.get("reason") or ""),
                started=str(run.get("started") or ""),
            )
            yield events.RunStarted(**self._now(result.time))
        if isinstance(data.get("canary"), Mapping) and "old" in data["canary"].get("samples", {}):
            samples = data["canary"]["samples"]
            yield events.Compared(
                **self._now(result.time),
                percent=self._percent,
                decision=str(data["canary"]["decision"]),
                new=events.Sample(**samples["new"]),
                old=events.Sample(**samples["old"]),
            )
        if self._run.action == "status" and data.get("problems"):
            yield events.CertificatesLate(**self._now(result.time), lines=tuple(map(str, data["problems"])))
        if isinstance(data.get("plan"), Mapping):
            yield from self._step_ended()
            plan = data["plan"]
            manifest = plan.get("manifest") or {}
            self._status = str(plan.get("status", ""))
            self._run = replace(self._run, release=str(manifest.get("id", "")))
            yield events.Planned(
                **self._now(result.time),
                lines=tuple(plan.get("lines", ())),
                status=self._status,
                previous=str((plan.get("live") or {}).get("release", "")),
                images=tuple((name, str(one["image"])) for name, one in sorted(manifest.get("services", {}).items())),
                previous_images=tuple((plan.get("live_images") or {}).items()),
                changes=tuple(plan.get("changes") or ()),
            )
        elif "notes" in data and "lines" in data:
            yield from self._step_ended()
            done = self._status in ("change", "repair") and not result.check
            kind = PLANNED_ACTIONS.get(self._run.action, events.Reported) if done else events.Reported
            yield kind(**self._now(result.time), lines=tuple(data["lines"]), notes=tuple(data["notes"]))
        elif data.get("lines"):
            yield events.Message(**self._now(result.time), lines=tuple(map(str, data["lines"])))

    def _debug_output(self, now: float) -> Iterator[Event]:
        """Derive events from debug tasks. One host's output stands alone; that of several hosts is grouped under their names."""
        output, self._output = self._output, []
        names: dict[tuple[str, ...], list[str]] = {}
        for host, lines in output:
            names.setdefault(lines, []).append(host)
        alone = len({host for host, _unused in output}) < 2 or len(names) == 1
        for lines, hosts in names.items():
            head = () if alone else (f"{', '.join(dict.fromkeys(hosts))}:",)
            yield events.Message(**self._now(now), lines=(*head, *lines), debug=True)

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
    """Return the error, and below it a program's output."""
    items = [item for item in data.get("results") or () if isinstance(item, Mapping) and item.get("failed")]
    if items:
        return _message(items[0])
    head = str(data.get("msg") or data.get("censored") or "failed").strip()
    while True:
        bare = head
        for prefix in PREFIXES:
            bare = bare.removeprefix(prefix)
        if bare == head:
            break
        head = bare
    # The wording of ansible-core 2.19 and 2.21.
    if "rc" in data and "non-zero return code" in head:
        head = f"exit code {data['rc']}"
    printed = [str(data.get(name) or "").strip() for name in ("module_stderr", "stderr")]
    text = next((item for item in printed if item), str(data.get("stdout") or "").strip())
    if isinstance(data.get("output"), list):
        return "\n".join([head, *map(str, data["output"])])
    if not text or text in head:
        return head
    return f"{head}\n{text}" if "\n" in text else f"{head}: {text}"


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
    """Summarise what a step did, where its results have details."""
    answers = list(answers)
    for key, one, many in (
        ("applied", "migration applied", "migrations applied"),
        ("reverted", "migration reverted", "migrations reverted"),
        ("pulled", "image pulled", "images pulled"),
    ):
        found = _names(answers, key)
        if found:
            yield f"{len(found)} {one if len(found) == 1 else many}"
    watched = sum(answer["watched"] for answer in answers if isinstance(answer.get("watched"), int))
    if watched:
        yield f"{watched} requests watched"


def _names(answers: Iterable[Mapping[str, Any]], *keys: str) -> list[str]:
    """The names that results list under the keys, each once: every app host pulls the same images."""
    lists = [answer[key] for answer in answers for key in keys if isinstance(answer.get(key), list)]
    return list(dict.fromkeys(str(name) for names in lists for name in names))


def _parts(data: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    found = data.get("seconds")
    return tuple((str(part), float(seconds)) for part, seconds in found.items()) if isinstance(found, Mapping) else ()


def _built(answers: Iterable[Mapping[str, Any]], release: str) -> Iterator[events.Built]:
    """What the images of a release were built from, by its own step, or of all that hosts have, by their containers."""
    for answer in answers:
        built = answer.get("built")
        for service, one in built.items() if isinstance(built, Mapping) else ():
            yield events.Built(release, str(service), str(one.get("revision", "")), str(one.get("created", "")))
        for one in (answer.get("observation") or {}).get("containers") or ():
            yield events.Built(str(one["release"]), str(one["service"]), str(one.get("revision", "")))
