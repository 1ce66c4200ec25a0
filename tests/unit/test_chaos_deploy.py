# SPDX-License-Identifier: Apache-2.0
"""A deploy that is killed: it has begun, all of it is gone, and one that cannot be killed in time is no result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.sluice.stack.plugins.plugin_utils import chaos_deploy

# Prints, starts a process in a session of its own as Ansible does, and waits.
DEPLOY = """
import os, subprocess, sys, time
print("Deploy shop v1 as release r1", flush=True)
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
print("start  app1", flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str, *words: str) -> None:
    """Have the deploy be another program."""

    def command(_playbook: str, _version: str, more: Sequence[str] = ()) -> list[str]:
        for file in (one.removeprefix("@") for one in more if one.startswith("@")):
            assert Path(file).read_text() == '{"app_env": {"A": "b", "SLUICE_CHAOS": "run1"}}'
        return [sys.executable, "-c", code, *words]

    monkeypatch.setattr(chaos_deploy, "command", command)


def test_all_of_a_deploy_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chaos_deploy, "EARLIEST", 1.0)
    monkeypatch.setattr(chaos_deploy, "LATEST", 1.0)
    stand_in(monkeypatch, DEPLOY, str(tmp_path / "pids"))
    note = chaos_deploy.killed("deploy.yml", "v1", {"A": "b"}, "run1")
    assert note == "killed 1.0 s after its plan, having printed: start  app1"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not any(map(alive, pids)) and alive(os.getpid())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('Error: app shop is locked')", "did not begin: Error: app shop is locked"),
        ("print('Deploy shop v1')", "ended before that"),
    ],
)
def test_what_was_not_killed_is_no_result(monkeypatch: pytest.MonkeyPatch, code: str, message: str) -> None:
    stand_in(monkeypatch, code)
    with pytest.raises(AnsibleError, match=message):
        chaos_deploy.killed("deploy.yml", "v1", {"A": "b"}, "run1")


def test_the_deploy_after_it_has_to_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "pass")
    chaos_deploy.completed("deploy.yml", "v1")
    stand_in(monkeypatch, "print('Error: no'); raise SystemExit(2)")
    with pytest.raises(AnsibleError, match="the deploy after the killed one failed: Error: no"):
        chaos_deploy.completed("deploy.yml", "v1")
