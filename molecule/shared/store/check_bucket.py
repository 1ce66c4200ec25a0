# SPDX-License-Identifier: Apache-2.0
"""Make a bucket if it is missing, then prove the store: what is put is got back, and a wrong key is refused.

Usage: check_bucket.py ENDPOINT BUCKET, with the AWS_* variables boto3 reads.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WAIT_SECONDS = 60
POLL_SECONDS = 0.5
PROBE = "lab-check"


def client(endpoint: str, **keys: str) -> Any:
    """An S3 client that addresses buckets by path and gives up soon."""
    config = Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)


def wait_for_store(s3: Any) -> list[str]:
    """Names of the buckets, as soon as the store answers; it listens before its parts have found each other."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        except (BotoCoreError, ClientError) as exc:
            if time.monotonic() > deadline:
                raise SystemExit(f"the object store did not answer within {WAIT_SECONDS} s: {exc}") from exc
            time.sleep(POLL_SECONDS)


def put_and_get(s3: Any, bucket: str) -> None:
    """Write an object and read the same bytes; the first write may have to wait for a volume."""
    body = str(time.time_ns()).encode()
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            s3.put_object(Bucket=bucket, Key=PROBE, Body=body)
            break
        except (BotoCoreError, ClientError) as exc:
            if time.monotonic() > deadline:
                raise SystemExit(f"the object store does not take an object: {exc}") from exc
            time.sleep(POLL_SECONDS)
    got = s3.get_object(Bucket=bucket, Key=PROBE)["Body"].read()
    if got != body:
        raise SystemExit(f"the object store gave back {got!r} instead of {body!r}")
    s3.delete_object(Bucket=bucket, Key=PROBE)


def refuses_wrong_key(endpoint: str) -> bool:
    """Whether a made-up secret is turned away."""
    nobody = {"aws_access_key_id": "nobody", "aws_secret_access_key": "wrong"}
    try:
        client(endpoint, **nobody).list_buckets()
    except ClientError:
        return True
    return False


def main() -> None:
    """Check the store named on the command line."""
    endpoint, bucket = sys.argv[1:3]
    s3 = client(endpoint)
    if bucket in wait_for_store(s3):
        print(f"bucket {bucket} is there")
    else:
        s3.create_bucket(Bucket=bucket)
        print(f"bucket {bucket} made")
    put_and_get(s3, bucket)
    if not refuses_wrong_key(endpoint):
        raise SystemExit("the object store accepts a wrong key")


if __name__ == "__main__":
    main()
