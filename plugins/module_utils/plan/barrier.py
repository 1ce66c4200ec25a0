# SPDX-License-Identifier: Apache-2.0
"""The barrier: a step is done when every host it needs reports success; a missing result counts as a failure.

Ansible continues with the remaining hosts when one fails or is unreachable. A fleet that moves together needs the
opposite, so the controller collects each step's results, and every later step depends on the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Verdict = dict[str, Any]
# A step and a host → the host's result of the step; None when there is none.
Results = Callable[[str, str], "Mapping[str, Any] | None"]
# Steps whose failure leaves a good state behind: the release is live, and the next run fixes the rest.
NOTED = frozenset(("retire",))


def start(now: float) -> Verdict:
    """Return the verdict before the first step. ``now`` is the controller's clock in seconds."""
    return {"ok": True, "message": "", "failed": {}, "unreachable": [], "notes": [], "times": [["begin", now]]}


def judge(
    step: str,
    answers: Mapping[str, Mapping[str, Any] | None],
    before: Verdict,
    *,
    unreachable_allowed: Collection[str] = (),
    noted: Collection[str] = NOTED,
) -> Verdict:
    """Return the verdict after ``step``.

    ``answers`` maps each host to its result, None when there is none; the step ends when the last of them ``ended``, in seconds of
    the controller's clock. Hosts in ``unreachable_allowed`` may be unreachable, and are noted; reachable hosts must succeed.
    Failures in a step of ``noted``, and an answer's own ``notes``, are only noted. A failed verdict is returned unchanged.
    """
    if not before["ok"]:
        return before
    failed = {host: reason for host, answer in sorted(answers.items()) if (reason := _fault(answer))}
    unreachable = [host for host in failed if host in unreachable_allowed and _is_unreachable(answers[host])]
    for host in unreachable:
        del failed[host]
    ended = [answer["ended"] for answer in answers.values() if answer and "ended" in answer]
    reported = [
        f"{step}: {host}: {note}"
        for host, answer in sorted(answers.items())
        for note in (answer or {}).get("notes", [])
    ]
    after = {
        **before,
        "notes": [*before["notes"], *reported],
        "unreachable": sorted({*before["unreachable"], *unreachable}),
        "times": [*before["times"], [step, max(ended)]] if ended else before["times"],
    }
    if not failed:
        return after
    message = _message(failed)
    if step in noted:
        return {**after, "notes": [*after["notes"], f"{step}: {message}"]}
    return {**after, "ok": False, "message": message, "step": step, "failed": failed}


def verdict(
    before: Verdict,
    results: Results,
    targets: Mapping[str, Sequence[str]],
    *,
    until: str = "",
    unreachable_allowed: Collection[str] = (),
    through: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict over the steps of ``targets`` in their order, up to but without the step ``until``.

    ``through`` maps a host that is not in the play to the host that its step was delegated from.
    """
    needless: set[str] = set()
    # A failure that a later step depends on is not only noted.
    noted = () if "revert" in targets else NOTED
    for step, hosts in targets.items():
        if step == until or not before["ok"]:
            break
        if step in needless:
            continue
        answers = {host: results(step, (through or {}).get(host, host)) for host in hosts}
        # A step of several rounds has judged them already, and may have found that a later step has nothing to do.
        concluded = next((answer for answer in answers.values() if answer and "verdict" in answer), None)
        if concluded:
            before = concluded["verdict"]
            needless |= {*concluded.get("needless", ())}
        else:
            before = judge(step, answers, before, unreachable_allowed=unreachable_allowed, noted=noted)
    return before


def _message(failed: Mapping[str, str]) -> str:
    """Format the faults: hosts grouped by fault on the first line, details such as a container's log below it."""
    hosts: dict[str, list[str]] = {}
    details: list[str] = []
    for host, reason in failed.items():
        head, *tail = reason.rstrip().split("\n")
        head = head.rstrip(":").removesuffix("; last log lines") if tail else head
        hosts.setdefault(head, []).append(host)
        details += [f"  {host}:", *tail] if tail else []
    return "\n".join(["; ".join(f"{', '.join(names)}: {head}" for head, names in hosts.items()), *details])


def _is_unreachable(answer: Mapping[str, Any] | None) -> bool:
    return answer is None or bool(answer.get("unreachable"))


def _fault(answer: Mapping[str, Any] | None) -> str | None:
    """Return why a result counts as a failure; None when it does not."""
    if answer is None:
        return "no result"
    if answer.get("unreachable"):
        reason = str(answer.get("msg", "")).removeprefix("Task failed: ").strip()
        return f"cannot be reached ({reason})"
    if answer.get("failed"):
        return str(answer.get("msg", "failed")).removeprefix("Task failed: ")
    if answer.get("skipped"):
        return "was skipped"
    return None
