# SPDX-License-Identifier: Apache-2.0
"""The playbook that makes the bucket, and the policy it prints: enough for backups, and for nothing else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import Host

from tests.support.scenario import BUCKET, LEAST, STATE, ansible, eventually, least_key, make_bucket


def test_the_bucket_is_as_it_has_to_be_and_a_second_run_changes_nothing(store: Any) -> None:
    code, said = make_bucket()
    assert code == 0, said[-3000:]
    assert store.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    owned = store.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert owned == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = store.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert rule["Status"] == "Enabled" and rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    code, said = make_bucket()
    assert code == 0 and not re.search(r"^changed", said, re.MULTILINE), said[-3000:]


@pytest.fixture
def encrypt(store: Any) -> Iterator[tuple[str, str]]:
    """What has the bucket encrypted. This store accepts that and has no key for it: whatever the playbook does, the other tests can write again."""
    yield "-e", "bucket_encryption=AES256"
    with contextlib.suppress(ClientError):  # there is none
        store.delete_bucket_encryption(Bucket=BUCKET)
    assert takes_objects(store)


def takes_objects(store: Any) -> bool:
    try:
        store.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
        store.delete_object(Bucket=BUCKET, Key="probe")
    except ClientError:
        return False
    return True


def test_what_a_store_cannot_is_said_before_it_is_encrypted(store: Any, encrypt: tuple[str, str]) -> None:
    code, said = make_bucket("-e", "bucket_block_public_access=true", *encrypt)
    assert code != 0 and "set bucket_block_public_access: false" in re.sub(r"\s+", " ", said)
    assert takes_objects(store)


def test_a_store_that_takes_no_object_any_more_is_noticed_and_put_back(store: Any, encrypt: tuple[str, str]) -> None:
    code, said = make_bucket(*encrypt)
    said = re.sub(r"\s+", " ", said)
    assert code != 0 and "takes no object" in said and "the encryption that was just set is reverted" in said, said[
        -3000:
    ]
    assert takes_objects(store)
    assert make_bucket()[0] == 0


def test_that_store_does_take_no_object_once_it_encrypts(store: Any, encrypt: tuple[str, str]) -> None:
    """The control of both."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    store.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert not takes_objects(store)


def test_without_a_key_the_policies_are_printed_and_nothing_is_done() -> None:
    done = ansible("ansible-playbook", "playbooks/backup/bucket.yml", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert (
        done.returncode != 0 and "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not in the environment" in done.stderr
    )
    assert "arn:aws:s3:::sluice-backups/shop/files/app1/*" in done.stdout


def test_no_secret_is_shown(secrets: dict[str, str]) -> None:
    code, said = make_bucket("-vvv", "--diff")
    assert code == 0 and "ReadAndWriteBackups" in said
    assert secrets["vault_s3_secret_key"] not in said and "passphrase" not in said.lower().replace("no_log", "")


@pytest.fixture
def least(store1: Host, store: Any) -> Iterator[Any]:
    """A client with a key that is allowed what the printed policy says, and nothing else."""
    client = boto3.client(
        "s3",
        endpoint_url="https://10.213.63.41:8333",
        region_name="us-east-1",
        aws_access_key_id=LEAST["id"],
        aws_secret_access_key=LEAST["secret"],
        verify=str(STATE / "ca/ca.pem"),
        # This store asks no policy about a body that is signed in parts, which boto3 would send for its checksum.
        config=Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 2}, request_checksum_calculation="when_required"
        ),
    )
    with least_key(store1, store):
        eventually(lambda: client.put_object(Bucket=BUCKET, Key="shop/files/app1/first", Body=b""))
        yield client


def refused(call: Any, **words: Any) -> bool:
    try:
        call(Bucket=BUCKET, **words)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


def test_the_printed_policy_is_enough_for_backups_and_destroys_nothing(least: Any, store: Any, app1: Host) -> None:
    keys = "/etc/sluice/files/store.credentials"
    app1.must(
        f"mkdir -p /srv/uploads; docker volume create media >/dev/null; cp -p {keys} /root/kept && "
        f"sed -i 's/id = .*/id = {LEAST['id']}/; s/secret_access_key = .*/secret_access_key = {LEAST['secret']}/' {keys}"
    )
    app1.must("sed -i.kept s,files/app1,files/app1/anew, /etc/sluice/files.json")
    try:
        # A repository made, filled, thinned out, read again and given back: all that restic ever does.
        code, answer = app1.files("first")
        assert code == 0 and "store: made" in answer["lines"], answer
        assert app1.unit("backup") and app1.unit("check"), app1.files("status")[1]["lines"]
        assert app1.files("restore", "--source", "/srv/uploads", "--repository", "store")[0] == 0
        store.delete_bucket_policy(Bucket=BUCKET)
        assert not app1.unit("backup"), "without the policy the key may do nothing"
    finally:
        app1.must(
            f"mv /root/kept {keys}; mv /etc/sluice/files.json.kept /etc/sluice/files.json; rm -rf /var/backups/sluice/files/app1/anew"
        )


def test_the_printed_policy_allows_nothing_else(least: Any, store: Any) -> None:
    inside, outside = "shop/files/app1/probe", "shop/files/other/probe"
    version = least.put_object(Bucket=BUCKET, Key=inside, Body=b"x")["VersionId"]
    least.delete_object(Bucket=BUCKET, Key=inside)
    assert refused(least.delete_object, Key=inside, VersionId=version)
    assert store.get_object(Bucket=BUCKET, Key=inside, VersionId=version)["Body"].read() == b"x", "it can be got back"
    store.put_object(Bucket=BUCKET, Key=outside, Body=b"x")
    assert refused(least.put_object, Key=outside, Body=b"y") and refused(least.get_object, Key=outside)
    assert refused(least.delete_object, Key=outside)
    assert refused(least.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
    assert refused(least.put_bucket_policy, Policy="{}") and refused(least.delete_bucket_lifecycle)
    assert refused(least.delete_bucket)
