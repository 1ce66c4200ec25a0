# SPDX-License-Identifier: Apache-2.0
"""A change of who gets in has its way back before it is made, and keeps it until it is confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.sluice.stack.plugins.action import host_access as action
from ansible_collections.sluice.stack.plugins.module_utils import access, host_files
from ansible_collections.sluice.stack.plugins.module_utils.host_files import Change, Desired, Found

RULES = "table inet sluice {\n}\n"


@pytest.mark.parametrize(
    ("loaded", "kept", "found"),
    [
        (RULES, RULES, []),
        ("", "", []),
        ("", RULES, ["table inet sluice: not loaded"]),
        (RULES + "more", RULES, ["table inet sluice: differs from what was loaded"]),
        (RULES, "", ["table inet sluice: differs from what was loaded"]),
    ],
)
def test_rules_that_somebody_changed_are_a_difference(loaded: str, kept: str, found: list[str]) -> None:
    assert access.drift(loaded, kept) == found


def test_users_are_created_in_their_order_and_none_is_removed() -> None:
    assert access.missing_users(["jane", "root", "adam"], ["root", "old"]) == ["jane", "adam"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host's folder; what would be run is recorded, with whether the change was pending by then."""
    program = tmp_path / "access"
    program.touch()
    monkeypatch.setattr(access, "FOLDER", str(tmp_path / "state"))
    monkeypatch.setattr(access, "PROGRAM", str(program))
    commands: list[tuple[str, bool]] = []
    answers: dict[str, str] = {}

    def run(*command: str) -> str:
        words = " ".join(Path(word).name for word in command)
        commands.append((words, bool(access.pending())))
        if words in answers:
            raise access.AccessError(answers[words])
        return ""

    monkeypatch.setattr(access, "run", run)
    monkeypatch.setattr(host_files, "own", lambda desired: None)
    monkeypatch.setattr(
        host_files, "put", lambda change: Path(change.desired.path).write_text(change.content, encoding="utf-8")
    )
    return SimpleNamespace(folder=tmp_path / "state", commands=commands, answers=answers, etc=tmp_path)


def change(path: Path, content: str) -> Change:
    found = Found("file", "root", "root", 0o644, path.read_text()) if path.exists() else Found("absent")
    return Change(Desired(str(path), "file", content=content), found, ["content"], content)


def test_the_way_back_is_there_before_the_change(host: SimpleNamespace) -> None:
    old, new = host.etc / "old", host.etc / "new"
    old.write_text("before")
    access.make(
        [],
        [change(old, "after"), change(new, "after")],
        "t1",
    )
    assert [command for command, _unused in host.commands] == [
        "systemctl enable --quiet sluice-access-undo.service",
        "systemctl restart sluice-access-undo.timer",
        "access apply",
    ]
    assert (host.folder / f"before{old}").read_text() == "before"
    assert not (host.folder / f"before{new}").exists()
    assert (host.folder / "paths").read_text() == f"{old}\n{new}\n"
    assert access.pending() == "t1" and old.read_text() == "after"


def test_a_confirmed_change_stays_and_only_its_own_run_confirms_it(host: SimpleNamespace) -> None:
    access.make([], [change(host.etc / "new", "after")], "t1")
    assert not access.confirm("t2") and access.pending() == "t1"
    assert access.confirm("t1") and not access.pending()
    assert ("systemctl stop sluice-access-undo.timer", False) in host.commands
    assert not access.confirm("t1"), "once"


def test_one_that_fails_is_undone_at_once(host: SimpleNamespace) -> None:
    host.answers["access apply"] = "sshd: bad option"
    with pytest.raises(access.AccessError, match="bad option"):
        access.make([], [change(host.etc / "new", "after")], "t1")
    assert host.commands[-1] == ("access undo", True)


def test_without_its_program_nothing_is_changed(host: SimpleNamespace) -> None:
    Path(access.PROGRAM).unlink()
    with pytest.raises(access.AccessError, match="the role baseline installs it"):
        access.make([], [change(host.etc / "new", "after")], "t1")
    assert not (host.etc / "new").exists() and not access.pending()


# -- the controller's part


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the action against a host that answers as a function of time and state, or is unreachable."""
    clock = Clock()
    monkeypatch.setattr(action, "time", clock)

    def run(answer: Callable[[float, str], dict[str, Any] | None], check: bool = False) -> dict[str, Any]:
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args={"seconds": 60}, check_mode=check)
        resets: list[float] = []
        plugin._connection = SimpleNamespace(reset=lambda: resets.append(clock.now))

        def on_host(_program: Any, args: dict[str, Any], _variables: Any) -> dict[str, Any]:
            clock.now += 2
            found = answer(clock.now, args["state"])
            if found is None:
                raise AnsibleConnectionFailure("Connection timed out")
            return found

        monkeypatch.setattr(plugin, "on_host", on_host)
        monkeypatch.setattr(
            action.HostFilesModule,
            "run",
            lambda self, tmp, variables: {"changed": True, "changes": ["/etc/nftables.d/sluice.nft: content"]},
        )
        return {**plugin.run(None, {"inventory_hostname": "app1"}), "resets": resets, "seconds": clock.now}

    return run


def test_a_change_is_confirmed_over_a_new_connection(controller: Callable[..., dict[str, Any]]) -> None:
    result = controller(lambda now, state: {"confirmed": state == "confirmed", "pending": False})
    assert not result.get("failed") and result["resets"] == [0.0]


def test_check_mode_confirms_nothing(controller: Callable[..., dict[str, Any]]) -> None:
    assert controller(lambda now, state: None, check=True)["resets"] == []


def test_a_host_that_cannot_be_reached_is_waited_for_until_it_has_undone_it(
    controller: Callable[..., dict[str, Any]],
) -> None:
    result = controller(lambda now, state: {"confirmed": False, "pending": False} if now > 60 else None)
    assert result["failed"] and result["msg"] == (
        "app1: the change of /etc/nftables.d/sluice.nft shut the controller out, so the host undid it. "
        "A new connection failed with: Connection timed out"
    )


def test_one_that_does_not_come_back_is_said_to_be_gone(controller: Callable[..., dict[str, Any]]) -> None:
    result = controller(lambda now, state: None)
    assert "the host should have undone it after 60 s, but does not answer" in result["msg"]
    assert result["seconds"] < 60 + action.AFTER_SECONDS + 5


def test_a_user_who_cannot_become_root_is_shut_out_too(controller: Callable[..., dict[str, Any]]) -> None:
    def answer(now: float, state: str) -> dict[str, Any]:
        return {"pending": False} if now > 60 else {"failed": True, "msg": "sudo: a password is required"}

    assert controller(answer)["msg"].endswith("A new connection failed with: sudo: a password is required")
