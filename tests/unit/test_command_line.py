# SPDX-License-Identifier: Apache-2.0
"""Which values of a command line hold a template that must not be filled in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.splitter import parse_kv
from ansible_collections.sluice.stack.plugins.module_utils.contract.command_line import split, templates

EVIL = "{{ lookup('pipe', 'id') }}"


def names(problems: list[str]) -> list[str]:
    return [line.split(" is ")[0] for line in problems]


@pytest.mark.parametrize(
    "value", [EVIL, f"v1{EVIL}", "{% raw %}", "{# #}", "#jinja2:a:1\n", ["v1", EVIL], {EVIL: 1}, {"a": [EVIL]}]
)
def test_a_template_is_found_anywhere_in_a_variable_of_a_run(value: Any) -> None:
    assert names(templates({"release_to": value, "app_version": "v1"})) == ["release_to"]


@pytest.mark.parametrize(
    "value", ["v1", "1.10", "{v1}", "a { b } %}", " #jinja2:", 3, True, None, ["app1"], b"x", [], {}]
)
def test_what_is_no_template_is_left_alone(value: Any) -> None:
    assert templates({"release_to": value}) == []


def test_what_a_checklist_is_given_may_hold_none_either() -> None:
    given = {"checklist": EVIL, "checklist_json": EVIL, "gate_waive": [f"window: {EVIL}"]}
    assert names(templates(given)) == list(given)


def test_a_variable_of_the_inventory_may_hold_one() -> None:
    assert templates({"app_secrets": {"TOKEN": EVIL}, "app_extra": EVIL, "ansible_user": EVIL, "runner": EVIL}) == []


@pytest.mark.parametrize(
    ("option", "also"),
    [
        ("app_version=v1 ansible_user=secret", "ansible_user"),
        ("ansible_user=secret app_version=v1", "ansible_user"),
        ("release_reason=Fix the till", "words without a name"),
        ("release_reason=Fix environment_protected=false", "environment_protected"),
        ("release_reason=Fix release_allow_destructive=true", "release_allow_destructive"),
        ('release_reason="Fix" confirm_environment=production', "confirm_environment"),
    ],
)
def test_a_space_in_a_value_sets_nothing_else(option: str, also: str) -> None:
    (line,) = split([parse_kv(option)])
    assert f" on the command line sets {also} too: " in line
    assert "secret" not in line and "Fix" not in line, "it may be a password"


@pytest.mark.parametrize(
    "option",
    [
        "app_version=v1 release_host=app1",
        'release_reason="Fix the till"',
        "ansible_user=root app_keep_releases=3",
        "release_reason=Fix",
    ],
)
def test_what_sets_what_it_says_is_left_alone(option: str) -> None:
    assert split([parse_kv(option)]) == []


def test_a_long_value_is_shown_short_and_on_one_line() -> None:
    (line,) = templates({"app_version": EVIL + "\n" + "x" * 1000})
    assert len(line) < 300 and "\n" not in line
