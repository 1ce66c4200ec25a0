# SPDX-License-Identifier: Apache-2.0
"""The pages people get, made of data as a real run leaves it: a deploy with a canary, one that failed, and a quarter of releases."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, judge
from ansible_collections.sluice.stack.plugins.module_utils.chaos import report as chaos_report
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Promise
from ansible_collections.sluice.stack.plugins.module_utils.chaos.judge import Sample, Times
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events import figures_page, record, report
from ansible_collections.sluice.stack.plugins.module_utils.release import figures, ledger

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
APPS, EDGES = ("app1", "app2"), ("edge1", "edge2")
RELEASE, BEFORE = "20261128T075930Z-v1.4.2", "20261121T101500Z-v1.4.1"
REGISTRY = "registry.example.com/marketplace"
STEPS: tuple[tuple[str, tuple[str, ...], float, tuple[str, ...]], ...] = (
    ("fence", (*APPS, *EDGES), 0.9, ()),
    ("pending", APPS[:1], 2.2, ()),
    ("restore_point", ("db1",), 1.4, ()),
    ("migrate", APPS[:1], 5.2, ("1 migration applied",)),
    ("start", APPS, 6.4, ("2 images pulled",)),
    ("canary", EDGES, 184.0, ()),
    ("flip", EDGES, 0.4, ()),
    ("confirm", EDGES, 0.6, ()),
    ("retire", APPS, 0.7, ()),
)


def _image(service: str, digit: str) -> tuple[str, str]:
    return service, f"{REGISTRY}/{service}@sha256:{digit * 64}"


def _deploy(*, fails: bool) -> dict[str, Any]:
    clock = NOW.timestamp()
    run = events.Run(
        "3ece9e988bf1", "deploy", "marketplace", RELEASE, "octocat@github", "9fceb02d0ae598e95dc970b74767f19372d61af8"
    )
    run = events.Run(
        **{**vars(run), "reason": "v1.4.2: book hours in blocks of two", "started": "2026-11-28T08:00:00Z"}
    )
    at: dict[str, Any] = {"time": clock, "run": run}
    happened: list[events.Event] = [
        events.Planned(
            **at,
            lines=(
                f"Deploy marketplace v1.4.2 as release {RELEASE} (token 41); live now: release {BEFORE} in blue",
                "  migrate    prisma, in backend's new image, once, on app1",
                "  start      app1: backend on port 20815, frontend on port 20817 in green",
                "  flip       edge1, edge2: all requests from blue to green; reverts automatically unless confirmed",
            ),
            status="change",
            previous=BEFORE,
            images=(_image("backend", "b"), _image("frontend", "c")),
            previous_images=(_image("backend", "a"), _image("frontend", "c")),
            changes=(
                *("services.backend.env.BOOKING_BLOCK", "services.backend.env.LOG_LEVEL", "services.backend.image"),
                *("services.backend.secrets.MAIL_TOKEN", "version"),
            ),
        )
    ]
    for step, hosts, seconds, summary in STEPS:
        clock += seconds
        bad = fails and step == "canary"
        parts = tuple((host, (("pull", 3.1 - n), ("start", 0.5), ("healthy", 2.8 - n))) for n, host in enumerate(hosts))
        happened.append(
            events.StepEnded(
                time=clock,
                run=run,
                step=step,
                seconds=seconds,
                hosts=hosts,
                failed=hosts if bad else (),
                summary=summary,
                migrations=("20261115090000_accountant_specialty",) if step == "migrate" else (),
                parts=parts if step == "start" else (),
                built=(
                    events.Built(RELEASE, "backend", "f00dfacecafe0123", "2026-11-28T07:31:00+00:00"),
                    events.Built(BEFORE, "backend", "0ddba11deadbeef0"),
                )
                if step == "start"
                else (),
            )
        )
        if bad:
            break
    for percent, worse in ((5, 1.0), (25, 1.1), (50, 4.0 if fails else 0.9)):
        happened.append(
            events.Compared(
                time=clock,
                run=run,
                percent=percent,
                decision="fail" if worse > 2 else "pass",
                new=events.Sample(100 * percent, round(percent * worse / 5), 0.012, 0.083 * worse),
                old=events.Sample(100 * (100 - percent), (100 - percent) // 5, 0.012, 0.081),
            )
        )
    if fails:
        message = f"deploy failed in step canary: the new release is worse: errors. Release {BEFORE} is still live.\nedge1: 40 of 5000 requests"
        happened.append(
            events.Failed(
                time=clock,
                run=run,
                host="edge1",
                task="",
                where="",
                message=message,
                worded=True,
                shared=True,
                unreachable=False,
            )
        )
    else:
        lines = (f"marketplace v1.4.2 is live (release {RELEASE}, slot green), 201.8 s",)
        happened.append(
            events.Live(time=clock, run=run, lines=lines, notes=("retire: app2: the old release is still busy",))
        )
    happened.append(
        events.RunEnded(time=clock, run=run, hosts=(*APPS, *EDGES), seconds=clock - NOW.timestamp(), check=False)
    )
    found = record.Record()
    for event in happened:
        found.add(event)
    return found.data()


def _quarter() -> dict[str, Any]:
    dice = random.Random(7)
    entries: list[ledger.Entry] = []
    moment, releases, token = NOW - timedelta(days=92), [""], 0
    while (moment := moment + timedelta(hours=dice.uniform(6, 90))) < NOW:
        token += 1
        run = {"action": "deploy", "id": f"{token:012x}", "who": dice.choice(("octocat@github", "ann@build"))}
        name, text = f"{moment:%Y%m%dT%H%M%SZ}-v1.{token}.0", moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        manifest = {"id": name, "version": f"v1.{token}.0"}
        fate = dice.random()
        if fate < 0.12:
            failed = ledger.entry("failed", token=token, time=text, run=run, manifest=None, step="start")
            entries.append({**failed, "release": name})
            continue
        built = moment - timedelta(seconds=dice.lognormvariate(8.5, 1.3))
        created = {"created": built.isoformat(), "revision": ""}
        entries.append(ledger.entry("confirmed", token=token, time=text, run=run, manifest=manifest, built=created))
        releases.append(name)
        if fate > 0.84 and len(releases) > 2:
            token += 1
            moment += timedelta(seconds=dice.lognormvariate(6.5, 0.8))
            back = {"action": "rollback", "id": f"{token:012x}", "who": "ann@build"}
            text, target = moment.strftime("%Y-%m-%dT%H:%M:%SZ"), {"id": releases[-2], "version": ""}
            entries.append(ledger.entry("confirmed", token=token, time=text, run=back, manifest=target))
            releases.pop()
    return figures.figures("marketplace", ledger.merge([entries]), NOW, 90)


def _game_day() -> dict[str, Any]:
    """One experiment that kept its promise, one that did not, one that was skipped."""
    dice, times, promise = random.Random(3), Times(4, 19, 24), Promise()
    asked = [Sample(at / 20, 0.02 * dice.lognormvariate(0, 0.5), at % 3, 200) for at in range(480)]
    broken = [one._replace(status=500) if one.probe == 1 and 5 < one.sent < 18 else one for one in asked]
    rows = [
        judge.judge(catalogue.BY_NAME["container_killed"], "app2", promise, asked, times, "marketplace-backend-blue-0"),
        judge.judge(catalogue.BY_NAME["database_paused"], "db1", promise, broken, times, "postgresql@17-main.service"),
        judge.skipped(catalogue.BY_NAME["network_slow"], "app2", promise, "its kernel has no netem"),
    ]
    return chaos_report.data([one.as_data() for one in rows], "marketplace", "ann@build", "2026-11-28T08:00:00Z")


def made() -> dict[str, str]:
    """Each page by its name, as HTML."""
    return {
        "report-live": report.html(_deploy(fails=False)),
        "report-failed": report.html(_deploy(fails=True)),
        "report-releases": figures_page.html(_quarter()),
        "report-chaos": chaos_report.html(_game_day()),
    }
