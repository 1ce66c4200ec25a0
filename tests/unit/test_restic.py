# SPDX-License-Identifier: Apache-2.0
"""What restic said, recorded from releases 0.14.0 and 0.18.0, and what is made of it; and a restic that is not there."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restic, restic_output
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import RepositoryError

STOPPED = (
    '{"message_type":"exit_error","code":1,"message":"Fatal: unable to open config file: context canceled\\nIs there a '
    'repository at the following location?\\ns3:http://127.0.0.1:18333/sluice-bk/app1"}'
)
RETRIES = "Stat(<config/>) returned error, retrying after 1.309560249s: Stat: {}\nStat(<config/>) returned error, retrying after 4.96s: Stat: {}\n"
ABSENT = (
    "Fatal: unable to open config file: Stat: The specified key does not exist.\nIs there a repository at the following location?\n"
    "s3:http://127.0.0.1:18333/sluice-bk/app1\n"
)
PACK = "f82ed8607005f13ae4bc7d8925685667bd2917108357315b15a9f3cfb17db4e3"


def retried(reason: str) -> str:
    return RETRIES.format(reason, reason) + STOPPED


@pytest.mark.parametrize(
    ("code", "said", "kind", "detail"),
    [
        (12, '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', "key", ""),
        (1, "Fatal: wrong password or no key found\n", "key", ""),
        (
            10,
            '{"message_type":"exit_error","code":10,"message":"Fatal: repository does not exist: unable"}',
            "absent",
            "",
        ),
        (1, ABSENT, "absent", "The specified key does not exist"),
        (
            11,
            '{"message_type":"exit_error","code":11,"message":"unable to create lock in backend: repository is already locked by PID 7159"}',
            "locked",
            "by PID 7159",
        ),
        (
            1,
            retried("The request signature we calculated does not match the signature you provided."),
            "refused",
            "signature",
        ),
        (1, retried("The access key ID you provided does not exist in our records."), "refused", "access key ID"),
        (1, retried("The specified bucket does not exist"), "refused", "bucket does not exist"),
        (
            1,
            retried('Get "https://store1:8333/": dial tcp 127.0.0.1:18334: connect: connection refused'),
            "unreachable",
            "connection refused",
        ),
        (
            1,
            retried(
                'Get "https://store1:8333/": tls: failed to verify certificate: x509: certificate signed by unknown authority'
            ),
            "untrusted",
            "unknown authority",
        ),
        (
            1,
            "Save(<data/3a38c0e088>) failed: write /r/data/3a/3a38: no space left on device\n"
            '{"message_type":"exit_error","code":1,"message":"Fatal: unable to save snapshot: write /r/data/3a: no space left on device"}',
            "full",
            "no space left on device",
        ),
        (
            1,
            f"pack {PACK} contains 2 errors: [blob 4c94: decrypting blob <data/4c9449a5> from f82ed860 failed: ciphertext verification failed]\n"
            "Fatal: repository contains errors\n",
            "damaged",
            "contains errors",
        ),
        (1, f"Pack ID does not match, want {PACK}, got dccd\nFatal: repository contains errors\n", "damaged", ""),
        (
            1,
            f"pack {PACK}: does not exist\nLoad(<data/f82ed86070>, 3000527, 0) failed: The specified key does not exist.\n"
            "Fatal: repository contains errors\n",
            "damaged",
            "The specified key does not exist",
        ),
        (
            1,
            '{"message_type":"error","error":{"message":"decrypting blob failed: ciphertext verification failed"},"during":"restore","item":"/srv/a"}\n'
            '{"message_type":"exit_error","code":1,"message":"Fatal: There were 1 errors\\n"}',
            "damaged",
            "/srv/a: decrypting blob failed",
        ),
        (1, "ignoring error for /srv/a: ciphertext verification failed\nFatal: There were 1 errors\n", "damaged", ""),
        (1, "Fatal: something new\n", "other", "something new"),
        (1, "", "other", "it printed nothing"),
    ],
)
def test_what_went_wrong(code: int, said: str, kind: str, detail: str) -> None:
    found = restic_output.explain(code, said)
    assert found.kind == kind, found
    assert detail in found.message and "\n" not in found.message
    assert "context canceled" not in found.message


# Two snapshots of the same files: by 0.18, which keeps sizes, and by 0.14; and one somebody made by hand.
LISTED = json.dumps(
    [
        {
            "time": "2026-11-23T14:19:39.379112331Z",
            "paths": ["/srv/up"],
            "hostname": "app1",
            "tags": ["volume:uploads"],
            "id": "a9181f23",
        },
        {
            "time": "2026-11-23T15:19:36.51+01:00",
            "paths": ["/srv/up"],
            "tags": ["volume:uploads"],
            "summary": {"total_bytes_processed": 3000002},
            "id": "4e77170a",
        },
        {"time": "2026-11-23T14:00:00Z", "paths": ["/etc"], "tags": None, "id": "0"},
    ]
)


def test_snapshots_come_oldest_first_and_those_of_others_do_not() -> None:
    found = restic_output.snapshots(LISTED)
    assert [(item.id, item.source, item.size) for item in found] == [
        ("4e77170a", "volume:uploads", 3000002),
        ("a9181f23", "volume:uploads", None),
    ]
    assert 0 < found[1].moment - found[0].moment < 3
    assert restic_output.snapshots("null") == []


def test_what_a_backup_did() -> None:
    text = '{"message_type":"summary","files_new":2,"data_added":3003283,"data_added_packed":3002805,"total_bytes_processed":3000002,"snapshot_id":"4e77"}\n'
    assert restic_output.saved(text) == ("4e77", 3000002, 3002805)
    old = '{"message_type":"summary","data_added":351,"total_bytes_processed":3000002,"snapshot_id":"a918"}\n'
    assert restic_output.saved(old) == ("a918", 3000002, 351)
    assert restic_output.saved("") is None


@pytest.fixture
def repository(tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "store",
        "url": "s3:https://store1:8333/b/p",
        "endpoint": "",
        "options": ["s3.region=eu"],
        "ca": "/ca.pem",
        "keys": "/etc/sluice/files",
        "cache": str(tmp_path / "cache"),
    }


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A restic of the test's own."""
    path = tmp_path / "restic"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    popen = restic.subprocess.Popen
    monkeypatch.setattr(restic.subprocess, "Popen", lambda argv, **more: popen([str(path), *argv[1:]], **more))


def test_keys_are_in_no_argument_and_no_environment(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of somebody else")
    program(tmp_path, monkeypatch, 'echo "$@"; env')
    said = restic.must(repository, "snapshots")
    assert said.splitlines()[0] == "-o s3.region=eu --cacert /ca.pem snapshots"
    assert "RESTIC_PASSWORD_FILE=/etc/sluice/files/store.passphrase" in said
    assert "AWS_SHARED_CREDENTIALS_FILE=/etc/sluice/files/store.credentials" in said
    assert "of somebody else" not in said and "RESTIC_PASSWORD=" not in said


def test_a_restic_that_goes_on_trying_is_stopped_and_its_reason_told(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'echo "Stat(<config/>) returned error, retrying after 1.3s: Stat: Access Denied." >&2; exec sleep 60'
    program(tmp_path, monkeypatch, script)
    monkeypatch.setattr(restic, "LOOK_SECONDS", 0.5)
    with pytest.raises(RepositoryError, match=r"refuses the key.*Access Denied") as caught:
        restic.must(repository, "snapshots", timeout=0.5)
    assert caught.value.failure.kind == "refused"


def test_a_snapshot_that_misses_files_is_not_well(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = '{"message_type":"error","error":{"message":"open /srv/a: permission denied"},"during":"archival","item":"/srv/a"}'
    summary = '{"message_type":"summary","data_added":1,"total_bytes_processed":2,"snapshot_id":"ab"}'
    program(tmp_path, monkeypatch, f"echo '{error}' >&2; echo '{summary}'; exit 3")
    saved, wrong = restic.backup(repository, "app1", ["/srv"], "/srv", [])
    assert saved and saved.snapshot == "ab"
    assert wrong == "1 files could not be read, the first: /srv/a: open /srv/a: permission denied"


def test_what_retention_keeps_is_asked_for_by_source(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked')
    restic.forget(repository, "app1", "volume:b", {"within": "2d", "daily": 7, "monthly": 0}, "host,tags")
    asked = (tmp_path / "asked").read_text()
    assert "forget --quiet --host app1 --group-by host,tags --tag volume:b --keep-within=2d --keep-daily=7\n" in asked


def test_only_a_repository_that_is_not_there_is_made(
    repository: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = {"snapshots": restic.Done(10, "", ABSENT), "init": restic.Done(0, "", "")}
    monkeypatch.setattr(restic, "run", lambda _, *words, timeout: asked.append(words[0]) or answers[words[0]])
    assert restic.initialise(repository) is True
    assert asked == ["snapshots", "init"]
    answers["snapshots"] = restic.Done(0, "[]", "")
    assert restic.initialise(repository) is False
    answers["snapshots"] = restic.Done(12, "", "Fatal: wrong password or no key found")
    with pytest.raises(RepositoryError, match="the passphrase is not the one"):
        restic.initialise(repository)
    assert asked.count("init") == 1


def test_a_store_where_nobody_listens_is_known_at_once(repository: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(RepositoryError, match=f"the object store {endpoint} does not answer"):
        restic.snapshots({**repository, "endpoint": endpoint})


def test_the_cache_is_the_owners_alone(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "true")
    restic.must(repository, "snapshots")
    assert stat.S_IMODE(os.stat(tmp_path / "cache").st_mode) == 0o700


class Restic:
    """A repository with keys; ``restic.run`` on it, as restic 0.14 and 0.18 answer."""

    def __init__(self, *passphrases: str) -> None:
        self.keys = dict(enumerate(passphrases))

    def run(self, repository: dict[str, Any], *words: str, timeout: float = 0) -> Done:
        file = Path(repository["keys"]) / f"{repository['name']}.{repository.get('by', 'passphrase')}"
        given = file.read_text().strip()
        mine = next((number for number, one in self.keys.items() if one == given), None)
        if mine is None:
            return Done(1, "", "Fatal: wrong password or no key found\n")
        if words[:2] == ("key", "add"):
            new = Path(words[words.index("--new-password-file") + 1]).read_text().strip()
            self.keys[max(self.keys) + 1] = new
        if words[:2] == ("key", "remove"):
            assert int(words[-1]) != mine, "refusing to remove key currently used to access repository"
            del self.keys[int(words[-1])]
        listed = [{"current": number == mine, "id": str(number)} for number in self.keys]
        return Done(0, json.dumps(listed) if words[:2] == ("key", "list") else "[]", "")


def opened_by(tmp_path: Path, new: str, previous: str) -> dict[str, Any]:
    for name, text in (("passphrase", new), ("previous", previous)):
        (tmp_path / f"store.{name}").write_text(f"{text}\n")
    return {"name": "store", "keys": str(tmp_path), "endpoint": ""}


@pytest.mark.parametrize("begun", [("old",), ("old", "new"), ("new",), ("somebody's", "old")])
def test_a_passphrase_is_changed_and_a_run_that_was_killed_is_gone_on_with(
    begun: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Restic(*begun)
    monkeypatch.setattr(restic, "run", real.run)
    repository = opened_by(tmp_path, "new", "old")
    made, failed = restic.prepare([repository])
    assert failed == []
    assert made == (["store: made to open by its new passphrase alone"] if "old" in begun else [])
    assert sorted(real.keys.values()) == sorted({*begun, "new"} - {"old"})
    assert restic.prepare([repository]) == ([], [])


@pytest.mark.parametrize("previous", ["", "wrong"])
def test_a_passphrase_that_opens_nothing_changes_nothing(
    previous: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Restic("old")
    monkeypatch.setattr(restic, "run", real.run)
    made, failed = restic.prepare([opened_by(tmp_path, "new", previous)])
    assert made == [] and "cannot be decrypted" in failed[0]
    assert list(real.keys.values()) == ["old"]


def test_the_same_passphrase_twice_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Restic("old")
    monkeypatch.setattr(restic, "run", real.run)
    assert restic.prepare([opened_by(tmp_path, "old", "old")]) == ([], [])
    assert list(real.keys.values()) == ["old"]
