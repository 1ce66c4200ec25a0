# SPDX-License-Identifier: Apache-2.0
"""Run a function on several items in threads; importing ``concurrent.futures`` takes longer than most of the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def together(work: Callable[[Item], Any], items: Iterable[Item]) -> list[Any]:
    """Run ``work`` on every item, each in a thread; returns results in the items' order. Waits for all; then raises the first error."""
    listed = list(items)
    results: list[Any] = [None] * len(listed)
    errors: list[tuple[int, BaseException]] = []

    def run(index: int) -> None:
        try:
            results[index] = work(listed[index])
        except BaseException as error:
            errors.append((index, error))

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(1, len(listed))]
    for thread in threads:
        thread.start()
    if listed:
        run(0)
    for thread in threads:
        thread.join()
    if errors:
        raise min(errors, key=lambda found: found[0])[1]
    return results


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return the result of ``work``, or raise TimeoutError after ``seconds``; a hung call (a name server, a peer) stays in its thread."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"timed out after {seconds:g} s")
    return results[0]
