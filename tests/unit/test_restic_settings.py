# SPDX-License-Identifier: Apache-2.0
"""Repositories of an inventory as a host's settings and key files."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restic_settings

STORE: dict[str, Any] = {
    "name": "store",
    "type": "s3",
    "path": "/shop",
    "endpoint": "s3.example.org",
    "bucket": "b",
    "access_key": "A",
    "secret_key": "S",
    "passphrase": "a passphrase that is long",
    "ca": "PEM",
}
LOCAL: dict[str, Any] = {
    "name": "local",
    "type": "directory",
    "path": "/srv/b/",
    "passphrase": "x" * 20,
    "retention_full": 2,
}


def test_settings_name_the_keys_and_have_none() -> None:
    store, local = restic_settings.repositories([STORE, LOCAL], "dumps/main", "/keys", "/cache")
    assert store["url"] == "s3:https://s3.example.org/b/shop/dumps/main" and store["endpoint"] == "s3.example.org"
    assert store["options"] == ["s3.bucket-lookup=dns", "s3.region=us-east-1"] and store["ca"] == "/keys/store-ca.pem"
    assert (local["url"], local["endpoint"], local["options"], local["ca"]) == ("/srv/b/dumps/main", "", [], "")
    assert (store["keep"], local["keep"]) == ({"weekly": 4}, {"weekly": 2})
    assert not [secret for secret in ("S", "a passphrase that is long") if secret in store.values()]
    styled = restic_settings.repositories([{**STORE, "uri_style": "path", "region": "eu"}], "x", "/keys", "/cache")
    assert styled[0]["options"] == ["s3.bucket-lookup=path", "s3.region=eu"]


def test_key_files_are_roots_alone() -> None:
    found = restic_settings.secrets([STORE, LOCAL], "/keys")
    assert {item["mode"] for item in found} == {"0600"}
    assert {item["path"]: item["content"] for item in found} == {
        "/keys/store.passphrase": "a passphrase that is long\n",
        "/keys/store.previous": "\n",
        "/keys/store.credentials": "[default]\naws_access_key_id = A\naws_secret_access_key = S\n",
        "/keys/local.passphrase": "x" * 20 + "\n",
        "/keys/local.previous": "\n",
    }
    changed = restic_settings.secrets([{**LOCAL, "passphrase_previous": "y" * 20}], "/keys")
    assert {"path": "/keys/local.previous", "mode": "0600", "content": "y" * 20 + "\n"} in changed


def test_folders_are_those_of_the_keys_and_below_each_directory() -> None:
    assert restic_settings.folders([STORE, LOCAL], "dumps", "/keys") == [
        {"path": "/keys", "mode": "0700"},
        {"path": "/srv/b/dumps", "mode": "0700"},
    ]


def test_authorities_are_where_the_settings_look_for_them() -> None:
    found = restic_settings.authorities([STORE, LOCAL], "/keys")
    assert found == [{"path": "/keys/store-ca.pem", "group": "root", "mode": "0600", "content": "PEM\n"}]
    assert found[0]["path"] == restic_settings.repositories([STORE], "x", "/keys", "/cache")[0]["ca"]
    other = restic_settings.authorities([STORE], "/other", "postgres", "0640")
    assert (other[0]["path"], other[0]["group"], other[0]["mode"]) == ("/other/store-ca.pem", "postgres", "0640")


@pytest.mark.parametrize("lacks", ["endpoint", "bucket", "access_key", "secret_key"])
def test_an_object_store_takes_all_of_it(lacks: str) -> None:
    assert restic_settings.incomplete([STORE, LOCAL]) == []
    assert restic_settings.incomplete([{**STORE, lacks: ""}, LOCAL]) == ["store"]


def test_a_short_passphrase_is_none() -> None:
    assert restic_settings.incomplete([STORE, {**LOCAL, "passphrase": "x" * 19}]) == ["local"]
