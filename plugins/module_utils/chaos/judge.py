# SPDX-License-Identifier: Apache-2.0
"""What was seen of an experiment, and whether the promise was kept. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Experiment, Promise

KEPT, BROKEN, UNKNOWN, SKIPPED = "kept", "broken", "unknown", "skipped"
STATES = (BROKEN, UNKNOWN, SKIPPED, KEPT)


# When an experiment is undone before its time.
RECENT_SECONDS, STOP_PERCENT = 3.0, 50.0


class Sample(NamedTuple):
    """One request. ``sent`` and ``took`` in seconds, ``status`` 0 without a whole answer; ``error`` says why."""

    sent: float
    took: float
    probe: int
    status: int
    error: str = ""

    @property
    def ended(self) -> float:
        """When its answer, or the lack of it, was known."""
        return self.sent + self.took


class Times(NamedTuple):
    """Of an experiment, by the clock of the samples: the action begins, the fault is over, the watching ends."""

    fault: float
    mended: float
    end: float


@dataclass(frozen=True)
class Seen:
    """The result of one experiment. ``since`` and ``failed`` count from the action on; ``late`` are those after the promised recovery.

    ``seconds`` is a row for each second of watching: answered, failed, and whether the fault was there.
    """

    name: str
    host: str
    state: str
    promise: Promise
    note: str = ""
    why: str = ""
    requests: int = 0
    since: int = 0
    failed: int = 0
    late: int = 0
    recovered: float = 0.0  # seconds from the end of the fault to the last failed request
    before_p99: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0
    errors: tuple[tuple[str, int], ...] = ()
    seconds: tuple[tuple[int, int, bool], ...] = field(default=())

    def as_data(self) -> dict[str, Any]:
        """For the report's file."""
        return {**asdict(self), "promise": self.promise._asdict(), "promised": self.promise.words()}


def expected(samples: Iterable[Sample]) -> dict[int, int]:
    """The status that each probe is answered with; a probe without a steady one, or whose answers are errors, has none.

    A page behind a password or a redirect is as good as another: what matters is that the answer stays what it was.
    """
    found: dict[int, set[int]] = {}
    for one in samples:
        found.setdefault(one.probe, set()).add(one.status)
    return {
        probe: next(iter(codes))
        for probe, codes in found.items()
        if len(codes) == 1 and 0 < next(iter(codes)) < 500 and codes != {429}
    }


def unsteady(samples: Sequence[Sample], probes: Sequence[Mapping[str, Any]]) -> str:
    """Return why the app is not in a steady state before the action; empty when it is."""
    good, named = expected(samples), []
    for number, probe in enumerate(probes):
        if number in good:
            continue
        seen = Counter(one.error or f"status {one.status}" for one in samples if one.probe == number)
        named.append(
            f"{probe['name']}: {', '.join(f'{what} ({count})' for what, count in seen.most_common(3)) or 'no answer yet'}"
        )
    return "; ".join(named)


def failed(sample: Sample, good: Mapping[int, int]) -> bool:
    """Whether a request was not answered as before."""
    return sample.status != good.get(sample.probe)


def judge(
    experiment: Experiment, host: str, promise: Promise, samples: Sequence[Sample], times: Times, note: str = ""
) -> Seen:
    """Judge the samples of a whole experiment. A request counts from the action on when its answer was not there by then."""
    before = [one for one in samples if one.ended < times.fault]
    after = [one for one in samples if one.ended >= times.fault]
    good = expected(before)
    bad = [one for one in after if failed(one, good)]
    window = [one for one in after if one.sent <= times.mended + promise.recovers]
    lost = [one for one in bad if one.sent <= times.mended + promise.recovers]
    late = len(bad) - len(lost)
    share = 100 * len(lost) / max(len(window), 1)
    why = []
    if share > promise.failed:
        why.append(f"{len(lost)} of {len(window)} requests failed")
    if late:
        why.append(f"{late} failed more than {promise.recovers:g} s after its end")
    if not after:
        why.append("no request was seen")
    errors = Counter(one.error or f"status {one.status}" for one in bad)
    return Seen(
        experiment.name,
        host,
        BROKEN if why else KEPT,
        promise,
        note,
        "; ".join(why),
        requests=len(samples),
        since=len(after),
        failed=len(bad),
        late=late,
        recovered=round(max([one.sent - times.mended for one in bad] + [0.0]), 1),
        before_p99=p99(before),
        p99=p99([one for one in after if one.status]),
        slowest=round(max([one.took for one in samples if one.status] + [0.0]), 3),
        errors=tuple(errors.most_common(5)),
        seconds=by_second(samples, good, times),
    )


def by_second(samples: Sequence[Sample], good: Mapping[int, int], times: Times) -> tuple[tuple[int, int, bool], ...]:
    """Count by the second in which requests were sent."""
    if not samples:
        return ()
    begin = min(one.sent for one in samples)
    length = int(max(one.sent for one in samples) - begin) + 1
    rows = [[0, 0] for _unused in range(length)]
    for one in samples:
        rows[int(one.sent - begin)][failed(one, good)] += 1
    return tuple(
        (answered, lost, begin + second + 1 > times.fault and begin + second < times.mended)
        for second, (answered, lost) in enumerate(rows)
    )


def calm(samples: Sequence[Sample], good: Mapping[int, int], since: float, now: float, seconds: float) -> bool:
    """Whether, for so long, every request was answered as before; those that wait for their answer do not count yet."""
    recent = [one for one in samples if one.ended >= max(since, now - seconds)]
    return now - since >= seconds and bool(recent) and not any(failed(one, good) for one in recent)


def out_of_hand(samples: Sequence[Sample], good: Mapping[int, int], promise: Promise, since: float, now: float) -> bool:
    """Whether so much more fails than was promised that it is undone at once: half of what ended in the last seconds."""
    recent = [one for one in samples if one.ended >= max(since, now - RECENT_SECONDS)]
    share = 100 * sum(failed(one, good) for one in recent) / max(len(recent), 1)
    return now - since >= RECENT_SECONDS and share >= STOP_PERCENT > promise.failed


def p99(samples: Sequence[Sample]) -> float:
    """The time that 99 of 100 answers took at most, in seconds."""
    took = sorted(one.took for one in samples)
    return round(took[int(0.99 * (len(took) - 1))], 3) if took else 0.0


def skipped(experiment: Experiment, host: str, promise: Promise, why: str) -> Seen:
    """An experiment that cannot be done there."""
    return Seen(experiment.name, host, SKIPPED, promise, why=why)


def unknown(experiment: Experiment, host: str, promise: Promise, why: str) -> Seen:
    """An experiment that says nothing: it was not begun, or could not be watched."""
    return Seen(experiment.name, host, UNKNOWN, promise, why=why)
