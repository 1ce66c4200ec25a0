# SPDX-License-Identifier: Apache-2.0
"""All gates together: checklists, waivers, and what is printed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import gates as contract_gates
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.gates import registry
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

SATURDAY = 1_795_860_000.0
DAY = 86400.0
WINDOW = [{"name": "window", "options": contract_gates.default_options("window")}]
FACTS = Facts(SATURDAY, "shop", "v1.0.0", "production")
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
ANNA, BEN = "anna ssh-ed25519 AAAA", "ben@example.com ssh-ed25519 BBBB"


def waiver(until: float, **more: Any) -> dict[str, Any]:
    return {"gate": "window", "reason": "payments are down", "by": "anna", "until": until, **more}


def test_a_result_has_four_fields() -> None:
    assert [field.name for field in dataclasses.fields(Result)] == ["name", "state", "evidence", "fix"]


def test_every_gate_has_options_and_a_checklist() -> None:
    assert {*registry.GATES} == {*contract_gates.GATES}
    assert contract_gates.CHECKLISTS == registry.CHECKLISTS
    assert all(registry.of_checklist(one) for one in registry.CHECKLISTS)
    assert all(gate.checklists for gate in registry.GATES.values())
    assert all(gate.judge.__doc__ for gate in registry.GATES.values())


@pytest.mark.parametrize("name", registry.GATES)
def test_without_any_fact_no_gate_passes_but_those_of_an_empty_app(name: str) -> None:
    """The control of all of them: what was not seen is not proved."""
    options = contract_gates.default_options(name)
    (result,), _used = registry.judge(
        dataclasses.replace(FACTS, migration=True, edges=("edge1",), apps=("app1",)),
        [{"name": name, "options": options}],
        [],
    )
    assert not result.passes
    assert result.name == name and result.evidence and result.fix


def test_a_gate_that_needs_options_and_has_none_is_unknown() -> None:
    assert contract_gates.default_options("approval") is None
    (result,), _used = registry.judge(FACTS, [{"name": "approval", "options": None}], [])
    assert (result.state, result.evidence) == ("unknown", "it is not configured")


def test_a_waiver_lets_a_gate_pass_until_its_end() -> None:
    (result,), used = registry.judge(FACTS, WINDOW, [waiver(SATURDAY + DAY)])
    assert result.state == "waived" and result.passes
    assert result.evidence.endswith("; waived by anna until 2026-11-29: payments are down")
    assert [one["evidence"] for one in used] == ["sat 10:00 UTC is outside mon, tue, wed, thu, fri 09:00-17:00"]
    (result,), used = registry.judge(FACTS, WINDOW, [waiver(SATURDAY - 1)])
    assert (result.state, used) == ("failed", [])
    assert result.evidence.endswith("; the waiver by anna ended 2026-11-28")
    (result,), used = registry.judge(FACTS, WINDOW, [waiver(SATURDAY - 1), waiver(SATURDAY + 1)])
    assert len(used) == 1, "the one that lasts counts"


def test_a_waiver_is_for_its_gate_and_unused_where_the_gate_is_ok() -> None:
    (result,), used = registry.judge(FACTS, WINDOW, [waiver(SATURDAY + DAY, gate="tests")])
    assert (result.state, used) == ("failed", [])
    weekday = dataclasses.replace(FACTS, now=SATURDAY - DAY)
    (result,), used = registry.judge(weekday, WINDOW, [waiver(SATURDAY + DAY)])
    assert (result.state, used) == ("ok", [])


def test_the_refusal_is_one_line_and_the_others_follow() -> None:
    bad = Result("tests", "failed", "1 of 2 failed: a", "fix them")
    unknown = Result("scans", "unknown", "ci has none", "have CI run them")
    good = Result("window", "ok", "it is open")
    assert registry.refusal([good]) == ""
    assert registry.refusal([good, bad]) == "gate tests failed: 1 of 2 failed: a. Fix them. Nothing was changed."
    first, second = registry.refusal([bad, unknown]).split("\n")
    assert first == "gate tests failed: 1 of 2 failed: a. Fix them (and 1 more). Nothing was changed."
    assert second == "  gate scans is not proved: ci has none. Have CI run them"
    assert registry.lines([good, bad]) == [
        "window  ok       it is open",
        "tests   FAILED   1 of 2 failed: a",
        "                 → fix them",
    ]


def test_a_used_waiver_is_in_the_history(fleet: Any) -> None:
    used = {**waiver(0), "until": "2026-11-29", "evidence": "outside"}
    run = {"action": "deploy", "id": "run1", "who": "anna@build"}
    manifest = fleet.plan()["manifest"]
    entry = ledger.entry(
        "started", token=1, time="2026-11-28T10:00:00Z", run=run, manifest=manifest, previous=None, waived=[used]
    )
    history = ledger.merge([[entry]])
    assert "      gate window waived by anna until 2026-11-29: payments are down (outside)" in status.history_lines(
        "shop", history, 5
    )


# the contract


def resolved(variables: Any, **changes: Any) -> dict[str, Any]:
    return contracts.resolve(variables(**changes))


def test_no_gate_by_default(variables: Any) -> None:
    assert resolved(variables)["gates"] == []


def test_gates_are_names_or_names_with_options(variables: Any) -> None:
    window = {"days": ["mon..thu"], "from": "09:00", "to": 960, "time_zone": "Europe/Athens"}
    found = resolved(
        variables, app_gates=["rollback_target", {"window": window}, {"backup": {"max_age": "30h"}}, {"drill": None}]
    )["gates"]
    assert [one["name"] for one in found] == ["rollback_target", "window", "backup", "drill"]
    assert found[1]["options"] == {
        "days": ["mon", "tue", "wed", "thu"],
        "from": 540,
        "to": 960,
        "time_zone": "Europe/Athens",
    }
    assert found[2]["options"] == {"max_age": 108000.0}
    assert found[3]["options"] == {"max_age": 691200.0}


def test_keys_for_signatures_ask_for_signatures(variables: Any) -> None:
    assert resolved(variables, app_signature={"keys": [PEM]})["gates"] == [{"name": "signature", "options": {}}]
    assert len(resolved(variables, app_signature={"keys": [PEM]}, app_gates=["signature"])["gates"]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"app_gates": "tests"}, "app_gates must be a list, not 'tests'"),
        ({"app_gates": ["test"], "app_gate_evidence": "ci"}, "app_gates[0] is 'test': did you mean 'tests'?"),
        ({"app_gates": ["window", {"window": {}}]}, "app_gates[1] names window again"),
        (
            {"app_gates": [{"window": {}, "backup": {}}]},
            "app_gates[0] must be a gate's name, or one name with its options, not a map",
        ),
        (
            {"app_gates": [{"window": {"until": "9:00"}}]},
            "app_gates.window.until is not known: known: days, from, time_zone, to",
        ),
        (
            {"app_gates": [{"window": {"from": "9 am"}}]},
            "app_gates.window.from must be a time of day like '09:00', not '9 am'",
        ),
        (
            {"app_gates": [{"window": {"days": ["monday"]}}]},
            "app_gates.window.days must be days like 'mon' or 'mon..thu', not 'monday'",
        ),
        (
            {"app_gates": [{"window": {"time_zone": "Athens"}}]},
            "app_gates.window.time_zone is 'Athens': it must be a time zone like 'Europe/Athens'",
        ),
        (
            {"app_gates": [{"backup": {"max_age": "a day"}}]},
            "app_gates.backup.max_age must be seconds, or a time like '30m', '26h' or '8d', not 'a day'",
        ),
        ({"app_gates": ["tests"]}, "app_gates.tests reads files: set app_gate_evidence to their directory"),
        ({"app_gates": ["signature"]}, "app_gates.signature needs app_signature.keys: the public keys"),
        ({"app_gates": [{"error_budget": {"least": 20}}]}, "app_gates.error_budget.least is 20: it must be 0 to 1"),
        ({"app_gates": ["approval"], "app_gate_evidence": "ci"}, "app_gates.approval.keys is missing"),
        (
            {"app_gates": [{"approval": {"by": 2, "keys": [ANNA]}}], "app_gate_evidence": "ci"},
            "app_gates.approval.keys names 1, but 2 must approve",
        ),
        (
            {"app_gates": [{"approval": {"keys": ["* ssh-ed25519 AAAA"]}}], "app_gate_evidence": "ci"},
            "app_gates.approval.keys[0] is '* ssh-ed25519 AAAA': it must be a name and a public SSH key, like 'anna@example.com ssh-ed25519 AAAA…'",
        ),
        (
            {"app_signature": {"keys": ["cosign.pub"]}},
            "app_signature.keys[0] is 'cosign.pub': it must be a public key in PEM, as cosign generate-key-pair writes it to cosign.pub",
        ),
        ({"app_signature": {"keys": []}}, "app_signature.keys is empty: name a public key, or remove it"),
        (
            {"app_gate_waivers": [{"gate": "window", "reason": "holidays", "by": "anna", "until": "soon"}]},
            "app_gate_waivers[0].until must be a date like '2026-12-31', or a time like '2026-12-31T18:00Z', not 'soon'",
        ),
        (
            {"app_gate_waivers": [{"gate": "window", "by": "anna", "until": "2026-12-31"}]},
            "app_gate_waivers[0].reason is missing",
        ),
    ],
)
def test_wrong_values_are_named(variables: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(contracts.ContractError) as raised:
        resolved(variables, **changes)
    assert raised.value.problems == [message]


def test_two_people_may_approve(variables: Any) -> None:
    gate = {"approval": {"by": 2, "keys": [ANNA, BEN]}}
    assert resolved(variables, app_gates=[gate], app_gate_evidence="ci")["gates"][0]["options"]["by"] == 2


def test_the_end_of_a_waiver_is_the_end_of_its_day(variables: Any) -> None:
    one = {"gate": "window", "reason": "holidays", "by": "anna", "until": "2026-11-28"}
    assert resolved(variables, app_gate_waivers=[one])["gate_waivers"][0]["until"] == 1_795_910_399.0


def test_a_waiver_of_the_command_line_is_by_who_runs_it() -> None:
    problems = Problems()
    assert contract_gates.waived_now("window: payments are down: all of them", "anna@build", 5.0, problems) == [
        {"gate": "window", "reason": "payments are down: all of them", "until": 5.0, "by": "anna@build"}
    ]
    assert len(contract_gates.waived_now(["window: a", "tests: b"], "anna@build", 5.0, problems)) == 2
    assert not problems.lines
    for wrong in ("window", "window:", "windows: a", "a\nwindow: b", {"window": "a"}, [1]):
        contract_gates.waived_now(wrong, "anna@build", 5.0, problems)
    assert len(problems.lines) == 6
    assert problems.lines[2] == "gate_waive names 'windows': did you mean 'window'?"
