# SPDX-License-Identifier: Apache-2.0
"""Which rows differ: any two tables against a count by sets, and faults that such a comparison must not have."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import row_diff
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest.row_diff import Count, Table
from hypothesis import given
from hypothesis import strategies as st

KEYED = st.dictionaries(st.integers(0, 30), st.integers(0, 3))
BAGS = st.lists(st.integers(0, 9))


def hashed(value: object) -> str:
    return hashlib.md5(repr(value).encode()).hexdigest()


def keyed_lines(rows: Mapping[int, int]) -> list[str]:
    return sorted(f"{hashed(key)}\t{hashed(value)}\n" for key, value in rows.items())


def bag_lines(rows: Sequence[int]) -> list[str]:
    return sorted(f"{hashed(row)}\n" for row in rows)


def expected(before: Mapping[int, int], now: Mapping[int, int]) -> Count:
    return Count(
        len(now.keys() - before.keys()),
        sum(before[key] != now[key] for key in before.keys() & now.keys()),
        len(before.keys() - now.keys()),
    )


@given(KEYED, KEYED)
def test_rows_with_a_key_are_counted_as_sets_would(before: dict[int, int], now: dict[int, int]) -> None:
    assert row_diff.walk(keyed_lines(before), keyed_lines(now)) == expected(before, now)


@given(BAGS, BAGS)
def test_rows_without_one_are_counted_as_bags_would(before: list[int], now: list[int]) -> None:
    more, less = Counter(now) - Counter(before), Counter(before) - Counter(now)
    assert row_diff.walk(bag_lines(before), bag_lines(now)) == Count(more.total(), 0, less.total())


FAULTS: dict[str, Callable[[list[str], list[str]], Count]] = {
    "it compares only keys": lambda old, new: row_diff.walk([line[:32] for line in old], [line[:32] for line in new]),
    "it stops with the shorter side": lambda old, new: row_diff.walk(old[: len(new)], new[: len(old)]),
    "the sides are swapped": lambda old, new: row_diff.walk(new, old),
    "one side is in another order": lambda old, new: row_diff.walk(old[::-1], new),
    "a row is lost": lambda old, new: row_diff.walk(old[1:], new),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_by_the_first_of_these_tests(fault: str) -> None:
    @given(KEYED, KEYED)
    def held(before: dict[int, int], now: dict[int, int]) -> None:
        assert FAULTS[fault](keyed_lines(before), keyed_lines(now)) == expected(before, now)

    with pytest.raises(AssertionError):
        held()


def test_the_streams_are_never_held_in_memory() -> None:
    rows = 200_000
    seen = {"old": 0, "new": 0, "apart": 0}

    def stream(name: str, other: str) -> Any:
        for number in range(rows):
            seen[name] += 1
            seen["apart"] = max(seen["apart"], seen[name] - seen[other])
            yield f"{number:032x}\tsame\n"

    assert row_diff.walk(stream("old", "new"), stream("new", "old")) == Count(0, 0, 0)
    assert seen == {"old": rows, "new": rows, "apart": 1}


def table(
    name: str = "orders", key: Sequence[str] = ("id",), columns: Mapping[str, str] | None = None, **more: Any
) -> Table:
    given = {"schema": "public", "kind": "r", "unlogged": False, **more}
    return Table(name=name, key=key, columns=columns or {"id": "bigint", "note": "text"}, **given)


def test_what_both_have_is_compared_and_the_rest_is_said() -> None:
    before = {"shop.orders": table(columns={"id": "integer", "note": "text", "old": "date"})}
    now = {"shop.orders": table(columns={"id": "bigint", "note": "text", "new": "date"}), "shop.made": table("made")}
    pairs = {pair.name: pair for pair in row_diff.pairs(before, now)}
    assert pairs["shop.orders"].columns == ("id", "note") and pairs["shop.orders"].key == ("id",)
    assert pairs["shop.made"].before is None
    assert row_diff.schema_changes(before, now) == [
        "table shop.made was created since, and goes",
        "column shop.orders.new was added since, and goes",
        "column shop.orders.old was dropped since, and comes back",
        "column shop.orders.id was integer, is bigint, and becomes that again",
    ]
    assert row_diff.schema_changes(now, before)[0] == "table shop.made was dropped since, and comes back"


@pytest.mark.parametrize(
    ("before", "now"), [(("id",), ()), (("id",), ("note",)), (("id", "note"), ("note", "id")), ((), ("id",))]
)
def test_a_key_that_is_not_the_same_on_both_sides_is_none(before: Sequence[str], now: Sequence[str]) -> None:
    (pair,) = row_diff.pairs({"t": table(key=before)}, {"t": table(key=now)})
    assert pair.key == ()


def test_a_table_that_is_unlogged_on_a_side_is_left_out() -> None:
    assert row_diff.pairs({"t": table(unlogged=True)}, {"t": table()}) == []


def test_names_are_quoted_and_children_are_tables_of_their_own() -> None:
    odd = table('we"ird', columns={'K"1': "text", "v": "text"}, key=('K"1',))
    assert row_diff.query(odd, ('K"1', "v"), ('K"1',)) == (
        'copy (select md5(row("K""1")::text) collate "C" as key, md5(row("v")::text) from only "public"."we""ird" order by key) to stdout'
    )
    # A partitioned table has no rows but those of its partitions.
    assert 'from "public"."orders" ' in row_diff.query(table(kind="p"), ("id",), ())
    assert "order by" not in row_diff.digest(odd, ("v",))


def test_the_words() -> None:
    found = {
        "tables": {
            "shop.public.orders": {"inserted": 3, "updated": 2, "deleted": 1},
            "shop.public.log": {"inserted": 4, "updated": 0, "deleted": 0},
        },
        "bags": ["shop.public.log"],
        "schema": ["column shop.public.orders.new was added since, and goes"],
        "left_out": ["shop.public.cache: unlogged, and empty after a restore"],
        "compared": 7,
    }
    assert row_diff.described(found) == [
        "reverted  shop.public.orders: 3 inserted, 2 updated, 1 deleted",
        "reverted  shop.public.log: 4 inserted, 0 updated, 0 deleted (no primary key on both sides: an update counts as one deleted and one inserted)",
        "schema    column shop.public.orders.new was added since, and goes",
        "left out  shop.public.cache: unlogged, and empty after a restore",
        "rows      7 inserted, 2 updated, 1 deleted since; tables that differ: 2 of 7",
    ]
    none = {"tables": {}, "bags": [], "schema": [], "left_out": [], "compared": 7}
    assert row_diff.described(none) == ["rows      none would be reverted; tables compared: 7"]
