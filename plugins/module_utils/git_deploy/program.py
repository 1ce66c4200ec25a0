# SPDX-License-Identifier: Apache-2.0
"""The program of a host that deploys by `git push`: what SSH, Git and systemd start. See docs/runbooks/deploy-by-git-push.md."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy import policy
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.policy import RefusedError, Update
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.queue import ROOT, Queue, QueueError
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.runner import SETTINGS, Runner

GIT = os.path.join(ROOT, "git")
HOOKS = "/usr/local/lib/sluice-deploy/hooks"
USAGE = "this account takes git clone, git fetch, git push, and `log ENVIRONMENT`"
ARCHIVE_SECONDS = 300


def main(arguments: Sequence[str]) -> int:
    """What SSH, Git and systemd start; returns the exit code."""
    settings = read_json(os.path.join(SETTINGS, "settings.json"))
    try:
        match arguments:
            case ["as", pusher]:
                return _session(settings, pusher, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
            case ["pre-receive"]:
                updates = [Update(*line.rstrip("\n").split(" ", 2)) for line in sys.stdin]
                _decide(settings, updates)
                return 0
            case ["update", ref, old, new]:
                return _update(settings, Update(old, new, ref))
            case ["run" | "settle" as what, name]:
                return _run(settings, what, name)
    except (RefusedError, QueueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{USAGE}\n")
    return 1


def _session(settings: dict[str, Any], pusher: str, command: str) -> int:
    """A connection over SSH: Git on one of the pusher's repositories, or a log."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    match words:
        case ["git-receive-pack" | "git-upload-pack" as program, path]:
            name = path.lstrip("/").removesuffix(".git")
            if name not in policy.repositories(settings, pusher):
                raise RefusedError(f"there is no repository {name!r} for the key of {pusher}")
            _git(program.removeprefix("git-"), os.path.join(GIT, f"{name}.git"), pusher)
        case ["log", environment] if environment in settings["pushers"].get(pusher, []):
            return _log(Queue(environment))
    raise RefusedError(USAGE)


def _git(program: str, path: str, pusher: str) -> None:
    """Become Git. Its policy comes from here: what is in the repository is no part of it."""
    configured = {
        "core.hooksPath": HOOKS,
        "receive.denyDeletes": "true",
        "receive.denyNonFastForwards": "true",
        "receive.fsckObjects": "true",
        "receive.maxInputSize": "200m",
    }
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": GIT,
        "LANG": "C.UTF-8",
        "SLUICE_PUSHER": pusher,
        "GIT_CONFIG_COUNT": str(len(configured)),
    }
    for number, (name, value) in enumerate(configured.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    os.execve("/usr/bin/git", ["git", program, path], environment)  # noqa: S606 no shell is what it is for


def _log(queue: Queue) -> int:
    """The log of the newest run."""
    for identity in queue.runs()[-1:]:
        # A run that was just taken has none yet.
        with contextlib.suppress(FileNotFoundError), queue.read(identity, "log") as handle:
            sys.stdout.write(handle.read().decode(errors="replace"))
    return 0


def _decide(settings: dict[str, Any], updates: Sequence[Update]) -> list[policy.Deploy]:
    """What the push deploys. Git runs hooks inside of the repository."""
    pusher = os.environ.get("SLUICE_PUSHER", "")
    repository = os.path.basename(os.getcwd()).removesuffix(".git")
    return policy.decide(updates, policy.environments(settings, repository), settings["pushers"].get(pusher, []))


def _update(settings: dict[str, Any], update: Update) -> int:
    """Deploy a ref before it is updated: what is in the repository was deployed, and a push that failed may be pushed again."""
    for deploy in _decide(settings, [update]):
        commit = _output("rev-parse", "--verify", "--end-of-options", f"{update.new}^{{commit}}")
        queue = Queue(deploy.environment.name)
        request = {
            "version": deploy.version,
            "commit": commit,
            "pusher": os.environ["SLUICE_PUSHER"],
            "repository": deploy.environment.repository,
        }
        identity = queue.put(request, _archive if deploy.environment.pushed else None)
        return int(queue.follow(identity, _say)["code"] != 0)
    return 0


def _output(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=ARCHIVE_SECONDS, check=False)
    if done.returncode:
        raise RefusedError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"git {words[0]} failed")
    return done.stdout.strip()


def _archive(commit: str, path: str) -> None:
    # Read by another user, in a directory that only that one and this one enter.
    os.umask(0o022)
    _output("archive", "--format=tar", f"--output={path}", commit)


def _say(text: str) -> None:
    """Tell whoever pushes. One who has gone is told no more, and the run goes on without this hook."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _run(settings: dict[str, Any], what: str, name: str) -> int:
    """The service of an environment."""
    (environment,) = (policy.Environment(**one) for one in settings["environments"] if one["name"] == name)
    runner = Runner(environment, settings, Queue(name))
    signal.signal(signal.SIGTERM, runner.stop)
    signal.signal(signal.SIGALRM, runner.kill)
    if what == "run":
        runner.run()
    else:
        runner.settle()
    return 0
