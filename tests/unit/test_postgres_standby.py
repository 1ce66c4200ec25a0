# SPDX-License-Identifier: Apache-2.0
"""What becomes of a standby's data directory: nothing of value is ever replaced without a word."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.postgres.standby import at_least, control, step, system
from hypothesis import given
from hypothesis import strategies as st

# Of pg_controldata 17.12, shortened.
PRINTED = """\
pg_control version number:            1700
Database system identifier:           7441884211234567890
Database cluster state:               shut down
pg_control last modified:             Mon 23 Nov 2026 11:00:00 AM UTC
Latest checkpoint location:           0/3000148
max_connections setting:              100
max_worker_processes setting:         16
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
"""
MINE, OTHER = "7441884211234567890", "7000000000000000001"


def local(exists: bool = True, follows: bool = False, broken: bool = False, name: str = MINE) -> dict[str, Any]:
    found = {"Database system identifier": name} if name else {}
    return {"exists": exists, "follows": follows, "broken": broken, "control": found}


def test_reads_what_pg_controldata_prints() -> None:
    found = control(PRINTED)
    assert system(found) == MINE
    assert found["Latest checkpoint location"] == "0/3000148"
    assert found["pg_control last modified"] == "Mon 23 Nov 2026 11:00:00 AM UTC"
    assert system(control("")) == ""


def test_a_standby_has_as_much_as_its_primary_and_keeps_what_is_more() -> None:
    wanted = {"max_worker_processes": "8", "max_connections": 300, "work_mem": "4MB"}
    assert at_least(wanted, control(PRINTED)) == {
        "max_worker_processes": "16",
        "max_connections": 300,
        "work_mem": "4MB",
        "max_wal_senders": "10",
        "max_locks_per_transaction": "64",
    }
    assert at_least(wanted, {}) == wanted


@pytest.mark.parametrize(
    ("what", "primary", "discard", "wanted"),
    [
        (local(exists=False, name=""), "", "", "copy"),
        (local(follows=True), "", "", "ask"),
        (local(follows=True), MINE, "", "keep"),
        (local(follows=True, broken=True), MINE, "", "keep"),
        (local(follows=True, broken=True), MINE, "db2", "replace"),
        (local(follows=True), MINE, "db2", "keep"),
        (local(follows=True), OTHER, "", "refuse"),
        (local(follows=True), OTHER, "db2", "replace"),
        (local(), "", "", "refuse"),
        (local(), "", "db1", "refuse"),
        (local(), "", "db2", "ask"),
        (local(), MINE, "db2", "rewind"),
        (local(), OTHER, "db2", "replace"),
        (local(name=""), OTHER, "db2", "replace"),
        (local(name=""), OTHER, "", "refuse"),
    ],
)
def test_steps(what: dict[str, Any], primary: str, discard: str, wanted: str) -> None:
    assert step("db2", "db1", what, primary, discard)["step"] == wanted


@given(
    follows=st.booleans(),
    broken=st.booleans(),
    name=st.sampled_from([MINE, OTHER, ""]),
    primary=st.sampled_from([MINE, OTHER, ""]),
    discard=st.sampled_from(["", "db1", "db3"]),
)
def test_data_goes_only_when_this_host_was_named(
    follows: bool, broken: bool, name: str, primary: str, discard: str
) -> None:
    found = step("db2", "db1", local(follows=follows, broken=broken, name=name), primary, discard)["step"]
    assert found in ("keep", "ask", "refuse")


def test_a_refusal_names_the_host_its_system_and_the_way_out() -> None:
    why = step("db2", "db1", local(), "", "")["why"]
    assert MINE in why
    assert "playbooks/database/rejoin.yml -e rejoin_confirm=db2" in why
    assert "If it was promoted, name it in postgres_primary" in why
    why = step("db2", "db1", local(follows=True), OTHER, "")["why"]
    assert MINE in why
    assert OTHER in why
