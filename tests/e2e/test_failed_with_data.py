# SPDX-License-Identifier: Apache-2.0
"""A release that failed after its migration is taken back with the data, by a person's command or by itself; the live release stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.test_migrations import SENDER
from tests.e2e.test_rollback_down import FIRST, SECOND, SQL, applied, cleaned, columns, push
from tests.e2e.test_rollback_with_data import DATA, EITHER, counted, said
from tests.support.images import UNHEALTHY, Variants
from tests.support.lab import APP_HOSTS, PREFIX, Lab, health_window, until
from tests.support.load import Ask, Load

RESTORE = ("-e", "release_data=restore")
AUTOMATIC = (*SQL, "-e", json.dumps({"app_rollback": {"data": "restore", "automatic": True}}))


@pytest.fixture
def before(lab: Lab, v1_0_0: str, variant: Variants) -> Iterator[str]:
    """A release with one migration is live, and there is a backup from before it."""
    with cleaned(lab):
        lab.on("db1", "sluice-backup", "full", timeout=240)
        lab.deploy(push(variant, "v1.2.0-first", FIRST), *SQL).good()
        yield lab.live() or ""
        if (lab.record() or {}).get("maintenance"):
            lab.playbook("playbooks/app/maintenance", "-e", "maintenance=off").good()
        lab.shell("db1", f"rm -rf {DATA}.before-* {DATA}.rewind")


@pytest.fixture
def write(lab: Lab) -> Callable[[], None]:
    """Three messages of visitors."""
    accountant = lab.ask("/api/accountants").json()["accountants"][0]["id"]
    message = {"accountantId": accountant, "senderEmail": SENDER, "body": "Too late."}

    def three() -> None:
        assert [lab.ask("/api/messages", "POST", message).status for _ in range(3)] == [201] * 3

    return three


def restored(lab: Lab, before: str) -> None:
    """Nothing is left of the release that failed, nor of what was written since; the one before serves."""
    assert lab.live() == before
    assert columns(lab) == {"hot"} and applied(lab) == ["1_hot"]
    assert lab.sql(f'select count(*) from "Message" where "senderEmail" = \'{SENDER}\'') == [["0"]]
    assert lab.ask("/api/version").status == 200 and set(lab.leases().values()) == {None}
    assert all(item["release"] == before for host in APP_HOSTS for item in lab.containers(host).values())


@pytest.mark.soak
def test_by_itself_where_the_environment_says_so(
    lab: Lab, before: str, variant: Variants, write: Callable[[], None]
) -> None:
    cold = push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY)
    asks = (Ask("GET", "/api/accountants", expect=EITHER), Ask("GET", "/api/version", expect=EITHER))
    with Load(lab.url, *asks, rate=40) as load:
        deploy = lab.start("deploy", "-e", f"app_version={cold}", *AUTOMATIC, *health_window(10))
        # While the new release starts: what comes after its restore point, written by visitors of the live one.
        until(lambda: columns(lab) == {"hot", "late", "message_late"}, 60, "the migration")
        write()
        run = deploy.wait()
    failed = run.error()
    print(f"{run.seconds:.0f} s; visitors: {load.report}")
    assert "on failure all data is restored automatically to the point before the migrations" in said(run)
    assert failed.startswith("deploy failed in step start: ") and f"Release {before} is still live" in failed
    last = "The data was restored to the point before its migration 2_late, 3_rest; the rows lost are counted above"
    assert failed.split("\n")[-1] == last, failed
    assert counted(run)["Message"] == (3, 0, 0)
    assert load.report.failed == 0, str(load.report)
    restored(lab, before)
    history = " ".join(lab.playbook("playbooks/app/history").good().output.split())
    assert "restore restored the data, to the restore point of" in history


@pytest.mark.soak
def test_what_does_not_go_back_by_itself_ends_with_the_command(
    lab: Lab, before: str, variant: Variants, write: Callable[[], None]
) -> None:
    cold = push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY)
    program = "/usr/local/sbin/sluice-backup"
    run = lab.start(
        "deploy",
        *("-e", f"app_version={cold}"),
        *AUTOMATIC,
        *health_window(3),
        kill="result:Failure | Record it",
        instead=f"docker exec {PREFIX}-db1 mv {program} {program}.away",
    ).wait()
    lab.on("db1", "mv", f"{program}.away", program)
    write()
    # The run that it began has failed as well, and said why.
    why, failed = (item["message"] for item in run.events if item["status"] == "failed" and not item["ignored"])
    assert why.startswith("db1: sluice-backup is not installed, or is broken")
    what, command = failed.split("\n")[-2:]
    assert what.startswith(
        "Restoring the data to the point before its migration 2_late, 3_rest failed: edge1: rollback.yml ended"
    )
    assert columns(lab) == {"hot", "late", "message_late"} and lab.ask("/api/version").status == 200, (
        "nothing was changed"
    )
    _, _, words = command.partition(": ansible-playbook rollback.yml ")
    run = lab.rollback(*SQL, *words.split()).good()
    assert counted(run)["Message"] == (3, 0, 0)
    restored(lab, before)


@pytest.mark.soak
def test_by_a_persons_command(lab: Lab, before: str, variant: Variants, write: Callable[[], None]) -> None:
    cold = push(variant, "v1.2.0-cold", FIRST | SECOND, UNHEALTHY)
    failed = lab.deploy(cold, *SQL, *RESTORE, *health_window(3)).error()
    aim, _, command = failed.split("\n")[-1].partition(": ansible-playbook rollback.yml ")
    assert aim == "To restore the data to the point before it"
    write()
    # Only what failed beside the live release is taken back so.
    wrong = lab.rollback(*RESTORE, "-e", "rollback_confirm=yes").error()
    assert wrong.startswith(f"rollback_confirm=yes: the live release is {before}")
    run = lab.rollback(*SQL, *command.split()).good()
    assert counted(run)["Message"] == (3, 0, 0)
    assert run.ran("Flip | ") == set()
    restored(lab, before)
