# SPDX-License-Identifier: Apache-2.0
"""A step that failed because another run took the app says so, and not what that did to its containers."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard

GONE = RuntimeError("no such container")


@pytest.fixture
def run(tmp_path: Path) -> Guard:
    """A deploy that has the app."""
    guard = Guard("shop", "a" * 12, 1, str(tmp_path))
    guard.fence(action="deploy", who="ann@desk", begun="2026-11-23T10:00:00Z", ttl=60, preempt=False)
    return guard


def test_a_failure_is_the_runs_own_while_it_has_the_app(run: Guard) -> None:
    assert run.cause(GONE) == "no such container"


def test_a_failure_after_the_app_was_taken_is_that(run: Guard, tmp_path: Path) -> None:
    other = Guard("shop", "b" * 12, 2, str(tmp_path))
    other.fence(action="rollback", who="bob@desk", begun="2026-11-23T10:00:09Z", ttl=60, preempt=True)
    said = run.cause(GONE)
    assert "run aaaaaaaaaaaa does not own app shop on this host; the owner is rollback by bob@desk" in said
