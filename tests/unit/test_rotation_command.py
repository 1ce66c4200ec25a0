# SPDX-License-Identifier: Apache-2.0
"""Keys that a command makes and ends: what its answers mean, and how far a rotation is."""

from __future__ import annotations

import json

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.rotation import command, decide, steps, text, turns
from ansible_collections.sluice.stack.plugins.module_utils.rotation.decide import Decision

from tests.unit.conftest import app_variables


def test_its_answers() -> None:
    valid, found = command.look('{"valid": true, "others": {"key-17": ["last used at 10:02"], "key-18": []}}')
    assert valid
    assert command.Keys().old(command.STORED, found.may) == ("key-17", "key-18")
    assert found.in_use == {"key-17": ["last used at 10:02"], "key-18": []}
    assert command.made("sk_new\n", "sk_old") == "sk_new"
    assert json.loads(command.question("shop", "lab", "KEY", "sk_old")) == {
        "app": "shop",
        "environment": "lab",
        "secret": "KEY",
        "value": "sk_old",
    }


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "sk_hunter2",
        "[]",
        '{"valid": "yes", "others": {}}',
        '{"valid": true}',
        '{"valid": true, "others": {"sk_hunter2": "used"}}',
        '{"valid": true, "others": {"two words": []}}',
    ],
)
def test_a_wrong_answer_is_refused_and_not_shown(answer: str) -> None:
    with pytest.raises(steps.RotationError, match="its answer to list") as caught:
        command.look(answer)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("answer", ["", "\n", "made a key\nsk_hunter2", "sk_old"])
def test_no_new_key(answer: str) -> None:
    with pytest.raises(steps.RotationError, match="one line, the new key") as caught:
        command.made(answer, "sk_old")
    assert "hunter2" not in str(caught.value)


def test_why_it_failed_without_the_key() -> None:
    assert (
        command.reason(3, "Traceback\n\nrefused: sk_old is unknown\n", "sk_old")
        == "exit code 3: refused: *** is unknown"
    )
    assert command.reason(1, "", "") == "exit code 1"


def test_what_it_says_commands_no_terminal() -> None:
    found = command.look('{"valid": true, "others": {"key-17": ["used \\u001b]0;by\\u0007 me"]}}')[1]
    assert found.in_use == {"key-17": ["used \ufffd]0;by\ufffd me"]}
    assert command.reason(1, "\x1b[2Jgone") == "exit code 1: \ufffd[2Jgone"


class Provider:
    """Keys by name."""

    def __init__(self, stored: bool, *others: str) -> None:
        self.stored, self.others = stored, list(others)

    def look(self) -> turns.Look:
        answer = {"valid": self.stored, "others": {name: [] for name in self.others}}
        return command.look(json.dumps(answer))[1]

    def knows(self, name: str, url: str) -> bool:
        return self.stored

    def prepare(self, name: str, url: str) -> None: ...

    def enable(self, name: str) -> None: ...

    def revoke(self, names: tuple[str, ...]) -> int:
        self.others.clear()
        return len(names)


def reach(provider: Provider, state: str) -> dict[str, object]:
    params = {"state": state, "url": "sk", "expected": "", "wait_seconds": 0}
    return turns.reach(provider, command.Keys(), params, check_mode=False)


def test_all_others_end_and_never_the_last_one() -> None:
    provider = Provider(True, "key-17", "key-18")
    assert reach(provider, "revoked")["closed"] == 2
    assert reach(provider, "revoked") == reach(provider, "revoked") | {"changed": False}
    with pytest.raises(steps.RotationError, match="it would be the last one"):
        reach(Provider(False, "key-17"), "revoked")


def left(provider: Provider, stored: str = "one", live: str = "one", emergency: bool = False) -> list[str]:
    """The steps that decide.logins would leave."""
    look = provider.look()
    seen = steps.Seen(stored, live, provider.stored, True, command.Keys().old(command.STORED, look.may))
    return [step for step in steps.remaining(seen, emergency) if step != steps.ENABLE]


def test_how_far_it_is() -> None:
    assert left(Provider(True)) == ["create", "store", "release", "revoke"]
    assert left(Provider(True), emergency=True) == ["create", "store", "revoke", "release"]
    # Made by a run that was killed, and never stored; or the one before.
    assert left(Provider(True, "key-17")) == ["revoke"]
    assert left(Provider(True, "key-17"), stored="two") == ["release", "revoke"]
    # Somebody ended the stored one.
    assert left(Provider(False))[0] == "create"


def test_the_plan() -> None:
    found = Decision(["create", "store", "release", "revoke"], {}, {}, command.MADE, ["key-17"])
    lines = text.lines("KEY", "shop", "vault shop/key, version 3", "files/payment-key", found, {}, False)
    assert lines[1] == "  create     a new key, by files/payment-key; it works at once"
    assert lines[-1] == "  revoke     key-17, when nothing uses it any more"


@pytest.mark.parametrize("emergency", [False, True])
def test_every_step_has_a_line(emergency: bool) -> None:
    # Also after a release, when a key that signs has no phase and its versions are still to be recorded.
    every = [steps.CREATE, steps.STORE, steps.ENABLE, steps.RELEASE, steps.REVOKE, steps.RECORD]
    for step in every:
        lines = text.lines("KEY", "shop", "vault shop/key", "db1", Decision([step], {}, {}, "", []), {}, emergency)
        assert lines[-1].startswith(f"  {step} "), lines


def test_credentials_of_an_entry() -> None:
    assert isinstance(decide.credentials_of({"kind": "command"}), command.Keys)
    assert decide.credentials_of({"kind": "redis", "user": "shop"}).user("redis://:x@cache") == "default"
    assert decide.credentials_of({"kind": "postgres", "role": "shop"}).user("postgresql://shop:x@db/shop") == "shop"


@pytest.mark.parametrize(("words", "message"), [([], "must name a program"), ("files/key", "must be a list")])
def test_a_wrong_command_is_refused(words: object, message: str) -> None:
    variables = app_variables(
        app_secrets={"DATABASE_URL": {"vault": "a"}},
        app_rotations={"DATABASE_URL": {"kind": "command", "command": words}},
        app_secret_sources={"vault": {"url": "https://bao", "token": "t"}},
    )
    with pytest.raises(contracts.ContractError, match=r"app_rotations\.DATABASE_URL\.command") as caught:
        contracts.resolve(variables)
    assert message in str(caught.value)
