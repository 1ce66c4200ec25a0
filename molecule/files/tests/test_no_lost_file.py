# SPDX-License-Identifier: Apache-2.0
"""The promise that no file is lost, on both releases of Debian and a real object store; each thing that could break it is broken on purpose.

Unlike other scenarios' tests these change their hosts; every one leaves them so that the next can run.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Host

from tests.support.scenario import BUCKET, ansible, objects

KEYS = "/etc/sluice/files"
MEDIA = "/var/lib/docker/volumes/media/_data"
MARK = "a sentence that is in a file"
FILL = f"""
set -e
apt-get install -y -q attr >/dev/null
docker volume create media >/dev/null
for folder in /srv/uploads {MEDIA}; do
  rm -rf $folder; mkdir -p $folder/deep/er; cd $folder
  echo '{MARK}' > note; head -c 3000000 /dev/urandom > deep/er/data; : > empty; : > left-out.part
  ln -s deep/er/data link; ln -s /nowhere dangling; ln note twin
  chown -h 1234:2345 link; chown 1234:2345 deep/er/data deep; chmod 4750 deep/er/data; chmod 2770 deep; chmod 1777 deep/er
  setfattr -n user.kind -v picture note; touch -d 2020-02-02T02:02:02.123456789Z note; mkfifo pipe
  printf x > $'odd \\n name'; chown 33:33 .; chmod 751 .
done
"""


@contextlib.contextmanager
def changed(host: Host, change: str, back: str) -> Iterator[None]:
    """Something wrong on a host, for a while."""
    host.must(change)
    try:
        yield
    finally:
        host.must(back)


def red(host: Host, unit: str, said: str) -> None:
    """A unit ends as failed, and status and metrics say why; and all is well with the next one, which the caller sees."""
    assert not host.unit(unit)
    code, answer = host.files("status")
    assert code == 1 and any(said in line for line in answer["problems"]), answer["problems"]
    assert not host.unit("status")
    assert "sluice_files_problems 0" not in host.must("cat /var/lib/prometheus/node-exporter/sluice_files.prom")


def test_what_is_there_is_backed_up_and_the_status_is_green(app: Host) -> None:
    # As provisioning left it: the repositories are there, the volume and directory are not, and that is said.
    code, answer = app.files("status")
    if not any(item["backups"] for item in answer["repositories"]):
        assert code == 1 and "store: volume:media: there is no backup yet" in answer["problems"]
    app.must(FILL)
    assert app.unit("backup"), app.must("journalctl -u sluice-files@backup --no-pager | tail")
    assert app.unit("check"), app.must("journalctl -u sluice-files@check --no-pager | tail")
    code, answer = app.files("status")
    assert code == 0, answer["problems"]
    metrics = app.must("cat /var/lib/prometheus/node-exporter/sluice_files.prom")
    for source in ("/srv/uploads", "volume:media"):
        for repository in ("store", "local"):
            assert f'sluice_files_success{{repository="{repository}",source="{source}"}} 1' in metrics
            assert re.search(f'size_bytes{{repository="{repository}",source="{source}"}} 30000', metrics)
    assert "sluice_files_problems 0" in metrics


def test_what_is_stored_shows_nothing(app: Host, store: Any) -> None:
    assert MARK in app.must("cat /srv/uploads/note")
    for item in objects(store, f"shop/files/{app.name}/"):
        body = store.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        assert MARK.encode() not in body and b"deep" not in body and b"uploads" not in body, item["Key"]


def test_keys_are_in_no_argument_environment_log_or_open_file(app: Host, secrets: dict[str, str]) -> None:
    app.must(f"cat {KEYS}/*.passphrase > /root/patterns; sed -n 's/.*= //p' {KEYS}/*.credentials >> /root/patterns")
    assert secrets["vault_s3_secret_key"] in app.must("cat /root/patterns")
    # While it works, again and again; the name of the repository is seen, so it was looked at the right time.
    looked = app.must(
        "systemctl start --no-block sluice-files@backup; seen=0; found=0; for i in $(seq 150); do "
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > /root/looked 2>/dev/null; grep -qa RESTIC_REPOSITORY=s3: /root/looked && seen=$((seen+1)); "
        "grep -qaFf /root/patterns /root/looked && found=$((found+1)); sleep 0.02; done; echo $seen $found"
    )
    seen, found = (int(word) for word in looked.split())
    assert seen > 3 and found == 0
    app.must(
        "while systemctl is-active -q sluice-files@backup || systemctl is-failed -q sluice-files@backup; do sleep 0.2; done"
    )
    logs = "/etc/systemd /etc/sluice/files.json /var/lib/sluice /var/log /usr/local /var/lib/prometheus"
    found_in = app.must(
        f"{{ grep -rlaFf /root/patterns {logs}; journalctl --no-pager | grep -cFf /root/patterns; }}; "
        f"grep -rlFf /root/patterns {KEYS} | wc -l; rm /root/patterns /root/looked"
    )
    # In no log, and in all the files that are for it: the patterns do find.
    assert found_in.split() == ["0", "3"]
    assert set(app.must(f"stat -c '%U:%G %a' {KEYS}/*").splitlines()) == {"root:root 600"}
    assert app.must(f"stat -c '%U:%G %a' {KEYS}") == "root:root 700"


def test_a_talkative_provisioning_shows_no_keys(app1: Host, secrets: dict[str, str]) -> None:
    with changed(app1, f"echo other > {KEYS}/store.passphrase; echo other > {KEYS}/store.credentials", "true"):
        done = ansible(
            "ansible-playbook", "provision.yml", "--limit", "app1,localhost", "--tags", "file_backup", "-vvv", "--diff"
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    said = done.stdout + done.stderr
    assert "Configure | Write the program, what it needs, and the units that run it" in said
    hidden = [secrets["vault_s3_secret_key"], *app1.must(f"cat {KEYS}/*.passphrase").split()]
    assert len(hidden) == 3 and not [index for index, secret in enumerate(hidden) if secret in said]
    assert app1.files("status")[0] == 0, "it was put right"


def test_a_volume_that_was_destroyed_comes_back_bit_for_bit(app: Host) -> None:
    before = app.listing(MEDIA)
    assert "left-out" in before
    app.must("docker volume rm media")
    words = (
        "ansible-playbook",
        "playbooks/backup/files_restore.yml",
        "-e",
        f"files_host={app.name}",
        "-e",
        "files_source=volume:media",
    )
    plan = ansible(*words, "-e", "files_repository=store")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    identity = re.search(r"confirm +([0-9a-f]{10})", plan.stdout)
    assert identity and "there is nothing there" in plan.stdout
    assert app.run("docker volume inspect media").returncode == 1, "a plan changes nothing"
    done = ansible(*words, "-e", "files_repository=store", "-e", f"files_confirm={identity[1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    after = app.listing(MEDIA)
    assert after != before and after == "\n".join(line for line in before.splitlines() if "left-out.part" not in line)
    assert app.must("ls -A /var/lib/docker/volumes/media") == "_data"


def test_back_to_a_moment_under_a_running_container_and_back_again(app: Host) -> None:
    app.must(
        "tar -C / -ch usr/bin/sleep lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu/libm.so.6 "
        "| docker import - tiny >/dev/null; docker rm -f user >/dev/null 2>&1; "
        "docker run -d --name user --restart always -v media:/media tiny /usr/bin/sleep 1000"
    )
    seen_inside = "cat /proc/$(docker inspect -f '{{.State.Pid}}' user)/root/media/note"
    good = app.listing(MEDIA)
    app.must("sluice-files backup; sleep 1.1")
    moment = datetime.now(UTC).isoformat()
    time.sleep(1.1)
    app.must(f"echo encrypted by somebody > {MEDIA}/note; rm {MEDIA}/deep/er/data; sluice-files backup")
    bad = app.listing(MEDIA)
    assert app.must(seen_inside) == "encrypted by somebody"
    words = ("restore", "--source", "volume:media", "--time", moment)
    code, plan = app.files(*words)
    assert code == 0 and [item["name"] for item in plan["users"]] == ["user"], plan
    code, answer = app.files(*words, "--confirm", "0123456789")
    assert code == 2 and "is not the plan" in answer["failed"] and app.listing(MEDIA) == bad
    code, record = app.files(*words, "--confirm", plan["id"])
    assert code == 0, record
    assert app.listing(MEDIA) == good and app.must(seen_inside) == MARK
    app.must(record["revert"])
    assert app.listing(MEDIA) == bad and app.must(seen_inside) == "encrypted by somebody"
    app.must("docker rm -f user >/dev/null")


def test_to_another_directory_only_that_is_touched(app: Host) -> None:
    here = app.listing("/srv/uploads")
    code, plan = app.files("restore", "--source", "/srv/uploads", "--to", "/root/look")
    assert code == 0, plan
    code, record = app.files("restore", "--source", "/srv/uploads", "--to", "/root/look", "--confirm", plan["id"])
    assert code == 0 and record["revert"] == "(there was nothing before)"
    assert app.listing("/srv/uploads") == here
    assert app.listing("/root/look") == "\n".join(line for line in here.splitlines() if "left-out.part" not in line)
    code, answer = app.files("restore", "--source", "/srv/uploads", "--to", "/root/look")
    assert code == 2 and "exists: name a directory that does not exist yet" in answer["failed"]
    app.must("rm -rf /root/look")


@pytest.mark.parametrize(
    ("change", "back", "said"),
    [
        (
            f"cp -p {KEYS}/store.passphrase /root/kept; echo not-the-one-it-was-made-with > {KEYS}/store.passphrase",
            f"cp -p /root/kept {KEYS}/store.passphrase",
            "store: it cannot be decrypted: the passphrase is not the one it was made with",
        ),
        (
            f"cp -p {KEYS}/store.credentials /root/kept; sed -i 's/\\(secret_access_key = \\).*/\\1wrong/' {KEYS}/store.credentials",
            f"cp -p /root/kept {KEYS}/store.credentials",
            "store: the object store refuses the key",
        ),
        ("mv /srv/uploads /srv/gone", "mv /srv/gone /srv/uploads", "failed: /srv/uploads does not exist"),
        (
            "mv /srv/uploads /srv/gone; ln -s /srv/gone /srv/uploads",
            "rm /srv/uploads; mv /srv/gone /srv/uploads",
            "failed: /srv/uploads is a symbolic link: name /srv/gone instead",
        ),
        ("systemctl stop docker.socket docker", "systemctl start docker", "volume:media: the last backup"),
    ],
    ids=["passphrase", "key", "missing", "link", "engine"],
)
def test_what_is_wrong_is_red_and_green_again(app: Host, change: str, back: str, said: str) -> None:
    with changed(app, change, back):
        red(app, "backup", said)
    assert app.unit("backup") and app.unit("status")


def test_a_store_that_is_down_is_red_at_once_and_the_other_repository_is_used(app1: Host, store1: Host) -> None:
    with changed(store1, "systemctl stop seaweedfs", "systemctl start seaweedfs"):
        begun = time.monotonic()
        red(app1, "backup", "store: the object store 10.213.63.41:8333 does not answer")
        # Left to itself restic tries for fifteen minutes.
        assert time.monotonic() - begun < 120
        metrics = app1.must("cat /var/lib/prometheus/node-exporter/sluice_files.prom")
        assert 'sluice_files_success{repository="store",source="volume:media"} 0' in metrics
        assert 'sluice_files_success{repository="local",source="volume:media"} 1' in metrics
        code, plan = app1.files("restore", "--source", "volume:media")
        assert code == 0 and plan["repository"] == "local"
        assert ansible("ansible-playbook", "playbooks/backup/status.yml").returncode != 0
    deadline = time.monotonic() + 60
    while not app1.unit("backup"):
        assert time.monotonic() < deadline
    assert app1.files("status")[0] == 0


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_check_sees_a_pack_that_is_harmed_and_a_restore_of_it_changes_nothing(
    app: Host, store: Any, harm: str
) -> None:
    # Those with contents; the small ones have names and attributes.
    keys = [item["Key"] for item in objects(store, f"shop/files/{app.name}/data/") if item["Size"] > 10**6]
    kept = {key: store.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    here = app.listing("/srv/uploads")
    for key, contents in kept.items():
        if harm == "damaged":
            body = bytearray(contents)
            for at in range(100, len(body), 4096):
                body[at] ^= 0xFF
            store.put_object(Bucket=BUCKET, Key=key, Body=bytes(body))
        else:
            store.delete_object(Bucket=BUCKET, Key=key)
    try:
        red(app, "check", "store: the last check")
        assert any("what is stored is damaged" in line for line in app.files("status")[1]["problems"])
        failed = 0
        for source in ("/srv/uploads", "volume:media"):
            words = ("restore", "--source", source, "--repository", "store")
            code, answer = app.files(*words, "--confirm", app.files(*words)[1]["id"])
            failed += code == 2 and "what is stored is damaged" in answer["failed"]
            if code == 0:
                app.must(answer["revert"])
        assert failed > 0
        assert app.listing("/srv/uploads") == here
    finally:
        for key, contents in kept.items():
            store.put_object(Bucket=BUCKET, Key=key, Body=contents)
    assert app.unit("check") and app.unit("status")


def test_a_backup_that_is_killed_locks_nobody_out(app: Host) -> None:
    app.must("head -c 60000000 /dev/urandom > /srv/uploads/large; systemctl start --no-block sluice-files@backup")
    app.must(
        "for i in $(seq 200); do pgrep -x restic >/dev/null && pgrep -fx '.*restic.* backup .*' >/dev/null && break; sleep 0.02; done; pkill -9 -x restic"
    )
    app.must(
        "for i in $(seq 600); do systemctl is-active -q sluice-files@backup || break; sleep 0.1; done; rm /srv/uploads/large"
    )
    assert app.unit("check") and app.unit("backup"), app.files("status")[1]["problems"]


def test_the_units_can_write_nothing_of_the_host(app1: Host) -> None:
    exposure = app1.must("systemd-analyze security --no-pager sluice-files@backup.service | tail -n 1")
    assert float(re.search(r"([0-9.]+) ", exposure.partition(":")[2])[1]) < 4, exposure
    shown = app1.must("systemctl show -p ProtectSystem,NoNewPrivileges sluice-files@backup").split()
    assert set(shown) == {"ProtectSystem=strict", "NoNewPrivileges=yes"}
