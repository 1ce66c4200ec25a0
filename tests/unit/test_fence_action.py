# SPDX-License-Identifier: Apache-2.0
"""The controller's half of a fence: it tries again while another run has the app, and keeps the lease alive once it is this run's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.action import release_fence
from ansible_collections.sluice.stack.plugins.plugin_utils import heartbeat
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule

HELD: dict[str, Any] = {"failed": True, "held": True, "msg": "app shop is being changed"}
FENCED: dict[str, Any] = {"observation": {}}


class Controller:
    """Lives for so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def ended(self, seconds: float) -> bool:
        self.looks -= 1
        return self.looks < 0


class Fence:
    """A fence whose host answers as told, and what became of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], looks: int = 100) -> None:
        self.order: list[Any] = []
        self.answers = answers
        monkeypatch.setattr(HostModule, "run", self._run)
        monkeypatch.setattr(heartbeat, "controller", lambda: Controller(looks))
        monkeypatch.setattr(heartbeat, "begin", self._begin)

    def _run(self, *_: Any) -> dict[str, Any]:
        self.order.append("fence")
        return self.answers.pop(0)

    def _begin(self, _: Any, tell: Any, interval: float) -> Any:
        self.order.append(interval)
        return self.order.append

    def run(self, check_mode: bool = False, **args: Any) -> dict[str, Any]:
        action = object.__new__(release_fence.ActionModule)
        args = {"app": "shop", "run": {"id": "a"}, "lease_seconds": 15, **args}
        action._task = SimpleNamespace(args=args, check_mode=check_mode)  # type: ignore[assignment]
        return action.run()


def test_a_host_that_is_free_is_fenced_once_with_the_heartbeat_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = Fence(monkeypatch, [FENCED])
    assert fence.run() == FENCED
    assert fence.order == [5, "fence", True]


def test_it_is_tried_again_as_long_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = Fence(monkeypatch, [HELD, HELD, FENCED])
    assert fence.run(wait_seconds="600") == FENCED
    assert fence.order == [5, "fence", "fence", "fence", True]


def test_without_a_time_to_wait_it_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = Fence(monkeypatch, [HELD, FENCED])
    assert fence.run(wait_seconds=0) == HELD
    assert fence.order == [5, "fence", False]


def test_another_fault_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = {"failed": True, "held": False, "msg": "no engine"}
    fence = Fence(monkeypatch, [fault, FENCED])
    assert fence.run(wait_seconds=600) == fault
    assert fence.order[-1] is False


def test_a_controller_that_dies_while_it_waits_takes_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = Fence(monkeypatch, [HELD, HELD, FENCED], looks=1)
    assert fence.run(wait_seconds=600) == HELD
    assert fence.order == [5, "fence", "fence", False]


@pytest.mark.parametrize(("check", "state"), [(True, "fenced"), (False, "observed")])
def test_who_only_looks_has_nothing_to_keep(monkeypatch: pytest.MonkeyPatch, check: bool, state: str) -> None:
    fence = Fence(monkeypatch, [FENCED])
    assert fence.run(check_mode=check, state=state) == FENCED
    assert fence.order == ["fence"]
