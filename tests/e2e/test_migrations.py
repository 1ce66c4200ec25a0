# SPDX-License-Identifier: Apache-2.0
"""Migrations on a database that is in use: locks are not waited for at everybody's cost, and what was cut off is known exactly."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.images import Variants
from tests.support.lab import MIGRATION, PREFIX, QUICK, Lab, inventory_app, until
from tests.support.load import Ask, Load

CONTAINER = "marketplace-migration"
PLACE = "30000101_"  # after all migrations of the app
SENDER = "migrations@example.com"
COLUMNS = ("hot", "stall", "crash", "late", "half", "rest", "expanded", "gone")


def settings(**changes: object) -> tuple[str, ...]:
    """The inventory's migration with changes, as options of a deploy that is over soon."""
    migration = {**inventory_app()["app_migration"], **changes}
    return (
        "-e",
        json.dumps({"app_migration": migration}),
        "-e",
        "app_lease_seconds=5",
        "-e",
        "app_pull_seconds=30",
        *QUICK,
    )


def clean(lab: Lab) -> None:
    """The database as v1.0.0 has it."""
    drops = ", ".join(f"drop column if exists {name}" for name in COLUMNS)
    lab.sql(
        f'alter table "Message" {drops}; delete from "Message" where "senderEmail" = \'{SENDER}\'; '
        f"delete from \"_prisma_migrations\" where migration_name like '{PLACE}%'; drop table if exists sluice_migrations"
    )


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> Iterator[None]:
    """v1.0.0 is live, and no migration of a test is in the database, before and after."""
    if not any(item[0].startswith(MIGRATION) for item in lab.migrations()):
        lab.deploy("v1.1.0", *QUICK).good()
    lab.ensure("v1.0.0")
    clean(lab)
    yield
    lab.ensure("v1.0.0")
    clean(lab)


READ = 'begin; select count(*) from "Message"; select pg_sleep(100); commit'
MINE = "from pg_stat_activity where application_name = 'sluice-marketplace-migration' and"


@contextlib.contextmanager
def reader(lab: Lab) -> Iterator[Callable[[], None]]:
    """Somebody reads the table in a transaction that takes long, as a report or a dump does; call what is given to end it."""
    command = ["runuser", "-u", "postgres", "--", "psql", "-qAtX", "-d", "marketplace", "-c", READ]
    process = subprocess.Popen(
        ["docker", "exec", f"{PREFIX}-db1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    reading = "from pg_stat_activity where query like 'begin; select count%' and state = 'active'"

    def end() -> None:
        lab.sql(f"select pg_terminate_backend(pid) {reading}")

    try:
        until(lambda: lab.sql(f"select 1 {reading}"), 10, "it reads")
        yield end
    finally:
        end()
        process.wait(30)


def writes(lab: Lab) -> Load:
    """Visitors who write to that table."""
    accountant = lab.ask("/api/accountants").json()["accountants"][0]["id"]
    message = {"accountantId": accountant, "senderEmail": SENDER, "body": "A question."}
    return Load(lab.url, Ask("POST", "/api/messages", json.dumps(message).encode(), expect=(201,)), rate=60, timeout=30)


def attempts(lab: Lab, name: str) -> list[list[str]]:
    """What Prisma's record says of each attempt at a migration, the oldest first: finished, rolled back."""
    return [item[1:3] for item in lab.migrations() if item[0] == PLACE + name]


def test_a_migration_that_waits_for_a_lock_steps_back_and_tries_again(
    lab: Lab, begin: None, variant: Variants, artefacts: Path
) -> None:
    tag = variant.migrations("v1.2.0-hot", hot='ALTER TABLE "Message" ADD COLUMN hot TEXT;')
    with writes(lab) as load, reader(lab) as end:
        started = lab.start("deploy", "-e", f"app_version={tag}", *settings(lock_timeout=0.3))
        until(lambda: len(attempts(lab, "hot")) >= 2, 90, "it has tried twice")
        end()
        run = started.wait().good()
    report = load.report
    (artefacts / "migration-hot.txt").write_text(str(report))
    print(f"with a lock timeout: {report}")
    assert report.failed == 0, str(report)
    assert report.total > 300, str(report)
    # Nobody waited much longer than one attempt did.
    assert report.max_latency < 2.5, str(report)
    tried = attempts(lab, "hot")
    assert tried == [["f", "t"]] * (len(tried) - 1) + [["t", "f"]], f"{tried}\n{run}"


@pytest.mark.soak
def test_without_a_lock_timeout_everybody_waits(lab: Lab, begin: None, variant: Variants, artefacts: Path) -> None:
    """The control: the same reader, the same change, and the visitors stand still behind it."""
    tag = variant.migrations("v1.2.0-stall", stall='ALTER TABLE "Message" ADD COLUMN stall TEXT;')
    with writes(lab) as load, reader(lab) as end:
        started = lab.start("deploy", "-e", f"app_version={tag}", *settings(lock_timeout=3600))
        until(lambda: lab.sql(f"select 1 {MINE} wait_event_type = 'Lock'"), 90, "it waits")
        time.sleep(6)
        end()
        started.wait().good()
    (artefacts / "migration-stall.txt").write_text(str(load.report))
    print(f"without: {load.report}")
    assert load.report.max_latency > 5, str(load.report)


def killed_midway(lab: Lab, tag: str) -> str:
    """A deploy whose migration's container is killed while it sleeps; the message."""
    started = lab.start("deploy", "-e", f"app_version={tag}", *settings())
    until(lambda: lab.sql(f"select 1 {MINE} wait_event = 'PgSleep'"), 90, "the migration is under way")
    lab.on("app1", "docker", "kill", CONTAINER)
    return started.wait().error()


@pytest.mark.soak
def test_a_migration_whose_container_is_killed_is_done_again_when_nothing_of_it_is_there(
    lab: Lab, begin: None, variant: Variants
) -> None:
    tag = variant.migrations(
        "v1.2.0-crash",
        crash='ALTER TABLE "Message" ADD COLUMN crash TEXT;\nSELECT pg_sleep(4);\nALTER TABLE "Message" ADD COLUMN late TEXT;',
    )
    message = killed_midway(lab, tag)
    assert message.startswith("deploy failed in step migrate: app1: prisma migration of ")
    assert "exit code 137" in message
    assert attempts(lab, "crash")[-1] == ["f", "f"]
    run = lab.deploy(tag, *settings()).good()
    assert "failed earlier, resolve first: 30000101_crash" in run.output, str(run)
    assert attempts(lab, "crash")[-1] == ["t", "f"]
    assert set(lab.served().values()) == {"v1.1.0"}  # what the image's code calls itself


def test_what_is_half_done_is_named_and_left_to_a_person(lab: Lab, begin: None, variant: Variants) -> None:
    script = 'ALTER TABLE "Message" ADD COLUMN half TEXT;\nCOMMIT;\nSELECT pg_sleep(4);\nALTER TABLE "Message" ADD COLUMN rest TEXT;'
    tag = variant.migrations("v1.2.0-half", half=script)
    killed_midway(lab, tag)
    message = lab.deploy(tag, *settings()).error()
    assert "migration 30000101_half did not finish: 1 of its 3 statements are applied, the next one (line 3)" in message
    assert "SELECT pg_sleep(4)" in message
    assert "-e release_migration_resolve=applied" in message
    assert attempts(lab, "half")[-1] == ["f", "f"]
    # A person finishes it by hand and says so.
    lab.sql('alter table "Message" add column rest text')
    lab.deploy(tag, *settings(), "-e", "release_migration_resolve=applied").good()
    assert attempts(lab, "half")[-1] == ["t", "f"]


@pytest.mark.soak
def test_the_next_run_waits_for_a_migration_whose_controller_died(lab: Lab, begin: None, variant: Variants) -> None:
    tag = variant.migrations("v1.2.0-late", late='SELECT pg_sleep(8);\nALTER TABLE "Message" ADD COLUMN late TEXT;')
    started = lab.start("deploy", "-e", f"app_version={tag}", *settings())
    until(lambda: lab.sql(f"select 1 {MINE} wait_event = 'PgSleep'"), 90, "the migration is under way")
    started.kill()
    started.wait()
    lab.deploy(tag, *settings(), "-e", "release_wait_seconds=90").good()
    assert [item[1:] for item in lab.migrations() if item[0] == PLACE + "late"] == [["t", "f", "1"]]


def test_the_gate_and_the_way_of_expand_and_contract(lab: Lab, begin: None, variant: Variants) -> None:
    lab.sql('alter table "Message" add column gone text')
    drop = 'ALTER TABLE "Message" DROP COLUMN gone;'
    expand = 'ALTER TABLE "Message" ADD COLUMN expanded TEXT;'
    before = lab.live()
    refused = lab.deploy(variant.migrations("v1.2.0-drop", b_drop=drop), *settings(gate="refuse"))
    message = refused.error()
    assert message.startswith(
        "deploy failed in step gate: migration 30000101_b_drop is not safe for the live release, line 1"
    )
    assert "safe: remove it in a later release" in message
    assert refused.ran("Migrate | Apply") == set()
    assert lab.live() == before
    # Expand and contract at once is refused too; one after the other is not.
    mark = f"-- sluice: contract {PLACE}a_expand\n"
    both = variant.migrations("v1.2.0-contract", a_expand=expand, b_drop=mark + drop)
    assert (
        "its expand migration 30000101_a_expand is not part of the live release"
        in lab.deploy(both, *settings(gate="refuse")).error()
    )
    lab.deploy(variant.migrations("v1.2.0-expand", a_expand=expand), *settings(gate="refuse")).good()
    contracted = lab.deploy(both, *settings(gate="refuse")).good()
    assert "contract migration of 30000101_a_expand, which is released" in contracted.output
    # No way back past it, unless somebody knows better.
    message = lab.rollback(*QUICK).error()
    assert (
        "is older than the destructive migration 30000101_b_drop (-- sluice: contract), which may have removed what it uses"
        in message
    )
    assert "-e release_data=restore" in message
    lab.rollback(*QUICK, "-e", "release_allow_destructive=true").good()


def test_the_engine_sql_needs_no_tool_in_the_image(lab: Lab, begin: None, variant: Variants) -> None:
    files = {
        "1_hot.up.sql": 'ALTER TABLE "Message" ADD COLUMN hot TEXT;',
        "1_hot.down.sql": 'ALTER TABLE "Message" DROP COLUMN hot;',
        "2_index.sql": '-- sluice: no-transaction\nCREATE INDEX CONCURRENTLY message_hot ON "Message" (hot);',
    }
    tag = variant.push("v1.2.0-sql", files={f"app/sql/{name}": text for name, text in files.items()})
    run = lab.deploy(tag, *settings(engine="sql", path="sql", gate="refuse")).good()
    assert "pending    1_hot, 2_index" in run.output
    done = "select name, finished_at is not null from sluice_migrations order by name"
    assert lab.sql(done) == [["1_hot", "t"], ["2_index", "t"]]
    assert lab.sql("select indisvalid from pg_index where indexrelid = 'message_hot'::regclass") == [["t"]]
