# SPDX-License-Identifier: Apache-2.0
"""What a run looks like: with the collection's console, with -v, with Ansible's own output, and to a program that reads JSON."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PLAN = {
    "app": "shop",
    "status": "change",
    "slot": "green",
    "live": None,
    "manifest": {"id": "r2", "version": "v1.1.0"},
}
VERDICT = {
    "ok": True,
    "message": "",
    "failed": {},
    "notes": ["retire: two: timed out"],
    "times": [["begin", 0.0], ["fence", 1.0], ["start", 6.5]],
}
REPORT = {
    "sluice.stack.release_report": {"plan": PLAN, "verdict": VERDICT, "run": {"action": "deploy"}},
    "run_once": True,
}
CHANGE = {"name": "Write it", "ansible.builtin.command": "true", "changed_when": "inventory_hostname == 'one'"}
SHOW = {"name": "Show it", "ansible.builtin.debug": {"msg": ["first line", "second line"]}}
MISS = {"name": "Miss", "ansible.builtin.fail": {"msg": "nobody minds"}, "ignore_errors": True}
RESCUED = {
    "block": [{"name": "Try", "ansible.builtin.fail": {"msg": "a way out"}}],
    "rescue": [{"ansible.builtin.meta": "noop"}],
}
REFUSE = {
    "name": "Refuse",
    "ansible.builtin.assert": {"that": False, "quiet": True, "fail_msg": "x is 1 (set in y): set it to 2\na detail"},
}
BREAK = {"name": "Break", "ansible.builtin.command": "sh -c 'echo no such thing >&2; exit 3'"}
STDOUT = "ansible.builtin.default"
CONSOLE = "sluice.stack.console"


class Ran:
    """How a playbook of these tasks ended."""

    def __init__(self, folder: Path, *tasks: dict[str, Any], words: tuple[str, ...] = (), **environ: str) -> None:
        (folder / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}])
        )
        hosts = {"one": {}, "two": {}}
        (folder / "hosts.yml").write_text(
            yaml.safe_dump(
                {
                    "all": {
                        "hosts": hosts,
                        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                    }
                }
            )
        )
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml", *words],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
            | {
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
                "ANSIBLE_STDOUT_CALLBACK": CONSOLE,
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.lines, self.errors = done.stdout.splitlines(), done.stderr.splitlines()

    def __str__(self) -> str:
        return f"{self.out}\n--- stderr\n{self.err}"


def test_a_result_is_one_line_without_decoration(tmp_path: Path) -> None:
    done = Ran(tmp_path, MISS, RESCUED, REPORT)
    assert done.code == 0
    assert done.lines == ["Warning: retire: two: timed out", "shop v1.1.0 is live (release r2, slot green), 6.5 s"], (
        str(done)
    )
    assert done.errors == []


def test_changes_and_output_are_seen_and_nothing_else(tmp_path: Path) -> None:
    done = Ran(tmp_path, CHANGE, SHOW, MISS)
    assert done.lines[:3] == ["changed       one      Write it", "first line", "second line"], str(done)
    assert done.lines[3].startswith("2 hosts, 1 change, ") and len(done.lines) == 4
    assert done.errors == []
    assert "\x1b" not in done.out, "no colours but on a terminal"


def test_a_failure_is_its_details_and_one_line_at_the_end_whatever_failed_alike(tmp_path: Path) -> None:
    done = Ran(tmp_path, SHOW, REFUSE)
    assert done.code == 2
    assert done.lines == ["first line", "second line"], str(done)
    assert done.errors == ["a detail", "Error: x is 1 (set in y): set it to 2"], str(done)


def test_a_failure_in_a_rescue_is_shown_in_an_included_file_too(tmp_path: Path) -> None:
    again = {"name": "Say", "ansible.builtin.fail": {"msg": "what can be done"}}
    (tmp_path / "included.yml").write_text(yaml.safe_dump([{**RESCUED, "rescue": [again]}]))
    done = Ran(tmp_path, {"ansible.builtin.include_tasks": "included.yml"})
    assert done.code == 2 and done.errors == ["Error: what can be done"], str(done)


def test_a_failure_that_no_one_worded_says_where_it_is(tmp_path: Path) -> None:
    done = Ran(tmp_path, BREAK)
    assert sorted(done.lines[:2]) == ["failed        one      Break", "failed        two      Break"], str(done)
    assert done.errors == ["Error: one, two: Break: exit code 3: no such thing (play.yml:4)"], str(done)


def test_colours_are_for_a_terminal_and_can_be_forced(tmp_path: Path) -> None:
    assert "\x1b[" in Ran(tmp_path, CHANGE, ANSIBLE_FORCE_COLOR="1").out


def test_with_v_it_is_ansibles_own_output_and_the_error_at_its_end(tmp_path: Path) -> None:
    done = Ran(tmp_path, CHANGE, MISS, REPORT, REFUSE, words=("-v",))
    for words in ("PLAY [all]", "TASK [Write it]", "changed: [one]", "...ignoring", "PLAY RECAP"):
        assert words in done.out, str(done)
    assert "shop v1.1.0 is live (release r2, slot green), 6.5 s" in done.lines
    assert done.errors[-1] == "Error: x is 1 (set in y): set it to 2"
    assert "PLAY RECAP" not in Ran(tmp_path, CHANGE).out, "else the test above tests nothing"


@pytest.mark.parametrize("callback", ["json", "ansible.posix.jsonl"])
def test_a_program_that_reads_the_output_gets_json_and_nothing_else(tmp_path: Path, callback: str) -> None:
    done = Ran(tmp_path, CHANGE, SHOW, REPORT, ANSIBLE_STDOUT_CALLBACK=callback)
    assert done.code == 0, str(done)
    found = [json.loads(text) for text in ([done.out] if callback == "json" else done.lines)]
    assert "shop v1.1.0 is live" in json.dumps(found), "what a person would see is in the results"
    # The control: with output for people, the same run is no JSON.
    assert "\nshop v1.1.0 is live (release r2" in Ran(tmp_path, REPORT, ANSIBLE_STDOUT_CALLBACK=STDOUT).out


@pytest.mark.parametrize("callback", [STDOUT, "community.general.yaml"])
def test_other_output_for_people_has_the_lines_too_and_where_the_time_went(tmp_path: Path, callback: str) -> None:
    done = Ran(tmp_path, REPORT, ANSIBLE_STDOUT_CALLBACK=callback)
    assert "shop v1.1.0 is live (release r2, slot green), 6.5 s" in done.lines, str(done)
    assert "deploy took 6.5 s: fence 1.0, start 5.5" in done.lines
    assert "retire: two: timed out" in done.err


def test_a_checkout_has_the_console() -> None:
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "ansible.cfg")
    assert config["defaults"]["stdout_callback"] == CONSOLE


def test_molecule_looks_for_changes_in_output_that_has_them() -> None:
    """Its check of idempotence reads Ansible's recap."""
    config = yaml.safe_load((REPOSITORY / ".config" / "molecule" / "config.yml").read_text())
    assert config["provisioner"]["env"]["ANSIBLE_STDOUT_CALLBACK"] == STDOUT


# Reports are the other reader of a run's events. The plan and the contract of these runs come from two plugins that need no host.

IDENTIFIED = {
    "name": "Contract | Check the variables",
    "sluice.stack.app_contract": {"action": "status", "needs_version": False, "edges": ["one"], "apps": ["two"]},
    "run_once": True,
    "vars": {
        "app_name": "shop",
        "app_version": "v1",
        "app_services": {"web": {"image": "registry.test:5000/shop/web", "port": 8080}},
        "app_routes": [{"path": "/", "service": "web"}],
    },
}
REPORTS = {"ANSIBLE_CALLBACKS_ENABLED": "sluice.stack.report", "GITHUB_STEP_SUMMARY": "summary.md"}


def written(folder: Path) -> dict[str, str]:
    """The reports of a run, by suffix."""
    return {path.suffix: path.read_text() for path in (folder / "reports").glob("*")}


def test_a_run_that_failed_leaves_its_reports_and_the_summary_of_the_ci_job(tmp_path: Path) -> None:
    ran = Ran(tmp_path, IDENTIFIED, REFUSE, **REPORTS)
    assert ran.code == 2
    found = written(tmp_path)
    assert set(found) == {".json", ".md", ".html"}
    data = json.loads(found[".json"])
    assert (data["app"], data["outcome"], data["errors"]) == (
        "shop",
        "failed",
        ["x is 1 (set in y): set it to 2\na detail"],
    )
    assert (tmp_path / "summary.md").read_text() == found[".md"]


def test_each_of_them_can_be_left_out(tmp_path: Path) -> None:
    """Without a CI's summary, as on a laptop; and with the directory empty."""
    (tmp_path / "one").mkdir()
    ran = Ran(
        tmp_path / "one", IDENTIFIED, REFUSE, ANSIBLE_CALLBACKS_ENABLED="sluice.stack.report", GITHUB_STEP_SUMMARY=""
    )
    assert "WARNING" not in str(ran) and set(written(tmp_path / "one")) == {".json", ".md", ".html"}
    (tmp_path / "two").mkdir()
    ran = Ran(tmp_path / "two", IDENTIFIED, REFUSE, **REPORTS, SLUICE_REPORT_DIRECTORY="")
    assert "WARNING" not in str(ran) and written(tmp_path / "two") == {}
    assert (tmp_path / "two" / "summary.md").exists()


def test_a_run_that_only_reads_and_one_without_the_reader_leave_none(tmp_path: Path) -> None:
    assert Ran(tmp_path, IDENTIFIED, SHOW, **REPORTS).code == 0
    assert Ran(tmp_path, IDENTIFIED, REFUSE).code == 2
    assert written(tmp_path) == {} and not (tmp_path / "summary.md").exists()


def test_reports_that_cannot_be_written_are_a_warning_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file in the place of the directory")
    ran = Ran(tmp_path, IDENTIFIED, REFUSE, **REPORTS)
    assert ran.code == 2 and "no report was written" in str(ran)


@pytest.mark.parametrize("name", ["report", "notify"])
def test_a_reader_of_events_reads_its_options_and_complains_of_nothing(tmp_path: Path, name: str) -> None:
    ran = Ran(
        tmp_path,
        IDENTIFIED,
        SHOW,
        ANSIBLE_CALLBACKS_ENABLED=f"sluice.stack.{name}",
        SLUICE_NOTIFY="http://127.0.0.1:1/hook",
        SLUICE_NOTIFY_KINDS="live,failed",
    )
    assert ran.code == 0 and "WARNING" not in str(ran), str(ran)
