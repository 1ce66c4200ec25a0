# SPDX-License-Identifier: Apache-2.0
"""Problems carry the path of the wrong value, and secrets stay out of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    flag,
    mapping,
    number,
    ranges,
    scalar,
    sequence,
    shown,
    size,
    struct,
    text,
)
from hypothesis import example, given
from hypothesis import strategies as st


def read(kind: Kind, value: Any) -> tuple[Any, list[str]]:
    problems = Problems()
    return kind.read(value, "x", problems), problems.lines


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
KINDS = {
    "text": text(pattern=r"[a-z]+", means="lower case"),
    "choice": text(choices=("one", "two")),
    "number": number(1, 0, 9),
    "whole": number(1, 0, 9, whole=True),
    "flag": flag(),
    "size": size(),
    "sequence": sequence(text()),
    "mapping": mapping(scalar(secret=True), name=r"[A-Z]+", means="upper case"),
    "struct": struct({"a": number(1), "b": sequence(size(), default=[])}),
}


@example(value={"\n": None}, name="mapping")
@given(value=ANYTHING, name=st.sampled_from(sorted(KINDS)))
def test_any_value_is_read_or_is_a_problem_and_never_an_accident(value: Any, name: str) -> None:
    result, problems = read(KINDS[name], value)
    assert problems or result is not None
    assert all("\n" not in line for line in problems), "a problem is one line"


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (text(), 1.1, "x must be a string, not 1.1"),
        (text(pattern="[a-z]+", means="lower case"), "A", "x is 'A': it must be lower case"),
        (text(choices=("prisma", "command")), "prism", "x is 'prism': did you mean 'prisma'?"),
        (text(choices=("prisma", "command")), "sql", "x is 'sql': known: command, prisma"),
        (number(), "four", "x must be a number, not 'four'"),
        (number(), True, "x must be a number, not True"),
        (number(whole=True), 1.5, "x must be a whole number, not 1.5"),
        (number(whole=True), float("inf"), "x must be a whole number, not inf"),
        (number(least=1, most=65535, whole=True), 70000, "x is 70000: it must be 1 to 65535"),
        (number(), float("nan"), "x is nan: it must be 0 to inf"),
        (flag(), "perhaps", "x must be true or false, not 'perhaps'"),
        (size(), "12 MB", "x must be a size like '512m' or '2g', not '12 MB'"),
        (size(), True, "x must be a size like '512m' or '2g', not True"),
        (sequence(text()), "a", "x must be a list, not 'a'"),
        (sequence(text()), ["a", 1], "x[1] must be a string, not 1"),
        (mapping(text()), ["a"], "x must be a map, not a list"),
        (
            mapping(text(), name="[A-Z]+", means="upper case"),
            {"a": "b"},
            "x.a is not a valid name: it must be upper case",
        ),
        (scalar(), {"a": 1}, "x must be a string, number or boolean, not a map"),
        (scalar(), None, "x must be a string, number or boolean, not empty"),
        (struct({"port": number()}), {"prot": 1, "port": 1}, "x.prot is not known: did you mean 'port'?"),
        (struct({"port": number()}), {}, "x.port is missing"),
        (struct({"port": number()}), {"port": None}, "x.port is missing"),
        (struct({"a": struct({"b": number()})}), {"a": {"b": "c"}}, "x.a.b must be a number, not 'c'"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(kind: Kind, value: Any, problem: str) -> None:
    assert read(kind, value)[1] == [problem]


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (number(), "3", 3.0),
        (number(whole=True), "3", 3),
        (flag(), "Yes", True),
        (flag(), "false", False),
        (size(), "512m", 512 * 2**20),
        (size(), "2GB", 2 * 2**30),
        (size(), 1024, 1024),
        (scalar(), True, "true"),
        (scalar(), 4000, "4000"),
    ],
)
def test_values_from_the_command_line_arrive_as_text_and_are_understood(kind: Kind, value: Any, result: Any) -> None:
    assert read(kind, value) == (result, [])


def test_all_problems_are_found_at_once() -> None:
    problems = read(struct({"a": number(), "b": number()}), {"a": "x", "c": 1})[1]
    assert len(problems) == 3


def test_a_problem_says_where_the_value_was_set_when_that_is_known() -> None:
    problems = Problems(lambda value: "group_vars/all.yml:3:5" if value == "four" else None)
    number().read("four", "app_x", problems)
    assert problems.lines == ["app_x must be a number, not 'four' (set in group_vars/all.yml:3:5)"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (mapping(scalar(secret=True), secret=True), "hunter2"),
        (mapping(scalar(secret=True), secret=True), ["hunter2"]),
        (mapping(scalar(secret=True)), {"TOKEN": ["hunter2"]}),
        (mapping(scalar(secret=True)), {"TOKEN": {"value": "hunter2"}}),
        (sequence(text(pattern="[A-Z]+", means="a name", secret=True), secret=True), "hunter2"),
        (sequence(text(pattern="[A-Z]+", means="a name", secret=True), secret=True), ["hunter2"]),
        (sequence(text(pattern="[A-Z]+", means="a name", secret=True), secret=True), {"TOKEN": "hunter2"}),
    ],
)
def test_a_secret_in_the_wrong_place_is_a_problem_that_does_not_show_it(kind: Kind, value: Any) -> None:
    problems = read(kind, value)[1]
    assert problems
    assert "hunter2" not in str(problems)


def test_a_long_value_is_cut_and_one_with_parts_is_not_shown() -> None:
    assert len(shown("x" * 1000)) == 60
    assert shown({"a": "hunter2"}) == "a map"
    assert shown([1]) == "a list"


def test_a_nested_default_brings_the_defaults_of_its_own_fields() -> None:
    assert read(struct({"health": struct({"status": number(200, whole=True)}, default={})}), {})[0] == {
        "health": {"status": 200}
    }


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (200, "200"),
        ("200", "200"),
        ("200-399", "200-399"),
        ("200 - 299, 404", "200-299,404"),
        ([200, "301-308"], "200,301-308"),
        ([[200]], None),
        ([], None),
        ("", None),
        ("2xx", None),
        ("99", None),
        ("399-200", None),
        ("200-600", None),
        (True, None),
        ({"from": 200}, None),
    ],
)
def test_ranges_are_kept_as_one_text(value: Any, kept: str | None) -> None:
    found, problems = read(ranges("200", 100, 599), value)
    assert found == kept and bool(problems) == (kept is None)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("x" * 102_400, None),
        ("ż" * 65_000, None),
        ("$ # '\"\n=\t\x7f ", None),
        ("x" * 130_001, "at most 130000 bytes, not 130001"),
        ("ż" * 65_001, "at most 130000 bytes, not 130002"),
        ("hunter2\0", "no NUL character"),
    ],
)
def test_what_no_environment_can_hold_is_refused_and_not_shown(value: str, says: str | None) -> None:
    found, problems = read(scalar(), value)
    assert found == (None if says else value)
    assert (says is None and not problems) or (says in str(problems) and len(str(problems)) < 200)
    assert "hunter2" not in str(problems)
