# SPDX-License-Identifier: Apache-2.0
"""What pgBackRest says about its repositories, read; and WAL file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import output

MIB16 = 16 * 2**20
RECORDED = Path(__file__).parent / "fixtures" / "pgbackrest-2.55.1-info.json"
NAMES = ["store", "local"]


def read(info: list[dict[str, Any]]) -> list[Repository]:
    return [output.read(info, number, name) for number, name in enumerate(NAMES, start=1)]


def recorded() -> list[dict[str, Any]]:
    return json.loads(RECORDED.read_text())


def test_what_info_says() -> None:
    store, local = read(recorded())
    assert (store.name, store.number, store.failure) == ("store", 1, None)
    assert store.newest_full and store.newest_full.kind == "full"
    assert store.newest and store.newest.ended >= store.newest_full.ended
    assert store.newest.system_id > 0 and store.stored > 0
    assert store.last_wal and len(store.last_wal) == 24
    assert local.failure is None and local.newest


def test_a_repository_without_a_backup() -> None:
    store, _ = read([])
    assert store.failure and store.failure.kind == "absent"
    assert store.newest is None and store.last_wal is None


def test_one_repository_that_does_not_answer_leaves_the_other_as_it_is() -> None:
    info = recorded()
    broken = next(item for item in info[0]["repo"] if item["key"] == 1)
    broken["status"] = {"code": 99, "message": "[HostConnectError] unable to connect to 'store1:8333'"}
    info[0]["backup"] = [item for item in info[0]["backup"] if item["database"]["repo-key"] == 2]
    store, local = read(info)
    assert store.failure and store.failure.kind == "unreachable"
    assert local.failure is None and local.newest


def test_a_backup_that_ended_in_an_error_does_not_count() -> None:
    info = recorded()
    for item in info[0]["backup"]:
        item["error"] = True
    assert [found.newest for found in read(info)] == [None, None]


@pytest.mark.parametrize(
    ("lsn", "timeline", "name"),
    [
        ("0/3000060", 1, "000000010000000000000003"),
        ("0/FF000000", 2, "0000000200000000000000FF"),
        ("1/0", 1, "000000010000000100000000"),
        ("A/12345678", 16, "000000100000000A00000012"),
    ],
)
def test_the_file_that_holds_a_position(lsn: str, timeline: int, name: str) -> None:
    assert output.segment_of(lsn, timeline, MIB16) == name


def test_the_next_file_goes_over_to_the_next_group() -> None:
    assert output.next_segment("0000000100000000000000FE", MIB16) == "0000000100000000000000FF"
    assert output.next_segment("0000000100000000000000FF", MIB16) == "000000010000000100000000"


@pytest.mark.parametrize(
    ("end", "last", "missing"),
    [
        # All of the last file was replayed, and the end is where the next one would begin.
        ("0/6000000", "000000010000000000000005", None),
        ("0/5FFFF00", "000000010000000000000005", None),
        # The recovery stopped where file 4 begins, or in file 3 at a record that goes on in file 4.
        ("0/4000000", "000000010000000000000005", "000000010000000000000004"),
        ("0/3FFFFF8", "000000010000000000000005", "000000010000000000000004"),
        # The archive has a newer timeline that was not followed.
        ("0/4000000", "000000020000000000000004", "000000010000000000000004"),
        ("0/4000000", None, None),
    ],
)
def test_a_file_that_a_recovery_missed(end: str, last: str | None, missing: str | None) -> None:
    assert output.hole(1, end, last, MIB16) == missing


def test_the_timeline_a_server_left() -> None:
    history = "1\t0/5000000\tno recovery target specified\n\n2\t0/9000028\tat restore point\n"
    assert output.parent(history) == (2, "0/9000028")


@pytest.mark.parametrize(
    ("text", "readable", "kind", "said"),
    [
        # As pgBackRest 2.55.1 said it.
        (
            "ERROR: [029]: raised from local-2 protocol: zst error: [-20] Data corruption detected",
            True,
            "damaged",
            "is damaged: [029]",
        ),
        (
            "[HostConnectError] unable to connect to 'store1:8334': [111] Connection refused\n  on 11 retries",
            False,
            "unreachable",
            "Connection refused",
        ),
        (
            "[FormatError] unable to load info file 'x':\nFormatError: key/value found outside of section at line 1: \t4@",
            False,
            "key",
            "passphrase",
        ),
        # A block that cannot be decrypted with a passphrase that reads the rest is a damaged one.
        ("ERROR: [095]: CryptoError: unable to flush", True, "damaged", "is damaged"),
        ("P00  ERROR: [075]: no backup set found to restore", True, "absent", "no backup set found"),
        ("", False, "other", "it printed nothing"),
    ],
)
def test_what_an_error_means(text: str, readable: bool, kind: str, said: str) -> None:
    failure = output.explain(text, readable=readable)
    assert failure.kind == kind and said in failure.message
    assert "\n" not in failure.message and "4@" not in failure.message
