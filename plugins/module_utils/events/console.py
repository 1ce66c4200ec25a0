# SPDX-License-Identifier: Apache-2.0
"""The console output of a run: events in, lines out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event, Failed
from ansible_collections.sluice.stack.plugins.module_utils.terminal import harmless

# Labels of steps whose task name is not clear.
LABELS = {"failure": "clean up", "failure_revert": "clean up"}
# Steps of commands whose output is their result.
QUIET = ("observe", "logs", "run")
# With more hosts than this, show their number instead of their names.
MANY = 5


@dataclass(frozen=True)
class Line:
    """A line of output. ``tone`` is plan, good, bad, changed, warning or empty; progress lines and errors go to ``stderr``."""

    text: str
    tone: str = ""
    stderr: bool = False


class Console:
    """Formats events for the console. With ``verbose`` Ansible's own output is shown too, and this omits what it repeats."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._held: list[Line] = []
        self._failures: list[Failed] = []
        self._changes = 0
        self._printed = False

    def lines(self, event: Event) -> list[Line]:
        """Return the lines of an event, possibly none. They may quote what an app printed."""
        return [replace(line, text=harmless(line.text)) for line in self._shown(event)]

    def _shown(self, event: Event) -> list[Line]:
        if isinstance(event, events.RunEnded):
            return [*self._release(), *self._ending(event)]
        if isinstance(event, Failed):
            self._failures.append(event)
        if self._verbose and isinstance(event, (events.StepEnded, events.Waiting, events.Changed)):
            return []
        if self._verbose and isinstance(event, events.Message) and event.debug:
            return []
        if isinstance(event, events.StepEnded):
            if event.step in QUIET:
                return []
            self._printed = True
            self._held.append(_step(event))
            # Print the plan first: it is made from the result of this step.
            return [] if event.step == "fence" else self._release()
        shown = list(self._lines(event))
        if isinstance(event, events.Planned):
            return [*shown, *self._release()]
        # A progress line may be out of order.
        return shown if not shown or isinstance(event, events.Waiting) else [*self._release(), *shown]

    def _release(self) -> list[Line]:
        held, self._held = self._held, []
        return held

    def _lines(self, event: Event) -> Iterator[Line]:
        if isinstance(event, events.Planned):
            self._printed = self._printed or bool(event.lines)
            yield from (Line(line, "plan") for line in event.lines)
        elif isinstance(event, events.Message):
            self._printed = True
            yield from map(Line, event.lines)
        elif isinstance(event, events.Reported):
            self._printed = True
            yield from (Line(f"Warning: {note}", "warning") for note in event.notes)
            yield from (Line(line, "good") for line in event.lines)
        elif isinstance(event, events.Changed):
            self._changes += 1
            yield Line(_task("would change" if event.check else "changed", event.host, event.task), "changed")
            yield from (Line(f"    {line}") for line in event.diff.splitlines() if line.strip())
        elif isinstance(event, events.Waiting):
            yield _waiting(event)
        elif isinstance(event, Failed) and not event.worded and not self._verbose:
            yield Line(_task("unreachable" if event.unreachable else "failed", event.host, event.task), "bad")

    def _ending(self, event: events.RunEnded) -> Iterator[Line]:
        """Format the count of changes when no other line has the result, and the failures, last and once."""
        fine = not self._failures and not self._printed
        if event.hosts and (fine or self._changes) and not self._verbose:
            yield Line(_count(event, self._changes, {failed.host for failed in self._failures}))
        yield from _errors(self._failures, event.hosts)


def _step(event: events.StepEnded) -> Line:
    failed = "failed" if event.failed == event.hosts else f"failed on {_names(event.failed)}" if event.failed else ""
    found = [*event.summary, *([failed] if failed else [])]
    text = f"{_label(event.step):<13} {_names(event.hosts):<24} {event.seconds:6.1f} s   {', '.join(found)}"
    return Line(text.rstrip(), "bad" if event.failed else "")


def _waiting(event: events.Waiting) -> Line:
    hosts = _names(event.hosts)
    if event.step:
        return Line(f"{_label(event.step):<13} … {event.seconds:.0f} s, still waiting for {hosts}", stderr=True)
    return Line(_task("running", hosts, event.task), stderr=True)


def _task(word: str, hosts: str, task: str) -> str:
    return f"{word:<13} {hosts:<8} {task}"


def _count(event: events.RunEnded, changes: int, failed: Iterable[str]) -> str:
    what = "no changes" if not changes else f"{changes} change{'s' if changes > 1 else ''}"
    count = len(event.hosts)
    parts = [
        f"{count} host{'s' if count > 1 else ''}",
        f"{what} to make" if event.check and changes else what,
        *([f"{len(set(failed))} failed"] if failed else []),
        f"{event.seconds:.1f} s",
    ]
    return ", ".join(parts) + (" (check mode: nothing was changed)" if event.check else "")


def _errors(failures: Sequence[Failed], hosts: Sequence[str]) -> Iterator[Line]:
    """Format details first, then a line for each failure; hosts that failed alike share one."""
    groups: dict[tuple[str, str], list[Failed]] = {}
    for failure in failures:
        groups.setdefault((failure.message, "" if failure.worded else failure.task), []).append(failure)
    heads = []
    for (message, _unused), alike in groups.items():
        first, *more = message.split("\n")
        heads.append(_error(first, alike, hosts))
        yield from (Line(line, "bad", stderr=True) for line in more)
    yield from (Line(f"Error: {head}", "bad", stderr=True) for head in dict.fromkeys(heads))


def _error(first: str, alike: Sequence[Failed], hosts: Sequence[str]) -> str:
    failure, names = alike[0], sorted({one.host for one in alike})
    if failure.unreachable:
        return f"{', '.join(names)}: unreachable: {first}"
    if not failure.worded:
        return f"{', '.join(names)}: {failure.task}: {first} ({failure.where})"
    alone = failure.shared or "localhost" in names or set(names) >= set(hosts)
    return first if alone or first.startswith(names[0]) else f"{', '.join(names)}: {first}"


def _label(step: str) -> str:
    return LABELS.get(step, step.replace("_", " "))


def _names(hosts: Sequence[str]) -> str:
    return " ".join(hosts) if len(hosts) <= MANY else f"{len(hosts)} hosts"
