# SPDX-License-Identifier: Apache-2.0
"""The buckets backups go to, and what the keys of the hosts may do in them: pure decisions, plain data in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Without s3:DeleteObjectVersion: in a versioned bucket such a key hides what it deletes, and destroys nothing.
OBJECT_ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


def buckets(hosts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The buckets the hosts' repositories are in, each once: ``{endpoint, name, region, keys}``.

    ``hosts`` are ``{host, database, files, kept_as, dumped_as}``: the lists of repositories of its database and of its files, the name its
    files are kept under, and the one its dumps are, which is empty where its database is not dumped. ``keys`` are ``{users, policy}``, one for
    each key: who has it, and what it has to be allowed. Nothing here is a secret.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for host in hosts:
        for what in ("database", "files"):
            for item in host[what]:
                if item["type"] != "s3":
                    continue
                bucket = found.setdefault(
                    (item["endpoint"], item["bucket"]), {"region": item.get("region") or "us-east-1", "keys": {}}
                )
                key = bucket["keys"].setdefault(item["access_key"], {"users": [], "folders": set()})
                key["users"].append(f"{item['name']} ({what} of {host['host']})")
                key["folders"].update(_folders(item["path"], what, host))
    return [
        {
            "endpoint": endpoint,
            "name": name,
            "region": bucket["region"],
            "keys": [
                {"users": ", ".join(key["users"]), "policy": policy(name, sorted(key["folders"]))}
                for key in bucket["keys"].values()
            ],
        }
        for (endpoint, name), bucket in sorted(found.items())
    ]


def _folders(path: str, what: str, host: Mapping[str, Any]) -> list[str]:
    """Where a repository keeps its objects: pgBackRest in two folders of its own, restic below a name."""
    base = path.strip("/")
    database = [f"dumps/{host['dumped_as']}"] if host["dumped_as"] else ["archive", "backup"]
    names = database if what == "database" else [f"files/{host['kept_as']}"]
    return [f"{base}/{name}".lstrip("/") for name in names]


def policy(bucket: str, folders: Sequence[str]) -> dict[str, Any]:
    """The least a key needs that reads and writes below these folders of a bucket, as S3 words it.

    Names can be listed in all of the bucket: restic before 0.15 asks for the bucket itself when it makes a repository, which a condition on
    the prefix refuses.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ListNames",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Sid": "ReadAndWriteBackups",
                "Effect": "Allow",
                "Action": list(OBJECT_ACTIONS),
                "Resource": [f"arn:aws:s3:::{bucket}/{folder}/*" for folder in folders],
            },
        ],
    }
