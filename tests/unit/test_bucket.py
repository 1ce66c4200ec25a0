# SPDX-License-Identifier: Apache-2.0
"""Which buckets there are, and the least their keys need."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import bucket

STORE = {
    "name": "store",
    "type": "s3",
    "path": "/shop",
    "endpoint": "s3.example.com",
    "bucket": "backups",
    "region": "eu",
    "access_key": "AK1",
    "secret_key": "of nobody else",
    "passphrase": "of nobody else",
}
LOCAL = {"name": "local", "type": "directory", "path": "/var/backups", "passphrase": "of nobody else"}


def user(host: str, database: list[Any], files: list[Any]) -> dict[str, Any]:
    return {"host": host, "kept_as": host, "dumped_as": "", "database": database, "files": files}


def test_a_key_may_do_what_all_its_users_need_and_nothing_elsewhere() -> None:
    (found,) = bucket.buckets([user("db1", [STORE, LOCAL], []), user("app1", [], [STORE, LOCAL])])
    assert (found["endpoint"], found["name"], found["region"]) == ("s3.example.com", "backups", "eu")
    (key,) = found["keys"]
    assert key["users"] == "store (database of db1), store (files of app1)"
    names, objects = key["policy"]["Statement"]
    assert (names["Action"], names["Resource"]) == (["s3:ListBucket"], ["arn:aws:s3:::backups"])
    assert objects["Resource"] == [
        "arn:aws:s3:::backups/shop/archive/*",
        "arn:aws:s3:::backups/shop/backup/*",
        "arn:aws:s3:::backups/shop/files/app1/*",
    ]
    assert "s3:DeleteObjectVersion" not in objects["Action"]
    assert not [action for action in objects["Action"] if "*" in action or "Bucket" in action or "Policy" in action]


def test_a_database_that_is_dumped_needs_one_folder() -> None:
    (found,) = bucket.buckets([{**user("db1", [STORE], []), "dumped_as": "main"}])
    assert found["keys"][0]["policy"]["Statement"][1]["Resource"] == ["arn:aws:s3:::backups/shop/dumps/main/*"]


def test_each_key_has_a_policy_of_its_own() -> None:
    own = {**STORE, "access_key": "AK2", "path": "/"}
    (found,) = bucket.buckets([user("db1", [STORE], []), user("app1", [], [own])])
    resources = [key["policy"]["Statement"][1]["Resource"] for key in found["keys"]]
    assert resources[1] == ["arn:aws:s3:::backups/files/app1/*"]
    assert len(resources[0]) == 2


def test_a_bucket_is_told_once_and_two_are_two() -> None:
    other = {**STORE, "bucket": "others"}
    found = bucket.buckets([user("db1", [STORE, other], []), user("db2", [STORE], [])])
    assert [item["name"] for item in found] == ["backups", "others"]
    assert bucket.buckets([user("db1", [LOCAL], [])]) == []


def test_nothing_secret_comes_out() -> None:
    text = json.dumps(bucket.buckets([user("db1", [STORE], [STORE])]))
    assert "of nobody else" not in text and "AK1" not in text
