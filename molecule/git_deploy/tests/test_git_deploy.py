# SPDX-License-Identifier: Apache-2.0
"""A pushed tag is released, and a push that is refused, fails, waits, is stopped or loses its connection leaves everything in order."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import APP, CONTROL, CONTROL12, REPOSITORY, RUNS, Clone, lease, live, runs, ssh, state, until

from tests.support import scenario
from tests.support.load import Ask, Load


def under_way(ctl1: scenario.Host, tag: str, what: str) -> None:
    """Wait until the log of a tag's newest run says something."""
    until(lambda: ctl1.run(f'grep -q {what!r} "$(ls -d {RUNS}/*-{tag} | tail -n 1)/log"').returncode == 0)


def result(ctl1: scenario.Host, tag: str) -> dict[str, object]:
    """The result of a tag's newest run, empty while there is none."""
    text = ctl1.run(f'cat "$(ls -d {RUNS}/*-{tag} | tail -n 1)/result.json"').stdout
    found: dict[str, object] = json.loads(text or "{}")
    return found


def test_a_pushed_tag_is_released(clone: Clone) -> None:
    told = clone.released("v1.0.0")
    assert live()["version"] == "v1.0.0"
    assert "by anna" in told and "marketplace v1.0.0 is live" in told
    assert clone.deployed() == {"v1.0.0"}


def test_a_gate_that_fails_stops_it_before_any_change(clone: Clone, one1: scenario.Host) -> None:
    before = state(one1)
    clone.tag("v1.1.0", app_migration={"engine": "prisma", "service": "backend"})
    done = clone.push("v1.1.0")
    assert done.returncode != 0 and "accountant_specialty" in done.stdout, done.stdout
    assert "production: v1.1.0 was refused before any change" in done.stdout, done.stdout
    assert state(one1) == before and live()["version"] == "v1.0.0"
    assert "v1.1.0" not in clone.deployed()


def test_it_may_be_pushed_again_and_drops_no_request(clone: Clone) -> None:
    with Load(f"http://{APP}", Ask("GET", "/api/version"), seconds=200, rate=50) as load:
        clone.released("v1.1.0")
    assert live()["version"] == "v1.1.0"
    assert load.report.failed == 0 and set(load.report.versions) == {"v1.0.0", "v1.1.0"}, load.report


@pytest.mark.parametrize("step", ["start", "flip"])
def test_a_broken_version_is_not_released_and_whoever_pushed_is_told(clone: Clone, step: str) -> None:
    before, tag = live(), f"v1.2.0-{step}"
    backend = clone.sound["app_services"]["backend"]
    if step == "start":
        changed: dict[str, Any] = {}
        backend = {**backend, "health": {"path": "/nowhere", "window": 8}}
    else:
        # Healthy to itself, and without its data: seen on the way of visitors only, after the flip.
        changed = {
            "app_migration": None,
            "app_backup": None,
            "app_secrets": {
                **clone.sound["app_secrets"],
                "DATABASE_URL": "postgresql://nobody:wrong@127.0.0.1:1/nothing",
            },
            "app_routes": [
                {**clone.sound["app_routes"][0], "verify": "/api/accountants"},
                clone.sound["app_routes"][1],
            ],
        }
        backend = {**backend, "health": {"path": "/health"}}
    clone.tag(tag, "v1.1.0", app_services={**clone.sound["app_services"], "backend": backend}, **changed)
    with Load(f"http://{APP}", Ask("GET", "/api/version"), seconds=200, rate=50) as load:
        done = clone.push(tag)
    assert done.returncode != 0 and f"deploy failed in step {step}" in done.stdout, done.stdout
    assert f"production: {tag} failed; the release before serves" in done.stdout, done.stdout
    assert live() == before and tag not in clone.deployed()
    # What was on trial may have been asked; every request was answered.
    assert load.report.failed == 0, load.report


@pytest.mark.parametrize("name", ["v1{{lookup('pipe','id')}}", "v1;id", "v1$(id)", "v1'"])
def test_a_tag_that_is_no_version_stops(clone: Clone, ctl1: scenario.Host, name: str) -> None:
    before = runs(ctl1)
    assert clone.git("tag", name).returncode == 0, "Git itself would take it"
    done = clone.push(name)
    assert done.returncode != 0 and "is no version: letters, digits" in done.stdout, done.stdout
    assert runs(ctl1) == before and "uid=" not in done.stdout


def test_a_hostile_request_of_the_account_that_is_pushed_to_stops_too(clone: Clone, ctl1: scenario.Host) -> None:
    name = "20261128T000000.000000Z-v9"
    request = {"version": "v1{{lookup('pipe','id')}}", "commit": "0" * 40, "pusher": "x", "repository": "marketplace"}
    queue = RUNS.replace("runs", "queue")
    ctl1.must(
        f"cat > /tmp/request <<'END'\n{json.dumps(request)}\nEND\nchmod 644 /tmp/request\n"
        f"runuser -u deploy -- sh -c 'cp /tmp/request {queue}/.new && mv {queue}/.new {queue}/{name}.json; echo > {queue}/rubbish'"
    )
    until(lambda: result(ctl1, "v9"))
    log = ctl1.must(f"cat {RUNS}/{name}/log")
    assert result(ctl1, "v9")["code"] == 1 and "is no request: version" in log and "uid=" not in log
    until(lambda: ctl1.must(f"ls {queue}") == "")
    assert clone.push("v1.1.0").returncode == 0


def test_tags_stay_and_come_one_at_a_time(clone: Clone, ctl1: scenario.Host) -> None:
    before = runs(ctl1)
    clone.tag("v1.1.0")
    for words, message in (
        (("--force", "v1.1.0"), "a tag never moves"),
        (("--delete", "v1.1.0"), "nothing is deleted here"),
    ):
        done = clone.push(*words)
        assert done.returncode != 0 and message in done.stdout, done.stdout
    clone.tag("v3.0.0")
    clone.tag("v3.0.1")
    done = clone.push("v3.0.0", "v3.0.1")
    assert done.returncode != 0 and "this push has 2 versions for production (v3.0.0, v3.0.1): push one" in done.stdout
    assert runs(ctl1) == before


def test_a_key_may_do_what_it_is_for_and_nothing_else(clone: Clone, ctl1: scenario.Host) -> None:
    before = runs(ctl1)
    done = clone.push("v3.0.0", who="ben")
    assert done.returncode != 0 and "your key may not do that" in done.stdout, done.stdout
    assert runs(ctl1) == before
    target = f"deploy@{CONTROL}"
    for words in (
        (target, "id"),
        (target, "git-receive-pack '/etc'"),
        (target, "git-upload-pack '../git/marketplace.git'"),
        ("-N", "-o", "ExitOnForwardFailure=yes", "-W", "127.0.0.1:22", target),
        (target,),
    ):
        told = subprocess.run(
            [*ssh("anna"), *words], input="id\n", capture_output=True, text=True, timeout=30, check=False
        )
        assert told.returncode != 0 and "uid=" not in told.stdout and "SSH-2" not in told.stdout, told
    told = subprocess.run(
        [*ssh("anna"), target, "log", "production"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "production: v1." in told.stdout
    assert subprocess.run(
        [*ssh("ben"), target, "log", "production"], capture_output=True, timeout=30, check=False
    ).returncode


def test_a_second_push_waits_for_the_first_and_other_environments_do_not(
    clone: Clone, ctl1: scenario.Host, tmp_path: Path
) -> None:
    clone.tag("v1.3.0", "v1.1.0")
    with clone.start("push", "origin", "v1.3.0") as first:
        under_way(ctl1, "v1.3.0", "fence")
        clone.tag("v1.3.1", "v1.1.0")
        with clone.start("push", "origin", "v1.3.1") as second:
            # There is no inventory of staging: what counts is when it is said.
            third = clone.push("HEAD:refs/heads/develop")
            assert third.returncode != 0 and "the commit has no inventories/staging" in third.stdout, third.stdout
            assert first.poll() is None, "staging waited for production"
            told = [process.communicate(timeout=200)[0] for process in (first, second)]
    clone.told += told
    assert first.returncode == second.returncode == 0, told
    assert "waiting for v1.3.0" in told[1] and "waiting for v" not in told[0], told
    assert live()["banner"] == "v1.3.1"
    # The second began when the first had ended, by the host's own clock.
    began = float(ctl1.must(f"stat -c %W {RUNS}/*-v1.3.1/log"))
    assert began >= float(str(result(ctl1, "v1.3.0")["ended"])) - 1


def test_a_run_that_is_stopped_leaves_nothing_locked(clone: Clone, ctl1: scenario.Host, one1: scenario.Host) -> None:
    before = live()
    clone.tag("v1.4.0", "v1.1.0")
    with clone.start("push", "origin", "v1.4.0") as push:
        under_way(ctl1, "v1.4.0", "fence")
        # The control: it has the lease.
        assert lease(one1)["run_id"] and lease(one1)["expires"]
        ctl1.must("systemctl stop sluice-git-deploy@production.service")
        stopped = float(one1.must("cut -d ' ' -f 1 /proc/uptime"))
        told, _ = push.communicate(timeout=60)
    clone.told.append(told)
    assert (
        push.returncode != 0 and "v1.4.0 was broken off; nothing is locked" in told and "(stopped on this host)" in told
    ), told
    assert live() == before and "v1.4.0" not in clone.deployed()
    assert ctl1.run("pgrep -f bin/ansible-playbook").returncode, "it goes on"
    # Given back: one that only ran out would be good for 10 to 15 s from its last renewal.
    until(lambda: lease(one1)["expires"] < stopped + 5)
    again = clone.push("v1.4.0")
    assert again.returncode == 0 and "waiting for v" not in again.stdout and live()["banner"] == "v1.4.0", again.stdout


def test_a_run_that_is_killed_ends_for_whoever_pushed(clone: Clone, ctl1: scenario.Host) -> None:
    clone.tag("v1.4.1", "v1.1.0")
    with clone.start("push", "origin", "v1.4.1") as push:
        under_way(ctl1, "v1.4.1", "fence")
        ctl1.must("systemctl kill --kill-whom=main --signal=SIGKILL sluice-git-deploy@production.service")
        told, _ = push.communicate(timeout=60)
    clone.told.append(told)
    assert push.returncode != 0 and "interrupted: what ran it went down" in told, told
    until(lambda: ctl1.run("pgrep -f bin/ansible-playbook").returncode, 30)
    assert clone.push("v1.4.1").returncode == 0 and live()["banner"] == "v1.4.1"


def test_a_push_that_loses_its_connection_is_released(clone: Clone, ctl1: scenario.Host) -> None:
    clone.tag("v1.5.0", "v1.1.0")
    with clone.start("push", "origin", "v1.5.0") as push:
        under_way(ctl1, "v1.5.0", "fence")
        push.send_signal(signal.SIGKILL)
        subprocess.run(["pkill", "-KILL", "--parent", str(push.pid)], check=False)
    until(lambda: result(ctl1, "v1.5.0"))
    assert result(ctl1, "v1.5.0")["code"] == 0 and live()["banner"] == "v1.5.0"
    # Nobody was there to be told that it may have its tag.
    again = clone.push("v1.5.0")
    assert again.returncode == 0 and clone.deployed() >= {"v1.5.0"}, again.stdout


def test_with_an_inventory_of_the_host_a_commit_gives_the_version_only(clone: Clone, ctl1: scenario.Host) -> None:
    ctl1.must("rm -rf /etc/sluice/review")
    clone.tag("r1")
    done = clone.push("r1")
    assert done.returncode != 0 and "this host has no /etc/sluice/review" in done.stdout, done.stdout
    # One without an app: what the commit has of it is not seen.
    ctl1.must("mkdir -p /etc/sluice/review && printf '[edge]\\none1\\n[app]\\none1\\n' > /etc/sluice/review/hosts")
    done = clone.push("r1")
    assert done.returncode != 0 and "Error: app_name" in done.stdout, done.stdout
    assert "r1 was broken off" in done.stdout, done.stdout


def test_a_host_of_debian_12_does_the_same(clone: Clone) -> None:
    clone.tag("v1.6.0", "v1.1.0")
    done = clone.git("push", f"deploy@{CONTROL12}:marketplace.git", "v1.6.0")
    assert done.returncode == 0 and "production: v1.6.0 is deployed" in done.stdout, done.stdout
    assert live()["banner"] == "v1.6.0"


def test_secrets_are_in_nothing_that_was_said_or_kept(clone: Clone, ctl1: scenario.Host) -> None:
    key = (scenario.REPOSITORY / ".lab/vault.key").read_text().strip()
    patterns = [*scenario.secrets().values(), key]
    assert len(patterns) > 5 and all(len(one) > 7 for one in patterns)
    told = "\n".join(clone.told)
    assert "marketplace v1.0.0 is live" in told
    assert [one for one in patterns if one in told] == []

    def found(*texts: str) -> set[str]:
        """Where any of these is, on the host, outside of what is closed to all but its owner."""
        listed = "\n".join(texts)
        output = ctl1.must(
            f"cat > /root/patterns <<'END'\n{listed}\nEND\n"
            "grep -rlaFf /root/patterns /var/lib/sluice-deploy /var/log /tmp /var/tmp /etc/sluice /opt/sluice-deploy/*/collections || true\n"
            "journalctl --no-pager | grep -qaFf /root/patterns && echo journal; rm /root/patterns; true"
        )
        return set(output.split())

    assert found(*patterns) == {"/etc/sluice/git-deploy/production/vault/lab"}
    # The control: the same search finds what was said.
    assert any(path.startswith(RUNS) for path in found("marketplace v1.0.0 is live"))


def test_only_an_environments_own_user_reads_what_it_has(ctl1: scenario.Host) -> None:
    paths = (
        "/etc/sluice/git-deploy/production/vault/lab",
        "/etc/sluice/git-deploy/production/variables.json",
        "/var/lib/sluice-deploy/production/.ssh/id_ed25519",
    )
    for path in paths:
        ctl1.must(f"runuser -u deploy-production -- test -r {path}")
        for user in ("deploy", "deploy-staging", "nobody"):
            assert ctl1.run(f"runuser -u {user} -- test -r {path}").returncode, (user, path)
    assert ctl1.run("runuser -u deploy-staging -- ls /var/lib/sluice-deploy/production/queue").returncode
    assert ctl1.run(f"runuser -u deploy -- test -w {RUNS}").returncode
    for path in (REPOSITORY, RUNS):
        assert ctl1.run(f"runuser -u deploy-staging -- ls {path}").returncode, path
