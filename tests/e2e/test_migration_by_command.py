# SPDX-License-Identifier: Apache-2.0
"""A migration tool that Sluice knows nothing of but its commands: what is pending, apply it, take these back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.test_migrations import clean, settings
from tests.e2e.test_rollback_down import columns
from tests.support.images import UNHEALTHY, Variants
from tests.support.lab import APP_HOSTS, MIGRATION, QUICK, Lab, health_window

pytestmark = pytest.mark.soak

# What a team may have written for itself: names and statements in the program, applied names in a table.
TOOL = """
import pg from 'pg';

const steps = %s;
const [what, ...names] = process.argv.slice(2);
const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
await client.query('create table if not exists tool_log (name text primary key)');
const there = (await client.query('select name from tool_log')).rows.map((row) => row.name);
const pending = Object.keys(steps).filter((name) => !there.includes(name));
const work = { status: [], up: pending, down: names }[what];
if (what === 'status') pending.forEach((name) => console.log(name));
for (const name of work) {
  await client.query('begin');
  await client.query(steps[name][what]);
  await client.query(what === 'up' ? 'insert into tool_log values ($1)' : 'delete from tool_log where name = $1', [name]);
  await client.query('commit');
  console.log(what, name);
}
await client.end();
"""
HOT = {
    "1_hot": {
        "up": 'ALTER TABLE "Message" ADD COLUMN hot TEXT',
        "down": 'ALTER TABLE "Message" DROP COLUMN hot',
    }
}
LATE = {
    "2_late": {
        "up": 'ALTER TABLE "Message" ADD COLUMN late TEXT',
        "down": 'ALTER TABLE "Message" DROP COLUMN late',
    },
    # Undone first, or the one before cannot be: it is about its column.
    "3_rest": {"up": 'CREATE VIEW message_late AS SELECT late FROM "Message"', "down": "DROP VIEW message_late"},
}
WORDS = {word: ["node", "migrate.js", word] for word in ("status", "down")}
COMMAND = settings(engine="command", command=["node", "migrate.js", "up"], **WORDS)
DOWN = (*COMMAND, "-e", json.dumps({"app_rollback": {"data": "down"}}))
AUTOMATIC = (*COMMAND, "-e", json.dumps({"app_rollback": {"data": "down", "automatic": True}}))


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> Iterator[None]:
    """v1.0.0 is live, and nothing of the tool's is in the database, before and after."""

    def nothing() -> None:
        lab.ensure("v1.0.0")
        lab.sql("drop view if exists message_late; drop table if exists tool_log")
        clean(lab)

    if not any(item[0].startswith(MIGRATION) for item in lab.migrations()):
        lab.deploy("v1.1.0", *QUICK).good()
    nothing()
    yield
    nothing()


def push(variant: Variants, tag: str, steps: dict[str, dict[str, str]], command: list[str] | None = None) -> str:
    """A version with the tool and these steps."""
    return variant.push(tag, command, files={"app/migrate.js": TOOL % json.dumps(steps)})


def applied(lab: Lab) -> list[str]:
    """The tool's own record."""
    return [row[0] for row in lab.sql("select name from tool_log order by name")]


def test_what_a_tool_applied_it_takes_back_by_name_the_newest_first(lab: Lab, begin: None, variant: Variants) -> None:
    run = lab.deploy(push(variant, "v1.4.0-first", HOT), *COMMAND).good()
    assert "1_hot" in run.output and applied(lab) == ["1_hot"]
    before = lab.live()
    lab.deploy(push(variant, "v1.4.0-second", HOT | LATE), *DOWN).good()
    reverted = lab.live()
    assert columns(lab) == {"hot", "late", "message_late"}

    run = lab.rollback(*DOWN).good()
    assert f"revert     migration 3_rest, 2_late of {reverted}, once that release is stopped, on app1" in run.output
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"]
    assert lab.live() == before and set(lab.leases().values()) == {None}
    assert (
        f"reverted in the database: 3_rest, 2_late of {reverted}" in lab.playbook("playbooks/app/history").good().output
    )


def test_what_a_tool_applied_for_a_deploy_that_fails_it_takes_back(lab: Lab, begin: None, variant: Variants) -> None:
    lab.deploy(push(variant, "v1.4.0-first", HOT), *COMMAND).good()
    before = lab.live()
    failed = lab.deploy(push(variant, "v1.4.0-cold", HOT | LATE, UNHEALTHY), *AUTOMATIC, *health_window(3)).error()
    assert failed.startswith("deploy failed in step start: ")
    assert failed.split("\n")[-1] == "Its migration 2_late, 3_rest was reverted", failed
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"] and lab.live() == before
    assert all(item["release"] == before for host in APP_HOSTS for item in lab.containers(host).values())


def test_a_tool_that_does_not_do_it_ends_the_rollback_red_with_the_release_before_live(
    lab: Lab, begin: None, variant: Variants
) -> None:
    lab.deploy(push(variant, "v1.4.0-first", HOT), *COMMAND).good()
    before = lab.live()
    broken = {"2_late": {**LATE["2_late"], "down": 'ALTER TABLE "Message" DROP COLUMN laid'}}
    lab.deploy(push(variant, "v1.4.0-broken", HOT | broken), *DOWN).good()
    message = lab.rollback(*DOWN).error()
    assert message.startswith("rollback failed in step revert: ") and "exit code 1" in message
    assert "migration 2_late is not reverted yet: run the same command again" in message
    assert lab.live() == before and applied(lab) == ["1_hot", "2_late"]
    # By hand, and the same command sees that it was done.
    lab.sql("alter table \"Message\" drop column late; delete from tool_log where name = '2_late'")
    lab.rollback(*DOWN).good()
    assert lab.live() == before and columns(lab) == {"hot"}
