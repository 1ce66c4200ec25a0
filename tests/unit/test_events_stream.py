# SPDX-License-Identifier: Apache-2.0
"""Events from the results of a recorded deploy, and from the tasks of other playbooks."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.stream import Result, Stream, Task

RUN = {"id": "3ece9e988bf1", "action": "deploy"}
PLAN = {"status": "change", "manifest": {"id": "r2"}, "lines": ["Deploy shop v1.1.0", "  flip       edge1"]}
CONTRACT = Task("c", "Contract | Check", "sluice.stack.app_contract", "release", run_once=True)
FENCE = Task("f", "Fence | Take the app and observe", "sluice.stack.release_fence", "release")
DECIDE = Task("p", "Plan | Decide what to do", "sluice.stack.release_plan", "release", run_once=True)
MIGRATE = Task("m", "Migrate | Apply pending migrations once", "sluice.stack.db_migration", "release")
START = Task("s", "Start | Bring the release up in its slot", "sluice.stack.release_slot", "release")
REPORT = Task("r", "Report | Say what is live", "sluice.stack.release_report", "release", run_once=True)
INSTALL = Task("i", "Install | Install the engine", "ansible.builtin.apt", "docker_host", where="install.yml:3")
SHOW = Task("d", "Show it", "ansible.builtin.debug")
DONE = {"lines": ["shop v1.1.0 is live"], "notes": ["retire: app2: timed out"]}


class Recorded:
    """A stream that is fed by hand, and all that came out of it."""

    def __init__(self) -> None:
        self.stream = Stream(100.0)
        self.now = 100.0
        self.events: list[events.Event] = []

    def task(self, task: Task, answers: dict[str, dict[str, Any]], seconds: float = 1.0, **more: Any) -> Recorded:
        """A task that starts on these hosts at once, and ends on them at once."""
        self.events += self.stream.task_started(task, self.now)
        for host in answers:
            self.events += self.stream.host_started(task, host, self.now)
        self.now += seconds
        for host, data in answers.items():
            status = data.get("status", "ok")
            self.events += self.stream.result(Result(task, host, self.now, data, status=status, **more))
        return self

    def planned(self, action: str = "deploy", **plan: Any) -> Recorded:
        self.task(CONTRACT, {"edge1": {"run": {**RUN, "action": action}, "contract": {"app": "shop"}}})
        self.task(FENCE, {"edge1": {}, "app1": {}, "app2": {}}, 0.9)
        return self.task(DECIDE, {"edge1": {"plan": {**PLAN, **plan}}}, 0.1)

    def end(self, *hosts: str) -> list[events.Event]:
        self.events += self.stream.ended(hosts, self.now, False)
        return self.events

    def only(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_deploy_from_its_start_to_its_end() -> None:
    run = Recorded().planned()
    run.task(MIGRATE, {"app1": {"applied": ["1_a"], "changed": True}, "app2": {"status": "skipped"}}, 3.4)
    run.task(START, {"app1": {"pulled": ["a", "b"]}, "app2": {"pulled": ["a", "b"]}}, 3.8)
    run.task(REPORT, {"edge1": DONE}, 0.1)
    assert [type(event).__name__ for event in run.end("app1", "app2", "edge1")] == [
        *("RunStarted", "StepStarted", "StepEnded", "Planned"),
        *("StepStarted", "StepEnded", "StepStarted", "StepEnded", "Live", "RunEnded"),
    ]
    assert [(step.step, step.hosts, round(step.seconds, 1), step.summary) for step in run.only(events.StepEnded)] == [
        ("fence", ("app1", "app2", "edge1"), 0.9, ()),
        ("migrate", ("app1",), 3.4, ("1 migration applied",)),
        ("start", ("app1", "app2"), 3.8, ("2 images pulled",)),
    ]
    assert run.events[0].run == events.Run("3ece9e988bf1", "deploy", "shop")
    assert run.events[-1].run == events.Run("3ece9e988bf1", "deploy", "shop", "r2")
    assert run.only(events.Live)[0].notes == ("retire: app2: timed out",)


def test_a_step_begins_when_it_was_sent_and_one_that_all_hosts_skip_is_none() -> None:
    run = Recorded().task(START, {"app1": {}}, 5.0).task(MIGRATE, {"app1": {"status": "skipped"}})
    run.end()
    assert [(step.step, step.time) for step in run.only(events.StepStarted)] == [("start", 100.0)]


def test_a_step_of_several_tasks_is_one_and_is_on_the_host_it_was_delegated_to() -> None:
    copy = Task("1", "Rehearse | Bring up a copy", "sluice.stack.db_scratch", "release")
    judge = Task("2", "Rehearse | Judge", "sluice.stack.rehearsal_verdict", "release", run_once=True)
    remove = Task("3", "Rehearse | Take the copy away", "sluice.stack.db_scratch", "release")
    run = Recorded().task(copy, {"app1": {}}, 2.0, on="db1")
    run.task(remove, {"app1": {}}, 1.0, on="db1").task(judge, {"app1": {"lines": ["fine"]}}).task(START, {"app1": {}})
    run.end()
    first = run.only(events.StepEnded)[0]
    assert (first.step, first.hosts, first.seconds) == ("rehearse", ("db1",), 3.0)
    assert run.only(events.Message)[0].lines == ("fine",)


@pytest.mark.parametrize(
    ("action", "plan", "check", "kind"),
    [
        ("deploy", {}, False, events.Live),
        ("join", {}, False, events.Live),
        ("rollback", {}, False, events.RolledBack),
        ("deploy", {"status": "nothing"}, False, events.Reported),
        ("deploy", {}, True, events.Reported),
        ("drain", {}, False, events.Reported),
    ],
)
def test_only_a_run_that_made_a_release_live_says_so(action: str, plan: Any, check: bool, kind: type) -> None:
    run = Recorded().planned(action, **plan).task(REPORT, {"edge1": DONE}, check=check)
    assert [type(event) for event in run.only(events.Reported)] == [kind]


def test_what_a_host_failed_at_is_in_the_step_and_ends_no_run_when_it_is_ignored() -> None:
    run = Recorded().planned()
    bad = {"status": "failed", "msg": "boom"}
    run.task(START, {"app1": {}, "app2": bad}, ignored=True)
    run.task(
        REPORT, {"edge1": {"status": "failed", "msg": "deploy failed in step start: app2: boom\n  app2:\n    log"}}
    )
    run.end()
    assert run.only(events.StepEnded)[-1].failed == ("app2",)
    (failed,) = run.only(events.Failed)
    assert failed.message.startswith("deploy failed in step start") and failed.worded and failed.shared


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"msg": "Task failed: Action failed: app_x is wrong"}, "app_x is wrong"),
        (
            {"msg": "non-zero return code", "rc": 3, "stderr": "E: no such file\n", "stdout": "a"},
            "exit code 3: E: no such file",
        ),
        (
            {"msg": "The command exited with a non-zero return code.", "rc": 1, "stdout": "all\nwrong"},
            "exit code 1\nall\nwrong",
        ),
        ({"msg": "cannot connect: refused", "stderr": "refused"}, "cannot connect: refused"),
        ({"msg": "the command failed", "output": ["boom"]}, "the command failed\nboom"),
        ({"censored": "hidden by no_log"}, "hidden by no_log"),
        (
            {"msg": "One or more items failed", "results": [{"msg": "a"}, {"failed": True, "msg": "b is wrong"}]},
            "b is wrong",
        ),
        ({}, "failed"),
    ],
)
def test_a_failed_module_says_what_it_knows(data: dict[str, Any], message: str) -> None:
    run = Recorded().task(INSTALL, {"app2": {**data, "status": "failed"}})
    (failed,) = run.only(events.Failed)
    assert failed.message == message
    assert (failed.host, failed.task, failed.where) == (
        "app2",
        "docker_host: Install | Install the engine",
        "install.yml:3",
    )
    assert not failed.worded


def test_an_unreachable_host_is_a_failure_unless_that_is_ignored() -> None:
    gone = {"app2": {"status": "unreachable", "msg": "Task failed: timed out"}}
    assert [event.unreachable for event in Recorded().task(INSTALL, gone).only(events.Failed)] == [True]
    assert Recorded().task(INSTALL, gone, ignored=True).only(events.Failed) == []


def test_changes_are_events_outside_of_a_release_only() -> None:
    run = Recorded().task(INSTALL, {"app1": {"changed": True}, "app2": {}}, diff="+a", check=True)
    run.task(START, {"app1": {"changed": True}})
    assert [(event.host, event.diff, event.check) for event in run.only(events.Changed)] == [("app1", "+a", True)]


@pytest.mark.parametrize(
    ("answers", "lines"),
    [
        ({"db1": {"msg": "one line"}}, [("one line",)]),
        ({"db1": {"msg": ["a", "b\nc"]}}, [("a", "b", "c")]),
        ({"db1": {"msg": "x"}, "db2": {"msg": "x"}}, [("x",)]),
        ({"db1": {"msg": "x"}, "db2": {"msg": "y"}}, [("db1:", "x"), ("db2:", "y")]),
        ({"db1": {"results": [{"msg": "a"}, {"skipped": True}, {"msg": "b"}]}}, [("a", "b")]),
        ({"db1": {"answer": 42, "changed": False, "_ansible_no_log": None}}, [("answer: 42",)]),
        ({"db1": {"status": "skipped"}}, []),
    ],
)
def test_a_debug_task_is_output_of_one_host_or_under_the_names_of_several(answers: Any, lines: Any) -> None:
    run = Recorded().task(SHOW, answers)
    run.end()
    assert [event.lines for event in run.only(events.Message)] == lines


def test_a_sign_of_life_comes_after_ten_quiet_seconds_and_then_every_minute() -> None:
    stream = Stream(0.0)
    stream.task_started(START, 0.0)
    for host in ("app1", "app2"):
        stream.host_started(START, host, 0.0)
    assert stream.waiting(9.0) == []
    (first,) = stream.waiting(10.0)
    assert isinstance(first, events.Waiting)
    assert (first.step, first.hosts, first.seconds) == ("start", ("app1", "app2"), 10.0)
    stream.result(Result(START, "app1", 12.0, {}))
    assert stream.waiting(21.0) == [], "something was to be seen meanwhile"
    (second,) = stream.waiting(22.0)
    assert isinstance(second, events.Waiting) and second.hosts == ("app2",)
    assert stream.waiting(80.0) == [] and len(stream.waiting(82.0)) == 1
    stream.result(Result(START, "app2", 83.0, {}))
    assert stream.waiting(500.0) == [], "nobody is waited for"


def test_what_a_release_is_made_of_and_how_long_it_took_is_in_its_steps() -> None:
    container = {"release": "r1", "service": "web", "revision": "abc", "state": "running"}
    run = Recorded()
    run.task(CONTRACT, {"edge1": {"run": {**RUN, "reason": "why", "started": "then"}, "contract": {"app": "shop"}}})
    run.task(FENCE, {"app1": {"observation": {"containers": [container]}}, "app2": {"observation": {}}})
    live = {"live": {"release": "r1"}, "live_images": {"web": "w@1"}, "changes": ["version"]}
    run.task(DECIDE, {"edge1": {"plan": {**PLAN, **live}}})
    built = {"web": {"revision": "def", "created": "2026-11-28T07:00:00+00:00"}}
    run.task(MIGRATE, {"app1": {"applied": ["1_a"], "reverted": ["0_z"]}})
    run.task(START, {host: {"built": built, "seconds": {"pull": 1.5}} for host in ("app1", "app2")})
    run.end()
    (planned,) = run.only(events.Planned)
    assert (planned.status, planned.previous, planned.previous_images, planned.changes) == (
        "change",
        "r1",
        (("web", "w@1"),),
        ("version",),
    )
    assert planned.run == events.Run("3ece9e988bf1", "deploy", "shop", "r2", reason="why", started="then")
    fence, migrate, start = run.only(events.StepEnded)
    assert fence.built == (events.Built("r1", "web", "abc"),)
    assert migrate.migrations == ("1_a", "0_z")
    assert start.built == (events.Built("r2", "web", "def", "2026-11-28T07:00:00+00:00"),)
    assert start.parts == (("app1", (("pull", 1.5),)), ("app2", (("pull", 1.5),)))


SHARE = Task("h", "Canary | Send a part", "sluice.stack.edge_split", "release")
JUDGE = Task("j", "Canary | Judge", "sluice.stack.canary_verdict", "release", run_once=True)


def test_a_canary_check_has_its_share_and_both_releases() -> None:
    arm = {"requests": 10, "errors": 1, "median": 0.1, "p99": None}
    run = Recorded().planned()
    run.task(SHARE, {"edge1": {"served": [{"release": "r1", "percent": 75}, {"release": "r2", "percent": 25}]}})
    run.task(JUDGE, {"edge1": {"canary": {"decision": "pass", "samples": {"new": arm, "old": arm, "blocks": 3}}}})
    run.task(JUDGE, {"edge1": {"canary": {"decision": "inconclusive", "samples": {}}}})
    (found,) = run.only(events.Compared)
    sample = events.Sample(10, 1, 0.1, None)
    assert (found.percent, found.decision, found.new, found.old) == (25, "pass", sample, sample)


BEGIN = Task("b", "Restore drill | Begin", "sluice.stack.run_begin")
STATUS = Task("t", "Status | Show it", "sluice.stack.release_status", "release", run_once=True)


def test_a_run_that_is_no_release_begins_too_and_late_certificates_are_told_by_status_alone() -> None:
    drill = Recorded().task(BEGIN, {"localhost": {"run": {"id": "aa", "action": "drill"}, "subject": "db1"}})
    (begun,) = drill.only(events.RunStarted)
    assert begun.run == events.Run("aa", "drill", "db1")
    for action, told in (("status", 1), ("history", 0)):
        run = Recorded()
        run.task(CONTRACT, {"edge1": {"run": {**RUN, "action": action}, "contract": {"app": "shop"}}})
        run.task(STATUS, {"edge1": {"problems": ["edge1 CERTIFICATE late"], "lines": ["x"]}})
        assert len(run.only(events.CertificatesLate)) == told
    well = Recorded().task(CONTRACT, {"edge1": {"run": {**RUN, "action": "status"}, "contract": {"app": "shop"}}})
    assert not well.task(STATUS, {"edge1": {"problems": [], "lines": ["x"]}}).only(events.CertificatesLate)
