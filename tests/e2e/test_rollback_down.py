# SPDX-License-Identifier: Apache-2.0
"""A release is taken back with its schema: the release before serves first, then what only the undone one used goes, and nobody notices."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.test_migrations import SENDER, clean, settings, writes
from tests.support.images import UNHEALTHY, Variants
from tests.support.lab import APP_HOSTS, MIGRATION, QUICK, Lab, health_window

FIRST = {
    "1_hot.up.sql": 'ALTER TABLE "Message" ADD COLUMN hot TEXT;',
    "1_hot.down.sql": 'ALTER TABLE "Message" DROP COLUMN hot;',
}
SECOND = {
    "2_late.up.sql": 'ALTER TABLE "Message" ADD COLUMN late TEXT;',
    "2_late.down.sql": 'ALTER TABLE "Message" DROP COLUMN late;',
    # Undone first, or the one before cannot be: it is about its column.
    "3_rest.up.sql": 'CREATE VIEW message_late AS SELECT late FROM "Message";',
    "3_rest.down.sql": "DROP VIEW message_late;",
}
SQL = settings(engine="sql", path="sql")
AUTOMATIC = (*SQL, "-e", json.dumps({"app_rollback": {"data": "down", "automatic": True}}))
DOWN = (*SQL, "-e", json.dumps({"app_rollback": {"data": "down"}}))


@contextlib.contextmanager
def cleaned(lab: Lab) -> Iterator[None]:
    """v1.0.0 is live, and no migration of a test is in the database, before and after."""
    if not any(item[0].startswith(MIGRATION) for item in lab.migrations()):
        lab.deploy("v1.1.0", *QUICK).good()  # what all versions here are made of works on its schema
    lab.ensure("v1.0.0")
    lab.sql("drop view if exists message_late")
    clean(lab)
    yield
    lab.sql("drop view if exists message_late")
    lab.ensure("v1.0.0")
    clean(lab)


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> Iterator[None]:
    """Where every test begins."""
    with cleaned(lab):
        yield


def push(variant: Variants, tag: str, files: dict[str, str], command: list[str] | None = None) -> str:
    """A version with the migrations in ``files``."""
    return variant.push(tag, command, files={f"app/sql/{name}": text for name, text in files.items()})


def columns(lab: Lab) -> set[str]:
    """What the catalogue has of the tests' columns, and of the view."""
    found = lab.sql(
        "select column_name from information_schema.columns where table_name = 'Message' and column_name in ('hot', 'late') "
        "union select table_name from information_schema.views where table_name = 'message_late'"
    )
    return {row[0] for row in found}


def applied(lab: Lab) -> list[str]:
    """The record of the engine sql."""
    return [row[0] for row in lab.sql("select name from sluice_migrations order by name")]


def others(lab: Lab) -> list[list[str]]:
    """A fingerprint of what nobody writes to meanwhile: the messages' own columns, and the users."""
    one = "select count(*), md5(string_agg({0}, ',' order by {0}))"
    message = (
        one.format("concat_ws('|', id, \"senderEmail\", body, hot)")
        + f' from "Message" where "senderEmail" <> \'{SENDER}\''
    )
    return lab.sql(message) + lab.sql(one.format("t::text") + ' from "User" t')


def test_the_schema_goes_back_when_the_release_before_serves(lab: Lab, begin: None, variant: Variants) -> None:
    first = push(variant, "v1.2.0-first", FIRST)
    lab.deploy(first, *SQL).good()
    before, kept = lab.live(), others(lab)
    lab.deploy(push(variant, "v1.2.0-second", FIRST | SECOND), *DOWN).good()
    reverted = lab.live()
    assert columns(lab) == {"hot", "late", "message_late"}

    with writes(lab) as load:
        run = lab.rollback(*DOWN).good()
    report = load.report
    print(f"{run.seconds:.1f} s; visitors: {report}")
    assert report.failed == 0 and report.total > 100, str(report)
    assert f"revert     migration 3_rest, 2_late of {reverted}, once that release is stopped, on app1" in run.output
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"]
    assert lab.live() == before and others(lab) == kept
    written = lab.sql(f'select count(*) from "Message" where "senderEmail" = \'{SENDER}\'')
    assert written == [[str(report.total)]], "what visitors wrote is there, to the row"
    # Nothing of the undone release is kept warm, and the app is nobody's.
    assert all(item["release"] == before for host in APP_HOSTS for item in lab.containers(host).values())
    assert set(lab.leases().values()) == {None}
    assert (
        f"reverted in the database: 3_rest, 2_late of {reverted}" in lab.playbook("playbooks/app/history").good().output
    )
    # It is not gone back to without what it was live with.
    there = lab.state()
    message = lab.rollback(*DOWN, "-e", f"release_to={reverted}").error()
    assert f"release {reverted} expects migration 2_late, 3_rest, which is no longer in the database" in message
    assert {**lab.state(), "files": None} == {**there, "files": None}


@pytest.mark.soak
def test_what_was_undone_can_come_again_and_stays_where_that_is_the_word(
    lab: Lab, begin: None, variant: Variants
) -> None:
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    before = lab.live()
    second = push(variant, "v1.2.0-second", FIRST | SECOND)
    for data, left in (("down", {"hot"}), ("forward", {"hot", "late", "message_late"})):
        lab.deploy(second, *DOWN).good()
        assert columns(lab) == {"hot", "late", "message_late"}
        lab.rollback(*DOWN, "-e", f"release_data={data}").good()
        assert columns(lab) == left and lab.live() == before


@pytest.mark.soak
def test_a_rollback_that_dies_before_it_undoes_is_ended_by_the_same_command(
    lab: Lab, begin: None, variant: Variants
) -> None:
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    before = lab.live()
    lab.deploy(push(variant, "v1.2.0-second", FIRST | SECOND), *DOWN).good()
    reverted = lab.live()
    died = lab.start("rollback", *DOWN, kill="start:Revert | Undo").wait()
    assert died.code == -signal.SIGKILL, str(died)
    assert lab.live() == before and columns(lab) == {"hot", "late", "message_late"}
    # What was begun is not forgotten.
    left = lab.rollback(*SQL, "-e", "release_data=forward", "-e", "release_wait_seconds=60").error()
    assert f"has yet to revert migration 2_late, 3_rest of {reverted}" in left
    run = lab.rollback(*DOWN, "-e", "release_wait_seconds=60").good()
    assert run.ran("Flip | ") == set()
    assert lab.live() == before and columns(lab) == {"hot"} and applied(lab) == ["1_hot"]


def test_a_deploy_that_fails_takes_back_what_it_migrated(lab: Lab, begin: None, variant: Variants) -> None:
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    before, kept = lab.live(), others(lab)
    tag = push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY)
    with writes(lab) as load:
        failed = lab.deploy(tag, *AUTOMATIC, *health_window(3)).error()
    assert failed.startswith("deploy failed in step start: ") and f"Release {before} is still live" in failed
    assert failed.split("\n")[-1] == "Its migration 2_late, 3_rest was reverted", failed
    assert load.report.failed == 0, str(load.report)
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"]
    assert lab.live() == before and others(lab) == kept
    assert all(item["release"] == before for host in APP_HOSTS for item in lab.containers(host).values())
    assert set(lab.leases().values()) == {None}
    assert "reverted in the database: 3_rest, 2_late of" in lab.playbook("playbooks/app/history").good().output


@pytest.mark.soak
def test_what_the_live_release_expects_is_not_undone_with_the_rest(lab: Lab, begin: None, variant: Variants) -> None:
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    before = lab.live()
    # As after a restore to the moment before it.
    lab.sql('alter table "Message" drop column hot; delete from sluice_migrations')
    failed = lab.deploy(push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY), *AUTOMATIC, *health_window(3)).error()
    told = ["Its migration 2_late, 3_rest was reverted", "Migration 1_hot stays: the live release expects it"]
    assert failed.split("\n")[-2:] == told, failed
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"] and lab.live() == before


@pytest.mark.soak
def test_a_deploy_that_fails_ends_with_what_a_person_types(lab: Lab, begin: None, variant: Variants) -> None:
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    before, kept = lab.live(), others(lab)
    failed = lab.deploy(push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY), *DOWN, *health_window(3)).error()
    aim, _, command = failed.split("\n")[-1].partition(": ansible-playbook rollback.yml ")
    assert aim == "To revert its migration 2_late, 3_rest"
    assert columns(lab) == {"hot", "late", "message_late"}, "nothing was undone yet"
    with writes(lab) as load:
        lab.rollback(*DOWN, *command.split()).good()
    assert load.report.failed == 0, str(load.report)
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"]
    assert lab.live() == before and others(lab) == kept


@pytest.mark.soak
def test_what_has_no_way_back_is_refused_before_anything_changes(lab: Lab, begin: None, variant: Variants) -> None:
    # No down file.
    lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
    lone = {name: text for name, text in SECOND.items() if name != "2_late.down.sql"}
    tag = push(variant, "v1.2.0-lone", FIRST | lone)
    # Also before it is there.
    message = lab.deploy(tag, *DOWN).error()
    assert message.startswith("deploy failed in step gate: migration 2_late has no down migration") and columns(
        lab
    ) == {"hot"}
    lab.deploy(tag, *SQL).good()
    before, there = lab.state(), columns(lab)
    message = lab.rollback(*DOWN).error()
    assert "migration 2_late has no down file (2_late.down.sql) in the image" in message
    after = lab.state()
    assert (after["record"], after["containers"], columns(lab)) == (before["record"], before["containers"], there)
    lab.rollback(*SQL).good()
    # A tool without a way back.
    lab.ensure("v1.0.0")
    lab.unmigrate()
    lab.deploy("v1.1.0", *QUICK).good()
    state = lab.state()
    message = lab.rollback("-e", "release_data=down").error()
    assert f"cannot revert migration {MIGRATION}" in message and "prisma has no down migrations" in message
    assert {**lab.state(), "files": None} == {**state, "files": None}
    assert (lab.live() or "").endswith("-v1.1.0")
