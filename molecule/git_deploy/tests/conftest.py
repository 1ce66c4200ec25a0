# SPDX-License-Identifier: Apache-2.0
"""Somebody with a clone who pushes, the app as its visitors see it, and the host in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import scenario

CONTROL, CONTROL12, APP = "10.213.72.12", "10.213.72.13", "10.213.72.11"
CLIENT = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "client"
RUNS = "/var/lib/sluice-deploy/production/runs"
REPOSITORY = "/var/lib/sluice-deploy/git/marketplace.git"


def ssh(who: str) -> list[str]:
    """SSH with somebody's key and no other."""
    known = scenario.REPOSITORY / ".lab/known_hosts"
    options = ("IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", f"UserKnownHostsFile={known}")
    return ["ssh", "-F", "/dev/null", "-i", str(CLIENT / who), *(word for one in options for word in ("-o", one))]


class Clone:
    """A clone of the app's repository, with what all pushes from it were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.git("clone", "--quiet", f"deploy@{CONTROL}:marketplace.git", str(folder), cwd=folder.parent)
        production = folder / "inventories/production"
        shutil.copytree(scenario.INVENTORY, production)
        shutil.copy(scenario.VAULT, production / "group_vars/all/vault.yml")
        self.app = production / "group_vars/all/app.yml"
        self.sound = yaml.safe_load(self.app.read_text())

    def git(self, *words: str, who: str = "anna", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A command of Git, whatever comes of it."""
        with self.start(*words, who=who, cwd=cwd) as process:
            output, _ = process.communicate(timeout=300)
        self.told.append(output)
        return subprocess.CompletedProcess(words, process.returncode, output)

    def start(self, *words: str, who: str = "anna", cwd: Path | None = None) -> subprocess.Popen[str]:
        """A command of Git that goes on."""
        own = {
            f"GIT_{kind}_{what}": "anna@example.test" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        return subprocess.Popen(
            ["git", *words],
            cwd=cwd or self.folder,
            env={**os.environ, **own, "GIT_SSH_COMMAND": " ".join(ssh(who)), "GIT_CONFIG_GLOBAL": "/dev/null"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tag(self, tag: str, image: str = "", **app: Any) -> None:
        """Commit the app with some of its variables changed, None for none, and tag that.

        ``image``: the images' tag, where it is not the version.
        """
        changed = {**self.sound, "app_extra": {"banner": tag}, **app}
        if image:
            services = changed["app_services"]
            changed["app_services"] = {
                name: {**service, "image": f"{service['image']}:{image}"} for name, service in services.items()
            }
        self.app.write_text(yaml.safe_dump({name: value for name, value in changed.items() if value is not None}))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", tag)
        done = self.git("tag", "--force", tag)
        assert done.returncode == 0, done.stdout

    def push(self, *refs: str, who: str = "anna") -> subprocess.CompletedProcess[str]:
        """Push refs."""
        return self.git("push", "origin", *refs, who=who)

    def released(self, tag: str, image: str = "", **app: Any) -> str:
        """Push a tag, which has to be released; what was told."""
        self.tag(tag, image, **app)
        done = self.push(tag)
        assert done.returncode == 0 and f"production: {tag} is deployed" in done.stdout, done.stdout
        assert live()["banner"] == tag
        return done.stdout

    def deployed(self) -> set[str]:
        """The tags that the host has."""
        lines = self.git("ls-remote", "--tags", "origin").stdout.splitlines()
        return {line.rpartition("/")[2] for line in lines}


def live() -> dict[str, Any]:
    """What a visitor gets: version and banner of the live release."""
    with urllib.request.urlopen(f"http://{APP}/api/version", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def until(ask: Callable[[], Any], seconds: float = 120) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def ctl1() -> scenario.Host:
    return scenario.Host("ctl1")


@pytest.fixture(scope="session")
def one1() -> scenario.Host:
    return scenario.Host("one1")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone all tests push from. Tests that run again find repositories without refs, and no runs."""
    for name in ("ctl1", "ctl2"):
        scenario.Host(name).must(
            f"rm -rf {RUNS}/*; runuser -u deploy -- sh -c 'cd {REPOSITORY} && git for-each-ref --format=\"delete %(refname)\" | git update-ref --stdin'"
        )
    return Clone(tmp_path_factory.mktemp("clone") / "marketplace")


def runs(ctl1: scenario.Host) -> list[str]:
    """The runs of production, oldest first."""
    return ctl1.must(f"ls {RUNS}").split()


def state(one1: scenario.Host) -> str:
    """What a release changes on the app's host: containers, the edge's record, and migrations."""
    return one1.must(
        "docker ps --all --format '{{.Names}}' | sort; cat /var/lib/sluice-edge/marketplace.json"
    ) + one1.sql("select migration_name from _prisma_migrations order by 1", "marketplace")


def lease(one1: scenario.Host) -> dict[str, Any]:
    """The lease of the app, as its host has it."""
    found: dict[str, Any] = json.loads(one1.must("cat /var/lib/sluice/apps/marketplace/lease.json"))
    return found
