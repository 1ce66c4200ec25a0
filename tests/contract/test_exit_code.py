# SPDX-License-Identifier: Apache-2.0
"""What ``ansible-playbook`` ends with: the kind of a release run's ending, and Ansible's own code of everything else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
APP = {
    "app_name": "shop",
    "app_services": {"web": {"image": "registry.test/web", "port": 80, "health": {"path": "/"}}},
    "app_routes": [{"service": "web", "host": "shop.test", "path": "/"}],
    "app_version": "v1",
}
RELEASES = {"new": "r2", "old": "r1"}
GOOD, BAD = "/dev/null", "/nonexistent"
REPORT = {"ANSIBLE_CALLBACKS_ENABLED": "sluice.stack.report"}
# A failure as the release engine words it, at the end of its run.
VERDICT = {"ok": False, "message": "it failed", "failed": {}, "notes": [], "times": [["begin", 0.0]], "step": "x"}
PLAN = {"app": "shop", "status": "change", "slot": "green", "live": None, "manifest": {"id": "r2", "version": "v1"}}


def step(name: str, path: str = GOOD) -> dict[str, Any]:
    """A step of a release: what it does is to read a log, and without one it fails."""
    return {
        "name": f"{name} | Do it",
        "sluice.stack.canary_window": {"app": "shop", "releases": RELEASES, "seconds": 1, "path": path},
        "ignore_errors": True,
        "vars": {"provision_controller": True},
    }


CONTRACT = {
    "name": "Contract",
    "sluice.stack.app_contract": {"action": "deploy", "edges": ["one"], "apps": ["one"]},
    "run_once": True,
}
FAIL = {
    "sluice.stack.release_report": {"plan": PLAN, "verdict": VERDICT, "run": {"action": "deploy"}},
    "run_once": True,
}
SLEEP = {"name": "Sleep", "ansible.builtin.command": "sleep 60"}
ENDINGS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "refused": ([CONTRACT, step("Fence"), FAIL], 2),
    "kept": ([CONTRACT, step("Fence"), step("Migrate"), step("Start", BAD), FAIL], 3),
    "somebody": ([CONTRACT, step("Flip"), step("Confirm"), step("Workers", BAD), FAIL], 4),
    "done": ([CONTRACT, step("Fence"), step("Confirm")], 0),
}


def prepare(folder: Path, tasks: list[dict[str, Any]], **hosts: dict[str, Any]) -> None:
    """A playbook whose role has the release role's name, and an inventory of this machine."""
    (folder / "roles/release/tasks").mkdir(parents=True)
    (folder / "roles/release/tasks/main.yml").write_text(yaml.safe_dump(tasks))
    play = {"hosts": "all", "gather_facts": False, "vars": APP, "roles": ["release"]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    one = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts or {"one": one}}}))


def environment(**extra: str) -> dict[str, str]:
    """Without the checkout's ansible.cfg, as with the installed collection: what is enabled is in ``extra``."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GITHUB_"))},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
        **extra,
    }


def code(folder: Path, *words: str, **environ: str) -> int:
    """What the command ends with."""
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.yml", "play.yml", *words],
        cwd=folder,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done.returncode


def reported(folder: Path) -> int:
    """The code in the newest report."""
    return int(json.loads(sorted((folder / "reports").glob("*.json"))[-1].read_text())["code"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_is_the_kind_of_the_ending(tmp_path: Path, ending: str) -> None:
    tasks, expected = ENDINGS[ending]
    prepare(tmp_path, tasks)
    assert code(tmp_path, **REPORT) == expected
    assert not expected or reported(tmp_path) == expected


def test_also_for_a_program_that_reads_json_and_without_files(tmp_path: Path) -> None:
    prepare(tmp_path, ENDINGS["kept"][0])
    environ = {**REPORT, "SLUICE_REPORT_DIRECTORY": "", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    assert code(tmp_path, **environ) == 3 and not (tmp_path / "reports").exists()


def test_turned_off_it_is_ansibles_own(tmp_path: Path) -> None:
    prepare(tmp_path, ENDINGS["kept"][0])
    assert code(tmp_path, **REPORT, SLUICE_EXIT_CODE="false") == 2 and reported(tmp_path) == 3


def test_what_is_no_run_of_a_release_keeps_ansibles_code(tmp_path: Path) -> None:
    prepare(tmp_path, [SLEEP], away={"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0})
    assert code(tmp_path, **REPORT) == 4, "unreachable"
    (tmp_path / "play.yml").write_text("- hosts: [\n")
    assert code(tmp_path, **REPORT) == 4, "not YAML"
    assert code(tmp_path, "--no-such-option", **REPORT) == 2


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 99), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_as_ever(tmp_path: Path, number: int, expected: int) -> None:
    prepare(tmp_path, [CONTRACT, step("Confirm"), SLEEP])
    command = ["ansible-playbook", "-v", "-i", "hosts.yml", "play.yml"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(**REPORT), stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout or ():
            if "Sleep" in line:
                break
        time.sleep(0.5)
        run.send_signal(number)
        assert run.wait(30) == expected


def test_ansible_runner_hands_it_on(tmp_path: Path) -> None:
    prepare(tmp_path, ENDINGS["somebody"][0])
    options = {"private_data_dir": ".", "project_dir": ".", "playbook": "play.yml", "quiet": True}
    options["inventory"] = str(tmp_path / "hosts.yml")
    script = f"import ansible_runner; done = ansible_runner.run(**{options!r}); print(done.status, done.rc)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(**REPORT),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["failed", "4"], done.stdout
