# SPDX-License-Identifier: Apache-2.0
"""What a person sees of events."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.console import Console

AT: dict[str, Any] = {"time": 0.0, "run": events.Run()}
HOSTS = ("app1", "app2", "db1", "edge1")


def step(
    name: str, hosts: tuple[str, ...] = ("edge1",), failed: tuple[str, ...] = (), summary: tuple[str, ...] = ()
) -> Any:
    return events.StepEnded(**AT, step=name, seconds=0.94, hosts=hosts, failed=failed, summary=summary)


def failure(host: str, message: str, **more: Any) -> Any:
    told = {"task": "Install", "where": "install.yml:3", "worded": True, "shared": False, "unreachable": False, **more}
    return events.Failed(**AT, host=host, message=message, **told)


def changed(host: str = "app1", diff: str = "", check: bool = False) -> Any:
    return events.Changed(**AT, host=host, task="redis: Write it", diff=diff, check=check)


def end(*hosts: str, check: bool = False) -> Any:
    return events.RunEnded(**AT, hosts=hosts, seconds=12.34, check=check)


PLANNED = events.Planned(**AT, lines=("Deploy shop", "  flip       edge1"))
LIVE = events.Live(**AT, lines=("shop is live",), notes=("retire: app2: timed out",))
WAITING = events.Waiting(**AT, step="start", task="Start | Bring", hosts=("app2",), seconds=10.2)


def shown(*happened: events.Event, verbose: bool = False) -> list[str]:
    console = Console(verbose)
    return [line.text for event in happened for line in console.lines(event)]


def test_a_deploy_is_its_plan_its_steps_and_its_result() -> None:
    started = events.StepStarted(**AT, step="fence")
    assert shown(
        *(events.RunStarted(**AT), started, step("fence", ("app1", "edge1")), PLANNED),
        *(step("migrate", ("app1",), summary=("2 migrations applied",)), step("restore_point", ("db1",))),
        *(LIVE, end(*HOSTS)),
    ) == [
        "Deploy shop",
        "  flip       edge1",
        "fence         app1 edge1                  0.9 s",
        "migrate       app1                        0.9 s   2 migrations applied",
        "restore point db1                         0.9 s",
        "Warning: retire: app2: timed out",
        "shop is live",
    ]


def test_a_fence_without_a_plan_is_shown_all_the_same() -> None:
    assert [line.split()[0] for line in shown(step("fence"), step("maintenance"), end(*HOSTS))] == [
        "fence",
        "maintenance",
    ]
    assert shown(step("fence"), end())[0].startswith("fence")
    refused = shown(
        step("fence", failed=("edge1",)), events.Planned(**AT, lines=()), failure("edge1", "no", shared=True), end()
    )
    assert [line.split()[0] for line in refused] == ["fence", "Error:"]


def test_the_output_of_a_look_is_only_what_it_shows() -> None:
    told = events.Message(**AT, lines=("shop: live", "  app1"))
    assert shown(step("observe", HOSTS), told, end(*HOSTS)) == ["shop: live", "  app1"]


def test_the_hosts_of_a_step_are_named_or_counted_and_so_are_those_that_failed() -> None:
    many = tuple(f"app{number}" for number in range(1, 8))
    assert shown(step("start", many))[0].split() == ["start", "7", "hosts", "0.9", "s"]
    assert shown(step("start", ("app1", "app2"), ("app2",)))[0].endswith("0.9 s   failed on app2")
    assert shown(step("start", ("app1", "app2"), ("app1", "app2")))[0].endswith("0.9 s   failed")


def test_details_come_first_and_the_error_is_one_line_once_and_last() -> None:
    message = "deploy failed in step start: app2: boom\n  app2:\n    last words"
    console = Console()
    assert console.lines(failure("edge1", message, shared=True)) == []
    lines = console.lines(end(*HOSTS))
    assert [line.text for line in lines] == [
        "  app2:",
        "    last words",
        "Error: deploy failed in step start: app2: boom",
    ]
    assert all(line.stderr for line in lines)


@pytest.mark.parametrize(
    ("failures", "errors"),
    [
        ([failure(host, "no disk") for host in HOSTS], ["no disk"]),
        ([failure("app1", "no disk"), failure("app2", "no disk")], ["app1, app2: no disk"]),
        ([failure("app1", "no disk"), failure("db1", "no cluster")], ["app1: no disk", "db1: no cluster"]),
        ([failure("db1", "db1: too old")], ["db1: too old"]),
        ([failure("localhost", "no host")], ["no host"]),
        ([failure("app1", "exit 1\nlog", worded=False)], ["app1: Install: exit 1 (install.yml:3)"]),
        ([failure("app2", "timed out", worded=False, unreachable=True)], ["app2: unreachable: timed out"]),
    ],
)
def test_hosts_that_failed_alike_are_one_line(failures: list[Any], errors: list[str]) -> None:
    lines = shown(*failures, end(*HOSTS))
    assert [line for line in lines if line.startswith("Error: ")] == [f"Error: {line}" for line in errors]
    assert lines[-len(errors) :] == [f"Error: {line}" for line in errors]


def test_a_run_over_hosts_is_its_changes_and_how_many_there_were() -> None:
    assert shown(changed("app1"), changed("app2"), end(*HOSTS)) == [
        "changed       app1     redis: Write it",
        "changed       app2     redis: Write it",
        "4 hosts, 2 changes, 12.3 s",
    ]
    assert shown(end("db1")) == ["1 host, no changes, 12.3 s"]
    assert shown(end()) == [], "nothing but the controller took part"
    assert shown(changed("app1", "--- before\n\n+a", check=True), end("app1", check=True)) == [
        "would change  app1     redis: Write it",
        "    --- before",
        "    +a",
        "1 host, 1 change to make, 12.3 s (check mode: nothing was changed)",
    ]


def test_what_fails_over_hosts_is_seen_at_once_and_said_at_the_end() -> None:
    bad = failure("app2", "exit 1", task="redis: Write it", worded=False)
    assert shown(changed(), bad, end(*HOSTS)) == [
        "changed       app1     redis: Write it",
        "failed        app2     redis: Write it",
        "4 hosts, 1 change, 1 failed, 12.3 s",
        "Error: app2: redis: Write it: exit 1 (install.yml:3)",
    ]


def test_signs_of_life_are_not_part_of_the_output() -> None:
    console = Console()
    console.lines(step("fence"))
    (line,) = console.lines(WAITING)
    assert line.stderr and line.text == "start         … 10 s, still waiting for app2"
    elsewhere = events.Waiting(**AT, step="", task="redis: Install", hosts=("db1",), seconds=3.0)
    assert shown(elsewhere) == ["running       db1      redis: Install"]


def test_with_v_only_what_ansible_does_not_show_is_added() -> None:
    happened = (
        step("fence"),
        PLANNED,
        step("flip"),
        WAITING,
        changed(),
        events.Message(**AT, lines=("d",), debug=True),
    )
    assert shown(*happened, LIVE, failure("app1", "no disk"), end(*HOSTS), verbose=True) == [
        *(
            "Deploy shop",
            "  flip       edge1",
            "Warning: retire: app2: timed out",
            "shop is live",
            "Error: app1: no disk",
        ),
    ]


def test_what_an_app_printed_does_not_command_the_terminal() -> None:
    said = "\x1b[31mdead\x1b[0m \x1b]0;title\x07\x9b2K\r"
    found = shown(events.Message(**AT, lines=(said,), debug=False), failure("app1", said), end("app1"))
    assert found and all(char.isprintable() or char in "\t\n" for line in found for char in line)
    assert any("dead" in line for line in found)
