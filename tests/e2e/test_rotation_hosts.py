# SPDX-License-Identifier: Apache-2.0
"""What hosts use themselves changes in the inventory: the key of a restic repository in the lab's bucket, the login to its registry."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest
import yaml

from tests.support.lab import APP_HOSTS, INVENTORY, REGISTRY, Lab
from tests.support.playbook import REPO, Run

pytestmark = pytest.mark.soak

STACK = yaml.safe_load((REPO / INVENTORY / "group_vars/all/stack.yml").read_text())
KEYS = "/etc/sluice/files"
USERS = "/etc/docker/registry/htpasswd"


def provision(lab: Lab, tag: str, *extra: str, **variables: Any) -> Run:
    """Run a part of provision.yml with more variables."""
    return lab.playbook("provision", "--tags", tag, *extra, "-e", json.dumps(variables))


class Files:
    """Backups of a host's files in a repository of their own."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.path = lab, f"/rotation-{uuid.uuid4().hex}"

    def provision(self, passphrase: str, previous: str = "") -> Run:
        """Provision app1's backups of files."""
        store = {**STACK["backup_repositories"][0], "path": self.path, "passphrase": passphrase}
        if previous:
            store["passphrase_previous"] = previous
        return provision(
            self.lab,
            "file_backup",
            "--limit",
            "app1",
            file_backup_paths=["/etc/docker"],
            file_backup_repositories=[store],
        )

    def opens(self, passphrase: str) -> str:
        """What restic says to a passphrase."""
        settings = json.loads(self.lab.on("app1", "cat", "/etc/sluice/files.json"))["repositories"][0]
        options = " ".join(f"-o {option}" for option in settings["options"])
        script = (
            f"cat >/run/passphrase; AWS_SHARED_CREDENTIALS_FILE={KEYS}/store.credentials RESTIC_PASSWORD_FILE=/run/passphrase"
            f" restic {options} --cacert {settings['ca']} -r {settings['url']} --no-cache --no-lock snapshots 2>&1; rm /run/passphrase"
        )
        return self.lab.on("app1", "sh", "-c", script, stdin=passphrase, check=False)


@pytest.fixture
def files(lab: Lab) -> Iterator[Files]:
    """Afterwards app1 has no backups of files, as before."""
    yield Files(lab)
    lab.shell(
        "app1",
        "systemctl disable --now 'sluice-files@backup.timer' 'sluice-files@check.timer' 'sluice-files@status.timer'; "
        f"rm -rf {KEYS} /etc/sluice/files.json /usr/local/sbin/sluice-files /etc/systemd/system/sluice-files@*; systemctl daemon-reload",
        check=False,
    )


def test_a_passphrase_of_restic(files: Files) -> None:
    old, new = (f"a passphrase of this test {uuid.uuid4().hex}" for _ in range(2))
    files.provision(old).good()
    assert "1 snapshots" in files.opens(old)
    # The control: without the old one the new one opens nothing, and nothing is changed.
    assert "cannot be decrypted" in files.provision(new).output
    assert "1 snapshots" in files.opens(old)

    run = files.provision(new, old).good()
    assert run.changed(), "it says so"
    assert "1 snapshots" in files.opens(new)
    assert "wrong password" in files.opens(old)
    assert old not in run.output and new not in run.output
    assert not files.provision(new, old).good().changed()
    files.provision(new).good()
    assert old not in files.lab.shell("app1", f"cat {KEYS}/*")
    files.lab.on("app1", "/usr/local/sbin/sluice-files", "backup", timeout=120)
    assert "2 snapshots" in files.opens(new)


def test_pgbackrest_refuses(lab: Lab) -> None:
    repositories = [{**one, "passphrase_previous": "x" * 20} for one in STACK["backup_repositories"]]
    run = provision(lab, "backup", "--limit", "db1", backup_repositories=repositories)
    assert "pgBackRest cannot change the passphrase of a repository" in run.error()


def test_a_login_to_the_registry(lab: Lab, v1_0_0: str) -> None:
    password = uuid.uuid4().hex
    registry = STACK["docker_host_registries"][0]
    second = [{**registry, "username": "second", "password": password}]
    before = lab.shell("store1", f"cat {USERS}")

    def users(text: str) -> None:
        lab.on("store1", "sh", "-c", f"cat >{USERS}", stdin=text)

    def logins() -> list[str]:
        return [lab.on(host, "sha256sum", "/root/.docker/config.json") for host in APP_HOSTS]

    try:
        # The control: what the registry does not know is refused, and the hosts keep the login that works.
        held = logins()
        assert (
            "Check username, password"
            in provision(lab, "docker_host", "--limit", "app", docker_host_registries=second).output
        )
        assert logins() == held
        users(before + f"second:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n")
        provision(lab, "docker_host", docker_host_registries=second).good()
        assert logins() != held
        # Only the second one is left; a pull asks the registry even for what is there.
        users(f"second:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n")
        for host in APP_HOSTS:
            lab.shell(host, f"docker pull -q {REGISTRY}/marketplace/frontend:v1.1.0", timeout=120)
    finally:
        users(before)
        provision(lab, "docker_host").good()
    assert lab.live() == v1_0_0
