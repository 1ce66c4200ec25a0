# SPDX-License-Identifier: Apache-2.0
"""A release is taken back with its data: what goes is said to the row, and what was there before is there again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.lab import APP, APP_HOSTS, MIGRATION, PREFIX, QUICK, Lab
from tests.support.load import Ask, Load
from tests.support.playbook import Run

SENDER, STAYS = "taken-back@example.com", "stays@example.com"
DATA = "/var/lib/postgresql/17/main"
UNDO = ("-e", "release_data=restore")
EITHER = (200, 503)


def rows(lab: Lab) -> dict[str, str]:
    """Every table of the app with a fingerprint of its rows, by the database's own text of them."""
    names = [
        line[0] for line in lab.sql("select relname from pg_stat_user_tables where schemaname = 'public' order by 1")
    ]
    one = "select count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' order by t::text)), '')"
    return {name: lab.sql(f'{one} from public."{name}" t')[0][0] for name in names}


def ask_questions(lab: Lab, sender: str, times: int) -> None:
    """Visitors write messages."""
    accountant = lab.ask("/api/accountants").json()["accountants"][0]["id"]
    body = {"accountantId": accountant, "senderEmail": sender, "body": "A question."}
    assert [lab.ask("/api/messages", "POST", body).status for _ in range(times)] == [201] * times


@pytest.fixture
def unmigrated(lab: Lab, v1_0_0: str) -> Iterator[dict[str, str]]:
    """v1.0.0 is live on its own schema; the rows there are. Afterwards nothing is left of the test but v1.0.0."""
    lab.unmigrate()
    lab.sql(f"delete from \"Message\" where \"senderEmail\" in ('{SENDER}', '{STAYS}')")
    ask_questions(lab, STAYS, 2)
    lab.on("db1", "sluice-backup", "full", timeout=240)
    yield rows(lab)
    if (lab.record() or {}).get("maintenance"):
        lab.playbook("playbooks/app/maintenance", "-e", "maintenance=off").good()
    lab.sql(f"delete from \"Message\" where \"senderEmail\" in ('{SENDER}', '{STAYS}')")
    lab.shell("db1", f"rm -rf {DATA}.before-* {DATA}.rewind")
    lab.ensure("v1.0.0")


def write(lab: Lab) -> dict[str, int]:
    """Visitors and a person change rows under v1.1.0; what the database acknowledged, by kind."""
    ask_questions(lab, SENDER, 12)
    lab.sql('update "User" set name = name || \' II\' where id in (select id from "User" order by id limit 3)')
    lab.sql(
        f'delete from "Message" where id = (select id from "Message" where "senderEmail" = \'{STAYS}\' order by id limit 1)'
    )
    return {"inserted": 12, "updated": 3, "deleted": 1}


def said(run: Run) -> str:
    """What a run printed, without the line breaks that a long line was given."""
    return " ".join(run.output.split())


def counted(run: Run) -> dict[str, tuple[int, int, int]]:
    """What the run printed: table → inserted, updated, deleted. The last word on each table counts."""
    found = re.findall(rf"reverted +{APP}\.public\.(\S+): (\d+) inserted, (\d+) updated, (\d+) deleted", said(run))
    return {name: (int(a), int(b), int(c)) for name, a, b, c in found}


def test_back_to_v1_0_0_with_the_rows_of_before(lab: Lab, unmigrated: dict[str, str]) -> None:
    lab.deploy("v1.1.0", *QUICK).good()
    reverted = lab.live() or ""
    made = write(lab)
    with_changes = rows(lab)

    run = lab.rollback(*UNDO).good()
    tables = counted(run)
    message, user = tables["Message"], tables["User"]
    assert message == (made["inserted"], 0, made["deleted"])
    assert user == (0, made["updated"], 0)
    assert tables["_prisma_migrations"][0] >= 1, "the note of the migration goes, too"
    assert f"column {APP}.public.CharteredAccountant.specialty was added since, and goes" in said(run)
    command = f"ansible-playbook rollback.yml -e release_data=restore -e rollback_confirm={reverted}"
    assert command in said(run)
    assert rows(lab) == with_changes and lab.live() == reverted, "nothing was changed"

    # A wrong name changes nothing either.
    wrong = lab.rollback(*UNDO, "-e", "rollback_confirm=yes").error()
    assert wrong.startswith(f"rollback_confirm=yes: the live release is {reverted}")
    assert rows(lab) == with_changes

    # A row that nobody was told of: it is in the last count.
    lab.sql(
        f'update "Message" set body = \'late\' where id = (select max(id::text)::uuid from "Message" where "senderEmail" <> \'{SENDER}\')'
    )
    ask = (Ask("GET", "/api/accountants", expect=EITHER), Ask("GET", "/api/version", expect=EITHER))
    with Load(lab.url, *ask, rate=40) as load:
        done = lab.rollback(*UNDO, "-e", f"rollback_confirm={reverted}", *QUICK).good()
    print(f"{done.seconds:.0f} s; visitors: {load.report}")
    assert counted(done)["Message"] == (made["inserted"], 1, made["deleted"])
    assert load.report.failed == 0, str(load.report)

    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    assert (lab.record() or {})["maintenance"] is None
    assert set(lab.leases().values()) == {None}
    assert rows(lab) == unmigrated
    assert not any(item[0].startswith(MIGRATION) for item in lab.migrations())
    status = json.loads(lab.on("db1", "sluice-backup", "--json", "status"))
    assert status["problems"] == []
    history = " ".join(lab.playbook("playbooks/app/history").good().output.split())
    assert f"restore restored the data, to the restore point of {reverted} by" in history
    # The same again finds that it was done, and goes back no further.
    again = lab.rollback(*UNDO, "-e", f"rollback_confirm={reverted}").error()
    assert f"{reverted} was rolled back already" in again
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")


@pytest.mark.soak
def test_a_run_that_fails_or_dies_half_way_is_ended_by_the_same_command(lab: Lab, unmigrated: dict[str, str]) -> None:
    lab.deploy("v1.1.0", *QUICK).good()
    reverted = lab.live() or ""
    write(lab)
    with_changes = rows(lab)
    confirmed = (*UNDO, "-e", f"rollback_confirm={reverted}", *QUICK)
    # Something is in the way of the data when everybody is kept out already: nothing of the release is touched either.
    in_the_way = f"{DATA}.before-{reverted}"
    plant = f"docker exec {PREFIX}-db1 mkdir {in_the_way}"
    failed = lab.start(
        "rollback", *confirmed, kill="start:Maintenance | Fail when an edge was not switched", instead=plant
    ).wait()
    assert f"{in_the_way} is there" in failed.error() and "The maintenance page stays" in failed.error()
    assert failed.ran("Fence | Take the app") and not failed.ran("Flip | ")
    assert lab.ask("/api/version").status == 503
    assert lab.live() == reverted and rows(lab) == with_changes
    lab.on("db1", "rmdir", in_the_way)
    # The controller dies when the data are back and the release is not.
    died = lab.start("rollback", *confirmed, kill="start:Rollback | Print what to do").wait()
    assert died.code != 0
    assert lab.ask("/api/version").status == 503, "the maintenance page stays"
    assert lab.live() == reverted
    lab.rollback(*confirmed, "-e", "release_wait_seconds=60").good()
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    assert rows(lab) == unmigrated
