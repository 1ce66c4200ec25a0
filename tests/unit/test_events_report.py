# SPDX-License-Identifier: Apache-2.0
"""The report of a run: what is kept of its events, as data, Markdown and a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events import record, report

REPO = Path(__file__).resolve().parents[2]
RUN = events.Run("3ece9e988bf1", "deploy", "shop", "r2", "ann@ci", "abc1234", "Fix the till", "2026-11-28T08:00:00Z")
NOW = 1795852800.0  # 2026-11-28T08:00:00Z


def at(seconds: float) -> dict[str, Any]:
    return {"time": NOW + seconds, "run": RUN}


PLANNED = events.Planned(
    **at(1),
    lines=("Deploy shop v1.1.0", "  flip       edge1"),
    previous="r1",
    images=(("web", "registry.test/shop/web@sha256:aa"),),
)
START = events.StepEnded(
    **at(5), step="start", seconds=4.0, hosts=("app1", "app2"), failed=(), summary=("2 images pulled",)
)
FLIP = events.StepEnded(**at(6), step="flip", seconds=0.4, hosts=("edge1",), failed=("edge1",), summary=())
LIVE = events.Live(**at(6), lines=("shop v1.1.0 is live",), notes=("retire: app2: timed out",))
FAILED = events.Failed(
    **at(6),
    host="edge1",
    task="release: Report",
    where="report.yml:3",
    message="deploy failed in step flip: edge1: no\na | detail",
    worded=True,
    shared=True,
    unreachable=False,
)
END = events.RunEnded(**at(7), hosts=("app1", "app2", "edge1"), seconds=7.0, check=False)


def added_up(happened: list[events.Event]) -> record.Record:
    """The record of these events."""
    found = record.Record()
    for event in happened:
        found.add(event)
    return found


def test_a_deploy_adds_up() -> None:
    data = added_up([PLANNED, START, LIVE, END]).data()
    assert data == json.loads(json.dumps(data))
    assert {name: data[name] for name in ("app", "release", "previous", "who", "revision", "outcome")} == {
        "app": "shop",
        "release": "r2",
        "previous": "r1",
        "who": "ann@ci",
        "revision": "abc1234",
        "outcome": "live",
    }
    assert (data["started"], data["ended"], data["seconds"]) == ("2026-11-28T08:00:00Z", "2026-11-28T08:00:07Z", 7.0)
    assert data["steps"] == [
        {"step": "start", "seconds": 4.0, "hosts": ["app1", "app2"], "failed": [], "summary": ["2 images pulled"]}
    ]
    assert data["images"] == {"web": "registry.test/shop/web@sha256:aa"}
    assert data["report"] == "20261128T080000Z-shop-deploy-3ece9e988bf1"


@pytest.mark.parametrize(
    ("happened", "outcome"),
    [
        ([PLANNED, LIVE, END], "live"),
        ([PLANNED, events.RolledBack(**at(6), lines=(), notes=()), END], "rolled back"),
        ([PLANNED, events.Reported(**at(6), lines=(), notes=()), END], "done"),
        ([PLANNED, LIVE, FAILED, END], "failed"),
        ([PLANNED, events.RunEnded(**at(7), hosts=(), seconds=7.0, check=True)], "planned"),
    ],
)
def test_how_a_run_ended(happened: list[events.Event], outcome: str) -> None:
    assert added_up(happened).data()["outcome"] == outcome


def step(name: str, *failed: str) -> events.StepEnded:
    return events.StepEnded(**at(2), step=name, seconds=1.0, hosts=("app1",), failed=failed, summary=())


@pytest.mark.parametrize(
    ("happened", "code"),
    [
        ([PLANNED, step("start"), LIVE], record.OK),
        ([FAILED], record.REFUSED),
        ([PLANNED, step("fence"), step("pending", "app1"), FAILED], record.REFUSED),
        ([PLANNED, step("migrate"), step("start", "app1"), step("failure"), FAILED], record.KEPT),
        ([step("observe"), FAILED], record.REFUSED),
        ([PLANNED, step("migrate", "app1"), FAILED], record.ATTENTION),
        ([PLANNED, step("start"), step("flip"), step("confirm"), step("workers", "app1"), FAILED], record.ATTENTION),
    ],
)
def test_programs_are_told_the_kind_of_ending(happened: list[events.Event], code: int) -> None:
    assert added_up([*happened, END]).data()["code"] == code


def test_every_step_of_a_deploy_is_judged_on_purpose() -> None:
    """A step that somebody adds has to be put into one of the kinds."""
    play = yaml.safe_load((REPO / "playbooks" / "deploy.yml").read_text())[-1]
    after = {"migrate", "confirm", "workers", "drain", "retire", "revert", "unlock"}
    assert {*play["vars"]["release_steps"], "gates", "fence"} == {*record.PREPARING} | after


def test_a_run_that_only_reads_leaves_no_report() -> None:
    started = events.RunStarted(**at(0))
    assert not added_up([started, END]).worth_it()
    assert added_up([started, PLANNED, END]).worth_it()
    assert added_up([started, FAILED, END]).worth_it(), "what was refused before its plan"
    stranger = {"time": NOW, "run": events.Run()}
    assert not added_up([events.RunEnded(**stranger, hosts=("a",), seconds=1.0, check=False)]).worth_it()


def test_markdown_has_the_error_the_steps_and_the_plan() -> None:
    text = report.markdown(added_up([PLANNED, START, FLIP, FAILED, END]).data())
    assert text.startswith("### Deploy of shop: failed\n\n```\ndeploy failed in step flip: edge1: no\na | detail\n```")
    assert "| start | 4.0 | app1, app2 | 2 images pulled |" in text
    assert "| flip | 0.4 | edge1 | failed on edge1 |" in text
    assert "<details><summary>Plan</summary>\n\n```\nDeploy shop v1.1.0\n  flip       edge1\n```" in text


HOSTILE = "v1|<script>alert(1)</script>`$(id)`\n```\n# [x](javascript:y)"


def test_what_others_wrote_is_text_in_both() -> None:
    planned = events.Planned(**at(1), lines=(HOSTILE,), images=(("web", HOSTILE),))
    failed = events.Failed(**{**FAILED.__dict__, "message": HOSTILE})
    data = added_up([planned, failed, END]).data()
    page, text = report.html(data), report.markdown(data)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    # Its three backticks do not end the block, and its row stays one row.
    assert text.count("\n````\n") == 4 and "\n### " not in text[4:]
    row = next(line for line in text.splitlines() if line.startswith("| web |"))
    assert row.count(" | ") == 1 and "\\<script\\>" in row and "\\|" in row
    # The control: without escaping the page would have it.
    assert "<script" in HOSTILE


def test_a_page_shows_when_each_step_ran() -> None:
    page = report.html(added_up([PLANNED, START, FLIP, LIVE, END]).data())
    assert "margin-left:0.00%;width:90.91%" in page and "margin-left:90.91%;width:9.09%" in page
    assert "<tr class=bad><th>flip</th>" in page and "Warning: retire: app2: timed out" in page


# what a run changed, and how it went

BUILT = (
    events.Built("r2", "web", "def5678", "2026-11-28T07:00:00+00:00"),
    events.Built("r1", "web", "abc1234"),
    events.Built("r0", "web", "0000000"),
)
RICH = [
    events.Planned(
        **at(1),
        lines=("Deploy shop v1.1.0",),
        previous="r1",
        images=(("web", "registry.test/shop/web@sha256:bb"),),
        previous_images=(("web", "registry.test/shop/web@sha256:aa"),),
        changes=("services.web.env.GREETING", "services.web.image", "services.web.secrets.TOKEN", "version"),
    ),
    events.StepEnded(
        **at(5),
        step="start",
        seconds=4.0,
        hosts=("app1", "app2"),
        failed=(),
        summary=(),
        parts=(
            ("app1", (("pull", 1.5), ("start", 0.4), ("healthy", 2.0))),
            ("app2", (("pull", 0.1), ("healthy", 0.5))),
        ),
        built=BUILT,
    ),
    events.StepEnded(
        **at(4), step="migrate", seconds=1.0, hosts=("app1",), failed=(), summary=(), migrations=("1_add", "2_fill")
    ),
    events.Compared(
        **at(6),
        percent=10,
        decision="pass",
        new=events.Sample(200, 1, 0.01, 0.08),
        old=events.Sample(1800, 4, 0.011, 0.07),
    ),
    LIVE,
    END,
]


def test_a_report_has_what_changed_by_name_the_commits_and_why() -> None:
    data = added_up(RICH).data()
    assert data["reason"] == "Fix the till"
    assert data["commits"] == {"web": {"before": "abc1234", "after": "def5678", "created": "2026-11-28T07:00:00+00:00"}}
    assert report.changed(data) == [
        ("Images", "web"),
        ("Environment", "web: GREETING"),
        ("Secrets", "web: TOKEN"),
        ("Settings", "version"),
        ("Migrations", "1_add, 2_fill"),
    ]
    text = report.markdown(data)
    assert "| web | registry.test/shop/web\\@sha256:bb | sha256:aa | def5678 | abc1234 |" in text
    assert "| Why | Fix the till |" in text
    assert "| 10 % | pass | 200 | 1 | 80 ms | 1800 | 4 | 70 ms |" in text


def test_a_page_plots_the_start_and_the_canary_for_all_eyes() -> None:
    page = report.html(added_up(RICH).data())
    assert page.count("<svg ") == 3 and page.count('role="img"') == 3
    assert "app1: pull 1.5 s" in page and "app2: 0.6 s" in page
    assert "10 %: new 0.5 %, old 0.222 %" in page and "10 %: new 80 ms, old 70 ms" in page
    assert "<svg" not in report.html(added_up([PLANNED, START, LIVE, END]).data()), "where nothing was measured"


def other(action: str, *happened: events.Event) -> dict[str, Any]:
    run = events.Run("aa", action, "db1", started="2026-11-28T08:00:00Z")
    found = record.Record()
    for event in (events.RunStarted(time=NOW, run=run), *happened, END):
        found.add(type(event)(**{**vars(event), "run": run}))
    assert found.worth_it()
    return found.data()


SAID = events.Message(**at(1), lines=("plan 7c1", "restored to 10:15"))
CHANGED = events.Changed(**at(2), host="db1", task="restore", diff="", check=False)


def test_restores_and_drills_leave_reports_of_what_they_printed() -> None:
    drill = other("drill", SAID)
    assert (drill["outcome"], drill["code"], drill["result"]) == ("done", record.OK, ["plan 7c1", "restored to 10:15"])
    assert other("drill", FAILED)["code"] == record.ATTENTION
    assert other("restore", SAID)["outcome"] == "planned"
    assert other("restore", SAID, CHANGED)["outcome"] == "done"
    assert other("restore", FAILED)["code"] == record.REFUSED
    assert other("restore", CHANGED, FAILED)["code"] == record.ATTENTION
    assert other("files restore", SAID)["report"] == "20261128T080000Z-db1-files_restore-aa"


def test_a_dry_run_that_failed_changed_nothing() -> None:
    dry = events.RunEnded(**{**vars(END), "check": True})
    assert added_up([PLANNED, step("migrate", "app1"), FAILED, dry]).data()["code"] == record.REFUSED


def test_a_failure_that_could_not_be_cleaned_up_is_for_a_person() -> None:
    reverted = [PLANNED, step("migrate"), step("start", "app1"), step("failure_revert"), FAILED]
    assert added_up(reverted).data()["code"] == record.KEPT
    stuck = [*reverted[:3], step("failure_revert", "app1"), FAILED]
    assert added_up(stuck).data()["code"] == record.ATTENTION
