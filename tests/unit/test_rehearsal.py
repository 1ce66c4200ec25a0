# SPDX-License-Identifier: Apache-2.0
"""A rehearsal runs where it is told to, and tells what it found."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import environment
from ansible_collections.sluice.stack.plugins.module_utils.migration.rehearsal import lines, pointed_at, rewritten

URL = "postgresql://shop:s%40cret@10.0.0.31:5432/shop?schema=app"
THERE = "postgresql://shop:s%40cret@10.0.0.31:5500/shop?schema=app"


def manifest(env: dict[str, str], secrets: dict[str, str]) -> dict[str, Any]:
    return {
        "app": "shop",
        "services": {"backend": {"env": env, "secrets": secrets}, "other": {"env": {}, "secrets": {}}},
    }


@pytest.mark.parametrize(
    ("env", "secrets", "values"),
    [
        ({"DATABASE_URL": URL, "LOG": "info"}, {}, {}),
        ({"LOG": "info"}, {"DATABASE_URL": "a1b2"}, {"DATABASE_URL": URL, "JWT": "x"}),
    ],
)
def test_only_the_address_of_the_database_changes(env: Any, secrets: Any, values: Any) -> None:
    original = manifest(env, secrets)
    changed, known = pointed_at(original, values, "backend", "DATABASE_URL", "10.0.0.31:5500")
    seen = environment(changed["services"]["backend"], known)
    assert seen["DATABASE_URL"] == THERE and seen["LOG"] == "info"
    assert "DATABASE_URL" not in changed["services"]["backend"]["env"], "a copy's address is a secret like the original"
    assert original == manifest(env, secrets) and changed["services"]["other"] is original["services"]["other"]


def test_no_parameter_of_the_url_leads_back_to_the_database_itself() -> None:
    """To libpq they count more than what is before the question mark."""
    url = "postgresql://shop:s@one,two:5433/shop?host=10.0.0.31&schema=app&port=5432&hostaddr=10.0.0.31&sslmode=require"
    _, known = pointed_at(manifest({"DATABASE_URL": url}, {}), {}, "backend", "DATABASE_URL", "10.0.0.31:5500")
    assert known["DATABASE_URL"] == "postgresql://shop:s@10.0.0.31:5500/shop?schema=app&sslmode=require"


def test_tables_in_another_file_were_written_anew() -> None:
    before = {"a.t": [1, 100], "a.small": [2, 10], "a.same": [3, 50], "a.gone": [4, 1]}
    after = {"a.t": [9, 200], "a.small": [8, 12], "a.same": [3, 60], "a.new": [7, 5]}
    assert rewritten(before, after) == [{"name": "a.t", "bytes": 200}, {"name": "a.small", "bytes": 12}]


def test_what_was_found_in_words() -> None:
    copy = {"size": 50 * 2**20, "backup": "20261123-120000F", "seconds": 4.25}
    tried = {"applied": ["001_init"], "seconds": 0.4, "attempts": 2, "checked": "20261101T080000Z-v1"}
    assert lines(copy, tried, [{"name": "shop.public.t", "bytes": 3 * 2**20}]) == [
        "on a copy of 50.0 MiB, restored from backup 20261123-120000F in 4.2 s",
        "001_init: 0.4 s, 2 attempts",
        "rewrites table shop.public.t, 3.0 MiB",
        "release 20261101T080000Z-v1 passed its check on the new schema",
    ]
