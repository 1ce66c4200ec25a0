# SPDX-License-Identifier: Apache-2.0
"""Feature flags: the inventory's shape, Unleash's, and what has to be done to get from one to the other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.flags import plan, shape

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAYMENT = {
    "owner": "payments",
    "expires": "2027-03-01",
    "enabled": True,
    "strategies": [{"rollout": 10, "stickiness": "userId"}],
}
BUTTON = {
    "type": "experiment",
    "owner": "growth",
    "expires": date(2027, 3, 1),
    "enabled": ["lab", "staging"],
    "strategies": [
        {"stickiness": "userId", "constraints": [{"context": "country", "values": ["GR"]}]},
        {"users": ["anna", 7]},
    ],
    "variants": [{"name": "book", "weight": 33.3}, {"name": "reserve", "weight": 66.7, "payload": "Reserve it"}],
}


def resolved(flags: dict[str, Any], in_code: list[str] | None = None, **more: Any) -> dict[str, Any]:
    service = {"image": "registry.test/web", "port": 80, "flags": in_code or []}
    given = {"app_name": "shop", "app_services": {"web": service}, "app_flags": flags, "app_environment": "lab", **more}
    return contracts.resolve(given, needs_version=False)


def wanted(flags: dict[str, Any], *killed: str) -> dict[str, Any]:
    return shape.wanted(resolved(flags)["flags"], killed)


def in_unleash(flags: dict[str, Any]) -> dict[str, Any]:
    """What Unleash exports once it has these flags, with the small changes that it makes."""
    strategies, features, environments, tags = [], [], [], []
    for name, flag in wanted(flags).items():
        features.append(
            {"name": name, "type": flag["type"], "description": flag["description"] or None, "project": "default"}
        )
        environments.append({"featureName": name, "enabled": flag["enabled"], "variants": []})
        tags += [
            {"featureName": name, "tagType": "simple", "tagValue": tag} for tag in [*flag["tags"], "a person's own"]
        ]
        for number, one in enumerate(flag["strategies"]):
            constraints = [{**item, "caseInsensitive": False} for item in one["constraints"]]
            strategies.append(
                {**one, "constraints": constraints, "featureName": name, "id": f"{name}-{number}", "title": None}
            )
    return {
        "features": features,
        "featureStrategies": strategies,
        "featureEnvironments": environments,
        "featureTags": tags,
    }


def done(wanted: dict[str, Any], observed: dict[str, Any], **more: Any) -> list[str]:
    return [f"{step['do']} {step['flag']}" for step in plan.steps(wanted, observed, **more)]


def test_what_is_in_unleash_as_it_should_be_is_left_alone() -> None:
    flags = {"payment": PAYMENT, "button": BUTTON}
    observed = shape.observed(in_unleash(flags))
    assert plan.steps(wanted(flags), observed) == []
    assert plan.drift(wanted(flags), observed) == []


def test_a_new_flag_has_its_strategies_before_it_goes_on() -> None:
    assert done(wanted({"payment": PAYMENT}), {}) == [
        "create payment",
        "tag payment",
        "add_strategy payment",
        "on payment",
    ]
    dark = {**PAYMENT, "enabled": False}
    assert done(wanted({"payment": dark}), {})[-1] == "add_strategy payment"


def test_a_flag_goes_off_before_anything_else_and_is_never_without_a_strategy() -> None:
    observed = shape.observed(in_unleash({"button": BUTTON}))
    off = wanted({"button": {**BUTTON, "enabled": False, "strategies": [{"rollout": 5}]}})
    assert done(off, observed) == ["off button", "set_strategy button", "remove_strategy button"]


def test_another_share_is_one_change_and_says_from_what_to_what() -> None:
    observed = shape.observed(in_unleash({"payment": PAYMENT}))
    half = wanted({"payment": {**PAYMENT, "strategies": [{"rollout": 50, "stickiness": "userId"}]}})
    assert done(half, observed) == ["set_strategy payment"]
    assert plan.drift(half, observed) == ["payment: 10 % by userId → 50 % by userId"]


def test_what_is_killed_stays_off() -> None:
    observed = shape.observed(in_unleash({"payment": PAYMENT}))
    assert done(wanted({"payment": PAYMENT}, "payment"), observed) == ["off payment"]
    assert plan.drift(wanted({"payment": PAYMENT}, "payment"), observed) == ["payment: enabled: on → off"]


def test_flags_of_nobody_here_are_listed_and_stay() -> None:
    export = in_unleash({"payment": PAYMENT, "old": PAYMENT})
    export["features"].append({"name": "clicked", "type": "release", "description": None})
    observed, mine = shape.observed(export), wanted({"payment": PAYMENT})
    assert plan.unmanaged(mine, observed) == ["clicked"]
    assert plan.left_over(mine, observed) == ["old"]
    assert done(mine, observed) == []
    assert done(mine, observed, archive=True) == ["archive old"], "and not what a person made"


def test_tags_of_people_stay() -> None:
    observed = shape.observed(in_unleash({"payment": PAYMENT}))
    later = wanted({"payment": {**PAYMENT, "expires": "2027-06-01"}})
    (step,) = plan.steps(later, observed)
    assert (step["add"], step["remove"]) == (["expires=2027-06-01"], ["expires=2027-03-01"])


def test_variants_are_thousandths_and_add_up() -> None:
    (strategy, _) = wanted({"button": BUTTON})["button"]["strategies"]
    assert [(one["weight"], one["weightType"]) for one in strategy["variants"]] == [(333, "fix"), (667, "variable")]


def test_an_export_can_be_put_into_the_inventory() -> None:
    flags = {"payment": PAYMENT, "button": BUTTON}
    observed = shape.observed(in_unleash(flags))
    given = {name: shape.for_the_inventory(name, flag) for name, flag in observed.items()}
    assert [lost for _, lost in given.values()] == [[], []]
    assert plan.steps(wanted({name: flag for name, (flag, _) in given.items()}), observed) == []


def test_an_export_says_what_it_cannot_say() -> None:
    export = in_unleash({"payment": PAYMENT})
    export["featureStrategies"][0]["segments"] = [3]
    export["featureStrategies"].append(
        {"featureName": "payment", "id": "x", "name": "remoteAddress", "parameters": {"IPs": "::1"}}
    )
    _, lost = shape.for_the_inventory("payment", shape.observed(export)["payment"])
    assert lost == ["segment 3", "strategy remoteAddress"]


def test_an_export_brings_no_template_into_the_inventory() -> None:
    evil = "{{ lookup('pipe', 'id') }}"
    export = in_unleash({"payment": {**PAYMENT, "description": evil}})
    given, lost = shape.for_the_inventory("payment", shape.observed(export)["payment"])
    assert "lookup" not in str(given)
    assert lost == [f"a template: {evil!r}"]


@pytest.mark.parametrize(
    ("flag", "days", "in_code", "expected"),
    [
        (PAYMENT, 0, ["payment"], []),
        (
            {**PAYMENT, "expires": "2026-11-27"},
            0,
            ["payment"],
            ["payment: expired on 2026-11-27; its owner is payments"],
        ),
        ({**PAYMENT, "expires": "2026-11-28"}, 0, ["payment"], []),
        ({**PAYMENT, "strategies": [{}]}, 29, ["payment"], []),
        (
            {**PAYMENT, "strategies": [{}]},
            31,
            ["payment"],
            [
                "payment: on for everybody for 31 days: take it out of the code, then out of app_flags; its owner is payments"
            ],
        ),
        ({**PAYMENT, "strategies": [{}], "enabled": False}, 31, ["payment"], []),
        ({"type": "operational", "owner": "ops", "enabled": True}, 300, ["payment"], []),
        (PAYMENT, 0, ["other"], ["payment: no service asks for it: take it out of app_flags; its owner is payments"]),
        (PAYMENT, 0, None, []),
    ],
)
def test_stale_flags(flag: dict[str, Any], days: int, in_code: list[str] | None, expected: list[str]) -> None:
    flags, observed = {"payment": flag}, shape.observed(in_unleash({"payment": flag}))
    changed = {"payment": NOW.timestamp() - days * 86400}
    assert plan.stale(resolved(flags)["flags"], observed, in_code, changed, NOW) == expected


def test_environments_are_those_of_the_inventory() -> None:
    assert resolved({"button": BUTTON})["flags"]["button"]["enabled"] is True
    assert resolved({"button": BUTTON}, app_environment="production")["flags"]["button"]["enabled"] is False


def test_a_release_without_flags_is_what_it_was() -> None:
    assert "flags" not in resolved({"payment": PAYMENT})["services"]["web"]
    contract = resolved({"payment": PAYMENT, "button": BUTTON}, ["payment"])
    assert contract["services"]["web"]["flags"] == ["payment"]
    assert contract["flags_in_code"] == ["payment"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"a b": PAYMENT},
            "app_flags.a b is not a valid name: it must be letters, digits, '.', '_' and '-', a letter or digit first, at most 100 characters",
        ),
        ({"x": {**PAYMENT, "type": "relase"}}, "app_flags.x.type is 'relase': did you mean 'release'?"),
        ({"x": {"expires": "2027-03-01"}}, "app_flags.x.owner is missing"),
        (
            {"x": {"owner": "payments"}},
            "app_flags.x.expires is missing: a flag of type release is temporary; say by which day it is gone",
        ),
        ({"x": {**PAYMENT, "expires": "soon"}}, "app_flags.x.expires must be a date like '2027-03-31', not 'soon'"),
        (
            {"x": {**PAYMENT, "enabled": "perhaps"}},
            "app_flags.x.enabled must be true, false or a list of environments, not 'perhaps'",
        ),
        (
            {"x": {**PAYMENT, "strategies": [{"rollout": 101}]}},
            "app_flags.x.strategies[0].rollout is 101: it must be 0 to 100",
        ),
        (
            {"x": {**PAYMENT, "strategies": []}},
            "app_flags.x.strategies is empty, which is on for everybody: leave it out, or use enabled: false",
        ),
        (
            {
                "x": {
                    **PAYMENT,
                    "strategies": [{"constraints": [{"context": "age", "operator": "NUM_GT", "values": [1, 2]}]}],
                }
            },
            "app_flags.x.strategies[0].constraints[0].values has 2 values: the operator NUM_GT compares with one",
        ),
        (
            {"x": {**PAYMENT, "strategies": [{"constraints": [{"context": "age"}]}]}},
            "app_flags.x.strategies[0].constraints[0].values is missing: with which values is it compared?",
        ),
        (
            {"x": {**PAYMENT, "variants": [{"name": "a", "weight": 50}, {"name": "b", "weight": 40}]}},
            "app_flags.x.variants have weights of 90 together: they are per cent, and add up to 100",
        ),
        (
            {"x": {**PAYMENT, "variants": [{"name": "a", "weight": 50}, {"name": "a", "weight": 50}]}},
            "app_flags.x.variants has 'a' twice",
        ),
    ],
)
def test_what_is_wrong_is_said(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(contracts.ContractError) as error:
        resolved(flags)
    assert str(error.value) == message


def test_code_may_not_ask_for_a_flag_that_is_not_there() -> None:
    with pytest.raises(contracts.ContractError) as error:
        resolved({"payment": PAYMENT}, ["paymnet"])
    assert (
        str(error.value) == "app_services.web.flags names 'paymnet', which is not in app_flags: did you mean 'payment'?"
    )
