# SPDX-License-Identifier: Apache-2.0
"""Secrets reach the containers and show up nowhere else over a deploy, a failed deploy, a rollback and a backup.

Nowhere else: process arguments, output at -vvv, diffs, journals, ledgers, temporary files, and the settings of containers that do not list them.
"""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from tests.support.images import CRASH, Variants
from tests.support.lab import APP, APP_HOSTS, HOSTS, PREFIX, STATE, Lab, health_window, inventory_app
from tests.support.playbook import Run

# Collects every command line that shows up on a host until its input ends, as fast as it can without eating a whole core.
SAMPLER = """
import os, select, sys, time
seen = set()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as handle:
                seen.add(handle.read())
        except OSError:
            pass
print(b"\\n".join(seen).replace(b"\\0", b" ").decode(errors="replace"))
"""
CANARY = "canary-in-an-argument"


# Runs on a host until its input ends, and keeps the text of every temporary file that it can open meanwhile. For each health check that an image brings
# the engine writes the container's environment into a file of root's alone for some milliseconds: these are left out, unless others can read them.
TEMPORARY = """
import os, select, sys
seen = set()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    for top in ("/tmp", "/var/tmp", "/dev/shm", "/run/sluice", "/root/.ansible/tmp", "/home/admin/.ansible/tmp"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    status = os.stat(path)
                    if name.startswith("runc-process") and (status.st_uid, status.st_mode & 0o777) == (0, 0o600):
                        continue
                    with open(path, "rb") as handle:
                        seen.add(handle.read(1 << 20))
                except OSError:
                    pass
print(b"\\n".join(seen).decode(errors="replace"))
"""


class Seen:
    """What the runs printed, every command line of the hosts and the controller meanwhile, and the hosts' temporary files."""

    def __init__(self, runs: dict[str, Run], arguments: dict[str, str], temporary: dict[str, str]) -> None:
        self.runs, self.arguments, self.temporary = runs, arguments, temporary


@pytest.fixture(scope="module")
def seen(lab: Lab, v1_0_0: str, variant: Variants) -> Seen:
    """A release that starts every container anew, one that fails, a rollback and a backup, all as talkative as they can be."""
    crash = variant.push("v1.2.0-crash", CRASH)
    commands = {host: ["docker", "exec", "-i", f"{PREFIX}-{host}", "python3", "-c", SAMPLER] for host in HOSTS}
    commands["controller"] = ["python3", "-c", SAMPLER]
    commands |= {
        f"temporary {host}": ["docker", "exec", "-i", f"{PREFIX}-{host}", "python3", "-c", TEMPORARY] for host in HOSTS
    }
    samplers = {
        host: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for host, command in commands.items()
    }
    quick = ("-vvv", "--diff", "-e", "app_drain_seconds=1")
    runs: dict[str, Run] = {}
    try:
        for sampler in samplers.values():
            assert sampler.stdout is not None
            assert sampler.stdout.readline() == "ready\n"
        lab.shell("app1", f": {CANARY}; sleep 0.3; true")
        lab.shell("app1", f"echo {CANARY} >/tmp/canary; sleep 0.5; rm /tmp/canary")
        banner = json.dumps({"app_extra": {"banner": "talkative"}, "app_env": {"BANNER": "talkative"}})
        runs["deploy"] = lab.deploy("v1.0.0", *quick, "-e", banner).good()
        runs["failed deploy"] = lab.deploy(crash, *quick, *health_window(10))
        runs["rollback"] = lab.rollback(*quick).good()
        lab.on("db1", "sluice-backup", "incr", timeout=240)
        said = {host: sampler.communicate("\n", timeout=60)[0] for host, sampler in samplers.items()}
    finally:
        for sampler in samplers.values():
            sampler.kill()
            sampler.wait()
    assert runs["failed deploy"].code != 0
    arguments = {host: text for host, text in said.items() if not host.startswith("temporary ")}
    temporary = {host.removeprefix("temporary "): text for host, text in said.items() if host.startswith("temporary ")}
    return Seen(runs, arguments, temporary)


@pytest.fixture(scope="module")
def forms(lab: Lab) -> dict[str, str]:
    """Every secret of the vault, and the registry's in the form it is sent in."""
    values = lab.secrets()
    login = f"marketplace:{values['vault_registry_password']}"
    return {**values, "registry log-in": base64.b64encode(login.encode()).decode()}


def found(text: str, forms: dict[str, str]) -> list[str]:
    """The names of the secrets that are in a text."""
    return [name for name, value in forms.items() if value in text]


def test_no_process_has_one_in_its_arguments(seen: Seen, forms: dict[str, str]) -> None:
    # The control: an argument that was there for a third of a second was seen.
    assert CANARY in seen.arguments["app1"]
    assert all("python3" in text for text in seen.arguments.values())
    for host, text in seen.arguments.items():
        assert found(text, forms) == [], host


def test_the_most_talkative_output_has_none(seen: Seen, forms: dict[str, str]) -> None:
    # The control: the output does show what modules were given.
    assert "talkative" in seen.runs["deploy"].output
    for name, run in seen.runs.items():
        assert "SSH: EXEC" in run.output, name
        assert found(run.output, forms) == [], name


@pytest.mark.parametrize("host", HOSTS)
def test_no_temporary_file_has_one(seen: Seen, forms: dict[str, str], host: str) -> None:
    # The control: a file that was there for half a second was read.
    assert CANARY in seen.temporary["app1"]
    assert found(seen.temporary[host], forms) == []


@pytest.mark.parametrize("host", APP_HOSTS)
def test_a_container_has_those_that_its_service_lists(lab: Lab, seen: Seen, forms: dict[str, str], host: str) -> None:
    names = lab.shell(host, "docker ps -a --format '{{.Names}}'").split()
    shown = {name: lab.shell(host, f"docker inspect {name}") for name in names}
    backend = {name for name in names if "-backend-" in name}
    # The control: the backend has some.
    assert backend and all(found(shown[name], forms) for name in backend)
    assert {name: found(text, forms) for name, text in shown.items() if name not in backend} == {
        name: [] for name in shown if name not in backend
    }


def test_the_most_talkative_provisioning_has_none(provisioned: tuple[Lab, Run], forms: dict[str, str]) -> None:
    output = provisioned[1].output
    assert "SSH: EXEC" in output
    assert found(output, forms) == []


@pytest.mark.parametrize("host", HOSTS)
def test_no_log_of_a_host_has_one(lab: Lab, seen: Seen, forms: dict[str, str], host: str) -> None:
    logs = lab.shell(
        host,
        "journalctl --no-pager -o cat; cat /var/log/nginx/* /var/log/postgresql/* /var/log/redis/* 2>/dev/null; "
        "for c in $(docker ps -aq 2>/dev/null); do docker logs $c 2>&1; done",
        check=False,
        timeout=120,
    )
    # The control: modules do leave their arguments in the journal.
    if host in APP_HOSTS:
        assert "Invoked with " in logs
    assert found(logs, forms) == []


@pytest.mark.parametrize("host", ["edge1", *APP_HOSTS])
def test_records_have_none(lab: Lab, seen: Seen, forms: dict[str, str], host: str) -> None:
    texts = lab.shell(
        host,
        f"find {STATE} /var/lib/sluice-edge /etc/nginx -type f -not -path '*/secrets/*' 2>/dev/null | xargs -r cat",
        check=False,
    )
    assert "talkative" in texts, "the manifest is in the ledger"
    assert "DATABASE_URL" in texts, "secrets are named in it"
    assert found(texts, forms) == []


@pytest.mark.parametrize("host", APP_HOSTS)
def test_what_holds_them_is_root_s_alone(lab: Lab, seen: Seen, forms: dict[str, str], host: str) -> None:
    folder = f"{STATE}/apps/{APP}/secrets"
    files = lab.shell(host, f"find {folder} -type f -printf '%U:%G %m %f\\n'").splitlines()
    assert all(line.endswith(".cred") for line in files), files
    assert all(line.startswith("0:0 600 ") for line in files), files
    # Releases of other tests may have had more.
    assert {line.split()[2].partition(".")[0] for line in files} >= {
        *inventory_app()["app_services"]["backend"]["secrets"]
    }
    assert (
        lab.shell(host, f"stat -c '%U %a' {STATE}/apps/{APP} {folder} {STATE}/apps").split("\n")[:3] == ["root 700"] * 3
    )
    # Encrypted with a key of the host, which is root's alone too. The control: with it they are there.
    assert found(lab.shell(host, f"cat {folder}/*"), forms) == []
    opened = f'for file in {folder}/*; do systemd-creds decrypt --name="$(basename "$file" .cred)" "$file" -; done'
    assert found(lab.shell(host, opened), forms)
    assert lab.shell(host, "stat -c '%U %a' /var/lib/systemd/credential.secret").strip() == "root 400"
    assert lab.shell(host, "stat -c '%U %a' /root/.docker/config.json").strip() == "root 600"
