# SPDX-License-Identifier: Apache-2.0
"""Migrations are tried on a copy of the data, and the live release on what comes out; the data themselves are not touched."""

from __future__ import annotations

import json

import pytest

from tests.support.images import Variants
from tests.support.lab import QUICK, Lab, inventory_app
from tests.support.playbook import Run

COPY = "/var/lib/postgresql/sluice-rehearsal"


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> str:
    """v1.0.0 is live, and the database is the one it knows."""
    return lab.ensure("v1.0.0")


def columns(lab: Lab) -> list[list[str]]:
    """Every column of the app's database with its type."""
    return lab.sql(
        "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, 2"
    )


def is_gone(lab: Lab) -> bool:
    """Whether nothing is left of the copy: no file, and nobody who listens."""
    left = lab.shell("db1", f"test -e {COPY} && echo files; ss -Hltn 'sport = :5500'")
    return left.strip() == ""


def rehearse(lab: Lab, tag: str) -> Run:
    return lab.playbook("playbooks/database/rehearse", "-e", f"app_version={tag}", "-e", "app_pull_seconds=60")


def test_what_works_is_told_with_its_time_and_the_tables_it_rewrites(lab: Lab, begin: str, variant: Variants) -> None:
    tag = variant.migrations(
        "v1.2.0-rehearsed",
        hot='ALTER TABLE "Message" ADD COLUMN hot TEXT;',
        wide='ALTER TABLE "Review" ALTER COLUMN "rating" TYPE INTEGER;',
    )
    before, known = lab.state(), columns(lab)
    run = rehearse(lab, tag).good()
    told = " ".join(run.output.split())
    assert "rehearsed on a copy of" in told and "restored from backup" in told
    assert "30000101_hot, 30000101_wide: " in told or "30000101_wide: " in told
    assert "rehearsed rewrites table marketplace.public.Review" in told
    assert "table marketplace.public.Message" not in told, "a column without a default is no rewrite"
    assert f"rehearsed release {begin} passed its check on the new schema" in told
    assert "its migrations succeed on a copy of the data; nothing was changed" in told
    assert (lab.state(), columns(lab)) == (before, known)
    assert is_gone(lab)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "sql", "said"),
    [
        (
            "takes",
            'ALTER TABLE "CharteredAccountant" DROP COLUMN "headline";',
            "app1: live release {live} does not work on the new schema: node dist/smoke.js ended with exit code 1",
        ),
        ("breaks", 'ALTER TABLE "NoSuchTable" ADD COLUMN hot TEXT;', "app1: prisma migration of "),
    ],
)
def test_what_would_fail_fails_on_the_copy(
    lab: Lab, begin: str, variant: Variants, name: str, sql: str, said: str
) -> None:
    known = columns(lab)
    message = rehearse(lab, variant.migrations(f"v1.2.0-{name}", **{name: sql})).error()
    assert message.startswith("rehearsal failed in step rehearse: "), message
    assert said.format(live=begin) in message
    assert f"Release {begin} is still live" in message
    assert columns(lab) == known
    assert is_gone(lab)
    assert not any(lab.leases().values())


def test_a_deploy_that_rehearses_stops_before_it_touches_the_data(lab: Lab, begin: str, variant: Variants) -> None:
    tag = variant.migrations("v1.2.0-never", takes='ALTER TABLE "CharteredAccountant" DROP COLUMN "headline";')
    known = columns(lab)
    rehearsal = {**inventory_app()["app_rehearsal"], "in_deploy": True}
    run = lab.deploy(tag, "-e", json.dumps({"app_rehearsal": rehearsal}), *QUICK)
    assert "deploy failed in step rehearse: app1: live release " in run.error()
    assert run.ran("Restore point | Name") == set() and run.ran("Migrate | Apply") == set()
    assert columns(lab) == known and lab.live() == begin
