# SPDX-License-Identifier: Apache-2.0
"""A Molecule scenario's hosts, from outside: a shell on each, its playbooks, and its object store as the store's owner sees it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = os.environ.get("MOLECULE_SCENARIO_NAME", "")
INVENTORY = REPOSITORY / "molecule" / NAME / "inventory"
STATE = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "")) / "store"
# The lab's secrets do for every scenario.
VAULT = REPOSITORY / "inventories/lab/group_vars/all/vault.yml"
BUCKET = "sluice-backups"
# A key of the store's that may do nothing unless a policy says so.
LEAST = {"id": "LEASTKEY", "secret": "a-key-of-the-hosts-that-may-do-little"}


class Host:
    """A container of the scenario, as root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"sluice-{NAME}-{name}"

    def run(self, script: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """A script, whatever comes of it."""
        return self._run("bash", stdin=script, timeout=timeout)

    def must(self, script: str) -> str:
        """What a script printed; it has to succeed."""
        done = self.run(script)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, query: str, database: str = "shop") -> str:
        """The answer to a query of the host's server, as its superuser."""
        done = self._run("psql", "-XAtqv", "ON_ERROR_STOP=1", database, stdin=query, user="postgres", timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def program(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of one of our programs on the host."""
        done = self.run(f"{words[0]} --json {' '.join(words[1:])}")
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def backup(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of a database host's backup program."""
        return self.program("sluice-backup", *words)

    def _run(self, *command: str, stdin: str, timeout: float, user: str = "root") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "exec", "--interactive", "--user", user, self.container, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


CANARY = "planted-canary-in-the-clear"
# What a command could leave while it runs or afterwards: arguments and environments, temporary files, logs and the journal.
LEAKS = r"""
cat > /root/patterns
rm -f /root/stop; since=$(date '+%F %T')
(n=0; while [ ! -e /root/stop ]; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -qaFf /root/patterns && echo processes
  grep -rlaFf /root/patterns /tmp /var/tmp /dev/shm FOLDERS 2>/dev/null
  n=$((n+1)); sleep 0.1
done; echo looks $n) > /root/seen &
bash /root/command >/root/output 2>&1; code=$?; touch /root/stop; wait
sort -u /root/seen; echo code $code
grep -qaFf /root/patterns /root/output && echo output
journalctl --no-pager --since "$since" | grep -qaFf /root/patterns && echo journal
grep -rlaFf /root/patterns /var/log --exclude-dir=journal
rm -f /root/patterns /root/seen /root/stop /root/command /root/output
true
"""


def leaks(host: Host, secrets: Iterable[str], command: str, *folders: str) -> set[str]:
    """Where any of these secrets is seen while a command runs on a host, or is left by it: ``processes``, ``output``, ``journal``, paths.

    ``folders`` are searched on top of those for temporary files. The command has to succeed.
    """
    host.must(f"cat > /root/command <<'END'\n{command}\nEND")
    listed = "\n".join(secrets)
    head, _, rest = LEAKS.replace("FOLDERS", " ".join(folders)).lstrip().partition("\n")
    found = host.must(f"{head} <<'END'\n{listed}\nEND\n{rest}").splitlines()
    looks = next(int(line.split()[1]) for line in found if line.startswith("looks "))
    # How often depends on the machine.
    assert "code 0" in found and looks > 1, found
    return {line for line in found if not line.startswith(("looks ", "code "))}


PLANT = f"logger {CANARY}; echo {CANARY} > /tmp/planted; echo {CANARY}; bash -c ': {CANARY}; sleep 1; true'; rm /tmp/planted"
PLANTED = {"processes", "output", "journal", "/tmp/planted"}


def ansible(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An Ansible command with the scenario's inventory and the lab's secrets; ``environment`` on top of what every run has."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    identities = f"lab@{REPOSITORY}/scripts/vault-key-client"
    return subprocess.run(
        [words[0], "-i", str(INVENTORY), "-e", f"@{VAULT}", *words[1:]],
        cwd=REPOSITORY,
        env={**own, "ANSIBLE_VAULT_IDENTITY_LIST": identities, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def secrets() -> dict[str, str]:
    """The scenario's secrets, by the names they have in the vault."""
    plain = subprocess.run(
        ["ansible-vault", "view", str(VAULT)], check=True, capture_output=True, text=True, cwd=REPOSITORY
    )
    return dict(yaml.safe_load(plain.stdout))


def store(address: str) -> Any:
    """The object store at an address, as who owns its keys: a client of boto3."""
    keys = secrets()
    return boto3.client(
        "s3",
        endpoint_url=f"https://{address}:8333",
        region_name="us-east-1",
        aws_access_key_id=keys["vault_s3_access_key"],
        aws_secret_access_key=keys["vault_s3_secret_key"],
        verify=str(STATE / "ca/ca.pem"),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def answers(client: Any) -> None:
    """Wait until a store that was restarted lets its owner in again."""
    eventually(lambda: client.head_bucket(Bucket=BUCKET))


def eventually(ask: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a store does what it is asked, as its parts have heard of what was changed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, f"the store did not do it within {seconds:g} s"
            time.sleep(0.5)


def objects(client: Any, prefix: str) -> list[dict[str, Any]]:
    """All objects below a prefix, as the store lists them."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", [])]


def make_bucket(*words: str) -> tuple[int, str]:
    """The exit code and output of playbooks/backup/bucket.yml, run as the store's owner."""
    keys = secrets()
    done = ansible(
        # The lab's store has no block of public access, and no key to encrypt with.
        *(
            "ansible-playbook",
            "playbooks/backup/bucket.yml",
            "-e",
            "bucket_block_public_access=false",
            "-e",
            "bucket_encryption=none",
        ),
        *words,
        AWS_ACCESS_KEY_ID=keys["vault_s3_access_key"],
        AWS_SECRET_ACCESS_KEY=keys["vault_s3_secret_key"],
        AWS_CA_BUNDLE=str(STATE / "ca/ca.pem"),
    )
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def least_key(host: Host, client: Any) -> Iterator[None]:
    """Have the store on ``host`` allow the key LEAST what the policy says that playbooks/backup/bucket.yml prints, and nothing else, for a while."""
    _, said = make_bucket("--check")
    _, found, after = said.partition("minimal policy of the key")
    assert found, said[-3000:]
    policy, _ = json.JSONDecoder().raw_decode(after[after.index("{") :])
    # The lab's store has policies on buckets alone, and these say whom they are for.
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": "arn:aws:iam::000000000000:user/least"}
    identity = {
        "name": "least",
        "actions": [],
        "credentials": [{"accessKey": LEAST["id"], "secretKey": LEAST["secret"]}],
    }
    host.must(
        "cp -p /etc/seaweedfs/s3.json /root/s3.json && python3 - <<'END'\nimport json\npath = '/etc/seaweedfs/s3.json'\n"
        f"held = json.load(open(path))\nheld['identities'].append({identity})\njson.dump(held, open(path, 'w'))\nEND\nsystemctl restart seaweedfs"
    )
    try:
        answers(client)
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
        yield
    finally:
        with contextlib.suppress(ClientError):  # a test may have taken it away itself
            client.delete_bucket_policy(Bucket=BUCKET)
        host.must("mv /root/s3.json /etc/seaweedfs/s3.json && systemctl restart seaweedfs")
        answers(client)
