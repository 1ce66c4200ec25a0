# SPDX-License-Identifier: Apache-2.0
"""What each state of logins that take turns changes, whatever the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login, turns
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

FAMILY = login.postgres("shop")


def url(user: str, password: str = "new") -> str:
    return f"postgresql://{user}:{password}@db/shop"


class Server:
    """One that keeps passwords as they are."""

    def __init__(self, may: dict[str, bool], held: dict[str, str], in_use: dict[str, list[str]] | None = None) -> None:
        self.may, self.held, self.in_use = may, held, in_use or {}
        self.looks = 0

    def look(self) -> turns.Look:
        self.looks += 1
        # Whoever is connected leaves a moment later.
        return turns.Look(dict(self.may), dict(self.held), self.in_use if self.looks < 3 else {})

    def knows(self, name: str, url: str) -> bool:
        return self.held[name] == login.parts(url)[1]

    def prepare(self, name: str, url: str) -> None:
        self.may[name], self.held[name] = False, login.parts(url)[1]

    def enable(self, name: str) -> None:
        self.may[name] = True

    def revoke(self, names: Sequence[str]) -> int:
        for name in names:
            self.may[name], self.held[name] = False, ""
        return len(names)


def reach(server: Server, state: str, user: str, *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    params = {"state": state, "url": url(user), "expected": "", "wait_seconds": 60, **more}
    return turns.reach(server, FAMILY, params, check_mode=check_mode)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "POLL_SECONDS", 0)


def test_from_the_first_login_to_the_next() -> None:
    server = Server({"shop": True}, {"shop": "old"})
    seen = reach(server, "observed", "shop_a")
    assert not seen["changed"] and not seen["accepted"] and seen["logins"] == {"shop": True}
    made = reach(server, "prepared", "shop_a", expected=seen["seen"].get("shop_a", ""))
    assert made["changed"] and made["accepted"] and made["logins"] == {"shop": True, "shop_a": False}
    assert reach(server, "enabled", "shop_a")["logins"] == {"shop": True, "shop_a": True}
    assert not reach(server, "enabled", "shop_a")["changed"]
    ended = reach(server, "revoked", "shop_a")
    assert (ended["closed"], ended["logins"]) == (1, {"shop": False, "shop_a": True})
    again = reach(server, "revoked", "shop_a")
    assert (again["changed"], again["closed"]) == (False, 0)


def test_check_mode_changes_nothing() -> None:
    server = Server({"shop": True, "shop_a": True}, {"shop": "old", "shop_a": "new"})
    for state in ("prepared", "enabled", "revoked"):
        assert not reach(server, state, "shop_a", check_mode=True)["changed"]
    assert server.may == {"shop": True, "shop_a": True}


def test_another_run_is_noticed() -> None:
    server = Server({"shop": True, "shop_a": False}, {"shop": "old", "shop_a": "theirs"})
    with pytest.raises(RotationError, match="another rotation is using shop_a"):
        reach(server, "prepared", "shop_a", expected="what was there before")
    seen = server.look().marks["shop_a"]
    server.may["shop_a"] = True
    with pytest.raises(RotationError, match="another rotation is using shop_a"):
        reach(server, "prepared", "shop_a", expected=seen)


def test_the_last_login_is_not_revoked() -> None:
    server = Server({"shop": True, "shop_a": False}, {"shop": "old", "shop_a": "new"})
    with pytest.raises(RotationError, match="it would be the last one"):
        reach(server, "revoked", "shop_a")
    assert server.may["shop"]


def test_it_waits_for_those_that_end_and_for_no_other() -> None:
    used = {"shop": ["shop from 10.0.0.21: 1 connection"], "shop_a": ["shop_a from 10.0.0.21: 1 connection"]}
    server = Server({"shop": True, "shop_a": True}, {"shop": "old", "shop_a": "new"}, used)
    reach(server, "unused", "shop_a")
    assert server.looks == 3
    server.looks = 0
    with pytest.raises(RotationError, match=r"after 0 s, so it was not revoked: shop from 10\.0\.0\.21: 1 connection$"):
        reach(server, "unused", "shop_a", wait_seconds=0)


def test_no_password_is_told_or_shown() -> None:
    server = Server({"shop": True}, {"shop": "hunter2"})
    assert "hunter2" not in repr(server.look()) + repr(reach(server, "observed", "shop"))
