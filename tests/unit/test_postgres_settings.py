# SPDX-License-Identifier: Apache-2.0
"""Settings that fit a host, and what of them needs a restart."""

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.postgres.settings import normal, restarts, tuned
from hypothesis import given
from hypothesis import strategies as st

CONF = "/etc/postgresql/17/main/conf.d/sluice.conf"


def megabytes(settings: dict[str, str], name: str) -> int:
    assert settings[name].endswith("MB")
    return int(settings[name][:-2])


def test_a_host_of_16_gib_and_8_cores() -> None:
    assert tuned(16384, 8, 100) == {
        "shared_buffers": "4096MB",
        "effective_cache_size": "12288MB",
        "work_mem": "30MB",
        "maintenance_work_mem": "1024MB",
        "max_wal_size": "4096MB",
        "min_wal_size": "1024MB",
        "max_worker_processes": "8",
        "max_parallel_workers": "8",
        "max_parallel_workers_per_gather": "4",
        "max_parallel_maintenance_workers": "4",
    }


def test_a_small_host_gets_no_less_than_the_server_needs() -> None:
    small = tuned(256, 1, 100)
    assert small["shared_buffers"] == "128MB"
    assert small["work_mem"] == "4MB"
    assert small["max_parallel_workers_per_gather"] == "0"


def test_a_large_host_gets_what_still_helps() -> None:
    large = tuned(512 * 1024, 64, 100)
    assert large["shared_buffers"] == "16384MB"
    assert large["maintenance_work_mem"] == "2048MB"
    assert large["work_mem"] == "256MB"
    assert large["max_worker_processes"] == "64"


@given(memory=st.integers(1024, 2**21), cores=st.integers(1, 256), connections=st.integers(10, 2000))
def test_a_busy_server_stays_within_its_memory(memory: int, cores: int, connections: int) -> None:
    settings = tuned(memory, cores, connections)
    buffers, work = megabytes(settings, "shared_buffers"), megabytes(settings, "work_mem")
    assert buffers <= memory // 4 or buffers == 128
    # Every connection sorting at once; four MiB is the server's own default, and no less is of use.
    assert work == 4 or buffers + connections * work <= memory
    # A standby on a smaller host must not have fewer than its primary by default.
    assert int(settings["max_worker_processes"]) >= 8


@given(memory=st.integers(64, 2**20))
def test_more_memory_never_means_less_of_anything(memory: int) -> None:
    less, more = tuned(memory, 4, 100), tuned(memory * 2, 4, 100)
    for name in ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size"):
        assert megabytes(more, name) >= megabytes(less, name)


@pytest.mark.parametrize(
    ("one", "other", "kind", "unit"),
    [
        ("128MB", "16384", "integer", "8kB"),
        ("1GB", "1024MB", "integer", "kB"),
        ("15min", "900", "integer", "s"),
        ("1.5s", "1500", "integer", "ms"),
        ("true", "on", "bool", ""),
        (True, "on", "bool", ""),
        ("0", False, "bool", ""),
        ("1.10", "1.1", "real", ""),
        (100, "100", "integer", ""),
    ],
)
def test_equal_values_are_equal(one: Any, other: Any, kind: str, unit: str) -> None:
    assert normal(one, kind, unit) == normal(other, kind, unit)


@pytest.mark.parametrize(
    ("one", "other", "kind", "unit"),
    [("128MB", "128", "integer", "8kB"), ("on", "off", "bool", ""), ("1h", "1", "integer", "min")],
)
def test_different_values_are_different(one: Any, other: Any, kind: str, unit: str) -> None:
    assert normal(one, kind, unit) != normal(other, kind, unit)


@given(st.text())
def test_any_text_has_a_form(text: str) -> None:
    for kind in ("bool", "integer", "real", "string", "enum"):
        form = normal(text, kind)
        assert isinstance(form, str) or not math.isnan(form)


def row(setting: str, context: str = "postmaster", **more: Any) -> dict[str, Any]:
    return {
        "setting": setting,
        "unit": "",
        "pretty_val": setting,
        "vartype": "integer",
        "context": context,
        "sourcefile": "",
        "pending_restart": False,
        **more,
    }


RUNNING = {
    "shared_buffers": row("16384", unit="8kB", pretty_val="128MB", sourcefile=CONF),
    "max_connections": row("100", sourcefile=CONF),
    "work_mem": row("4096", "user", unit="kB", sourcefile=CONF),
    "wal_level": row("replica", vartype="enum"),
    "max_wal_senders": row("20", sourcefile=CONF),
    "archive_mode": row("off", vartype="enum", sourcefile="/etc/postgresql/17/main/conf.d/sluice-backup.conf"),
}
SAME = {
    "shared_buffers": "128MB",
    "max_connections": 100,
    "work_mem": "4MB",
    "wal_level": "replica",
    "max_wal_senders": "20",
}


def test_nothing_changed_needs_no_restart() -> None:
    assert restarts(SAME, RUNNING, CONF) == []


def test_what_a_reload_changes_needs_no_restart() -> None:
    assert restarts({**SAME, "work_mem": "64MB"}, RUNNING, CONF) == []


def test_what_only_a_restart_changes_is_named_with_both_values() -> None:
    assert restarts({**SAME, "max_connections": 200, "shared_buffers": "1GB"}, RUNNING, CONF) == [
        "max_connections 100 → 200",
        "shared_buffers 128MB → 1GB",
    ]


def test_a_setting_that_is_left_out_goes_back_to_its_default() -> None:
    wanted = {name: value for name, value in SAME.items() if name != "max_wal_senders"}
    assert restarts(wanted, RUNNING, CONF) == ["max_wal_senders 20 → the server's default"]


def test_somebody_elses_file_counts_only_when_it_waits_already() -> None:
    waiting = {**RUNNING, "archive_mode": {**RUNNING["archive_mode"], "pending_restart": True}}
    assert restarts(SAME, waiting, CONF) == ["archive_mode, changed elsewhere before"]


def test_a_server_that_does_not_answer_has_nothing_to_restart() -> None:
    assert restarts(SAME, {}, CONF) == []


def test_what_a_restore_was_told_needs_no_restart_after_it() -> None:
    """The server reads it in a recovery alone; a restart for it would be an outage for nothing."""
    left = {name: {**RUNNING["archive_mode"], "pending_restart": True} for name in ("recovery_target_name",)}
    assert restarts(SAME, {**RUNNING, **left}, CONF) == []
