# SPDX-License-Identifier: Apache-2.0
"""What a push may do and deploys where, the queue it goes through, and who may connect for what."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy import policy, program, runner, settings
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.policy import Environment, RefusedError, Update
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.queue import Queue, QueueError
from hypothesis import given
from hypothesis import strategies as st

NONE, OLD, NEW = "0" * 40, "a" * 40, "b" * 40
PRODUCTION = Environment("production", "shop", "v*", "", "inventories/production")
STAGING = Environment("staging", "shop", "", "feature/new", "/etc/sluice/staging")
TO = [PRODUCTION, STAGING]
BOTH = ["production", "staging"]


def decided(*updates: tuple[str, str, str], allowed: list[str] | None = None) -> list[tuple[str, str]]:
    """Environment and version of what a push deploys."""
    found = policy.decide([Update(*one) for one in updates], TO, BOTH if allowed is None else allowed)
    return [(one.environment.name, one.version) for one in found]


def refused(*updates: tuple[str, str, str], allowed: list[str] | None = None) -> str:
    with pytest.raises(RefusedError) as caught:
        decided(*updates, allowed=allowed)
    return str(caught.value)


def test_a_tag_is_the_version_and_a_branch_has_its_commit() -> None:
    assert decided((NONE, NEW, "refs/tags/v1.1.0")) == [("production", "v1.1.0")]
    assert decided((OLD, NEW, "refs/heads/feature/new")) == [("staging", "feature-new-bbbbbbb")]


def test_what_no_environment_deploys_is_only_kept() -> None:
    assert decided((NONE, NEW, "refs/tags/nightly"), (NONE, NEW, "refs/heads/main"), allowed=[]) == []


def test_the_first_environment_takes_it() -> None:
    all_tags = Environment("all", "shop", "*", "", "hosts")
    update = [Update(NONE, NEW, "refs/tags/v1")]
    assert [one.environment.name for one in policy.decide(update, [PRODUCTION, all_tags], ["production", "all"])] == [
        "production"
    ]
    # One that would take it, too, is no way around.
    with pytest.raises(RefusedError):
        policy.decide(update, [PRODUCTION, all_tags], ["all"])


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ((OLD, NEW, "refs/tags/v1"), "v1 was deployed from another commit: a tag never moves, so tag another version"),
        ((OLD, NONE, "refs/tags/v1"), "v1: nothing is deleted here"),
        ((OLD, NONE, "refs/heads/main"), "main: nothing is deleted here"),
        ((NONE, NEW, "refs/notes/x"), "'refs/notes/x' is no branch: letters, digits, '_', '.' and '-'"),
        ((NONE, NEW, "refs/tags/v1/2"), "'refs/tags/v1/2' is no version: letters, digits, '_', '.' and '-'"),
        ((NONE, NEW, "refs/tags/-v1"), "'refs/tags/-v1' is no version: letters, digits, '_', '.' and '-'"),
        ((NONE, NEW, "refs/tags/v1\n"), "'refs/tags/v1\\n' is no version: letters, digits, '_', '.' and '-'"),
    ],
)
def test_a_push_is_refused_with_one_line(update: tuple[str, str, str], message: str) -> None:
    assert refused(update) == message


def test_a_key_deploys_to_its_environments_alone() -> None:
    assert refused((NONE, NEW, "refs/tags/v1"), allowed=["staging"]) == (
        "v1 would be deployed to production, and your key may not do that"
    )
    assert decided((OLD, NEW, "refs/heads/feature/new"), allowed=["staging"])


def test_all_tags_at_once_are_no_deploy() -> None:
    tags = [(NONE, NEW, f"refs/tags/v{number}") for number in range(7)]
    assert refused(*tags) == "this push has 7 versions for production (v0, v1, v2, v3, v4, …): push one"
    # One for each environment is fine.
    assert len(decided(tags[0], (OLD, NEW, "refs/heads/feature/new"))) == 2


@given(st.text(), st.sampled_from(["refs/tags/", "refs/heads/", ""]))
def test_no_name_becomes_a_version_that_is_none(name: str, kind: str) -> None:
    anything = [
        Environment("production", "shop", "*", "", "hosts"),
        Environment("staging", "shop", "", name or "x", "hosts"),
    ]
    try:
        found = policy.decide([Update(NONE, NEW, kind + name)], anything, BOTH)
    except RefusedError:
        return
    assert all(policy.VERSION.fullmatch(one.version) for one in found)


# the queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    for name in ("queue", "runs", "work"):
        (tmp_path / "production" / name).mkdir(parents=True)
    return Queue("production", str(tmp_path))


def put(queue: Queue, version: str = "v1") -> str:
    """Add a request with a file."""
    request = {"version": version, "commit": NEW, "pusher": "anna", "repository": "shop"}
    return queue.put(request, lambda _commit, path: Path(path).write_text("files") and None)


def test_requests_are_taken_in_the_order_of_their_pushes(queue: Queue) -> None:
    identities = [put(queue, version) for version in ("v2", "v1", "v3")]
    assert [queue.take() for _ in range(4)] == [*identities, None]
    assert queue.runs() == identities
    assert queue.request(identities[0])["version"] == "v2"
    assert Path(queue.path(identities[0], "files.tar")).read_text() == "files"


def test_what_is_no_request_is_removed(queue: Queue) -> None:
    folder = Path(queue.home) / "queue"
    for name in ("rubbish", "20261128T000000.000000Z-v1", ".hidden"):
        (folder / name).touch()
    assert queue.take() is None and os.listdir(folder) == [".hidden"]


@pytest.mark.parametrize(
    "changed", [{"version": "v1{{x}}"}, {"version": ""}, {"commit": "--output=/x"}, {"pusher": None}]
)
def test_a_request_is_read_as_text_that_somebody_wrote(queue: Queue, changed: dict[str, Any]) -> None:
    identity = "20261128T000000.000000Z-v1"
    given = {"version": "v1", "commit": NEW, "pusher": "anna", "repository": "shop", **changed}
    held = Path(queue.home) / "queue" / f"{identity}.json"
    held.write_text(json.dumps({name: value for name, value in given.items() if value is not None}))
    assert queue.take() == identity
    with pytest.raises(QueueError, match="is no request"):
        queue.request(identity)


def test_a_push_follows_its_own_run_to_the_end(queue: Queue) -> None:
    first, second = put(queue, "v1"), put(queue, "v2")
    assert queue.take() == first
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        if len(told) == 1:  # it waits: the one before ends, and its own runs
            Path(queue.path(first, "result.json")).write_text('{"code": 0}')
            assert queue.take() == second
            Path(queue.path(second, "log")).write_text("one\ntwo\nhal")
        if len(told) == 2:
            with open(queue.path(second, "log"), "a", encoding="utf-8") as log:
                log.write("f\n")
            Path(queue.path(second, "result.json")).write_text('{"code": 3}')

    assert queue.follow(second, say) == {"code": 3}
    assert told == ["waiting for v1\n", "one\ntwo\n", "half\n"]


def test_a_link_in_a_run_shows_nothing(queue: Queue, tmp_path: Path) -> None:
    identity = put(queue)
    assert queue.take() == identity
    log, other = Path(queue.path(identity, "log")), tmp_path / "other"
    other.mkdir()
    (other / "log").write_text("of production\n")
    log.write_text("its own\n")
    with queue.read(identity, "log") as handle:
        assert handle.read() == b"its own\n"
    log.unlink()
    log.symlink_to(other / "log")
    with pytest.raises(QueueError, match="cannot be read"):
        queue.read(identity, "log")
    planted = "99991231T235959.000000Z-x"
    Path(queue.path(planted)).symlink_to(other)
    with pytest.raises(QueueError, match="cannot be read"):
        queue.read(planted, "log")
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(QueueError, match="is not a file"):
        queue.read(identity, "log")


def test_a_queue_that_nobody_takes_from_is_said(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Queue.__module__}.IDLE_SECONDS", 0.0)
    with pytest.raises(
        QueueError, match=r"nobody takes the deploys of production: systemctl status sluice-git-deploy@production.path"
    ):
        queue.follow(put(queue), lambda _text: None)


# the runner


def ended(queue: Queue, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(queue.path(identity, "result.json")).read_text())
    return found


def test_runs_without_a_result_get_one_and_old_ones_go(queue: Queue) -> None:
    one = runner.Runner(PRODUCTION, {"keep_runs": 2, "program": "/nowhere", "wait_seconds": 1}, queue)
    lost = put(queue, "v0")
    assert queue.take() == lost
    one.settle()
    assert ended(queue, lost)["code"] == 1
    assert "interrupted" in Path(queue.path(lost, "log")).read_text()
    # What is no archive is an error of that run, and the next one comes.
    kept = [put(queue, version) for version in ("v1", "v2", "v3")]
    one.run()
    assert queue.runs() == kept[1:]
    assert [ended(queue, identity)["code"] for identity in queue.runs()] == [1, 1]


def test_a_log_is_bounded_and_made_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOG_BYTES", 10)
    with open(tmp_path / "log", "wb") as log:
        runner._copy([b"12345\n", b"12345\n", b"12345\n"], log)
        runner._copy([b"end"], log)
    assert (tmp_path / "log").read_bytes() == b"12345\n12345\n(more than the log holds)\nend\n"


# who may connect for what


@pytest.mark.parametrize(
    "command",
    [
        "",
        "id",
        "git-receive-pack '/etc'",
        "git-receive-pack '../shop.git'",
        "git-upload-pack 'other.git'",
        "git-shell",
        "log production",
        "'",
    ],
)
def test_a_connection_is_for_git_and_the_pushers_own(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_unused: pytest.fail("it became a program"))
    given = {
        "environments": [{"name": "staging", "repository": "shop"}, {"name": "production", "repository": "other"}],
        "pushers": {"ben": ["staging"]},
    }
    with pytest.raises(RefusedError):
        program._session(given, "ben", command)


def test_git_gets_its_policy_and_nothing_of_the_clients_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.hooksPath=/tmp'")
    became: list[Any] = []

    def become(*given: Any) -> None:
        became.extend(given)
        raise SystemExit

    monkeypatch.setattr(os, "execve", become)
    given = {"environments": [{"name": "staging", "repository": "shop"}], "pushers": {"ben": ["staging"]}}
    with pytest.raises(SystemExit):
        program._session(given, "ben", "git-receive-pack '/shop.git'")
    assert became[:2] == ["/usr/bin/git", ["git", "receive-pack", "/var/lib/sluice-deploy/git/shop.git"]]
    assert became[2]["SLUICE_PUSHER"] == "ben" and "GIT_CONFIG_PARAMETERS" not in became[2]
    assert became[2]["GIT_CONFIG_VALUE_0"] == program.HOOKS


# the role's inputs

GOOD = {"name": "production", "repository": "shop", "tags": "v*", "inventory": "inventories/production"}
ANNA = {"name": "anna", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 anna@laptop"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Prod"}, "git_deploy_environments: Prod: a name is of lower-case"),
        ({"name": "git"}, "git_deploy_environments: git: a name is of"),
        ({"name": "a" * 21}, "at most 20"),
        ({"repository": "shop.git"}, "git_deploy_environments: production.repository is 'shop.git'"),
        ({"branch": "main"}, "git_deploy_environments: production: either tags or branch"),
        ({"tags": ""}, "git_deploy_environments: production: either tags or branch"),
        ({"inventory": "../etc"}, "git_deploy_environments: production.inventory is '../etc'"),
        ({"vault_keys": {"a/b": "secret"}}, "git_deploy_environments: production.vault_keys has 'a/b'"),
    ],
)
def test_a_wrong_environment_is_named(changed: dict[str, Any], message: str) -> None:
    (problem,) = settings.problems([{**GOOD, **changed}], [ANNA])
    assert message in problem and "secret" not in problem


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": 'x" id'}, "a name is of letters"),
        ({"key": 'command="id" ssh-ed25519 AAAA'}, "git_deploy_pushers: anna.key is no public key"),
        ({"key": "ssh-ed25519 AAAA\nssh-ed25519 BBBB"}, "git_deploy_pushers: anna.key is no public key"),
        (
            {"environments": ["prod"]},
            "git_deploy_pushers: anna.environments has 'prod': git_deploy_environments has production",
        ),
    ],
)
def test_a_wrong_pusher_is_named(changed: dict[str, Any], message: str) -> None:
    (problem,) = settings.problems([GOOD], [{**ANNA, **changed}])
    assert message in problem


def test_right_ones_are_fine_and_none_is_not() -> None:
    assert (
        settings.problems(
            [GOOD, {**GOOD, "name": "staging"}], [ANNA, {**ANNA, "name": "ben", "environments": ["staging"]}]
        )
        == []
    )
    assert "git_deploy_environments is empty" in settings.problems([], [ANNA])[0]
    assert len(settings.problems([GOOD, GOOD], [ANNA, ANNA])) == 4
