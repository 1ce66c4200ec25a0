# SPDX-License-Identifier: Apache-2.0
"""What Sluice knows of a host becomes figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as records
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import facts, facts_program
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import Sample, text
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

RUN = {"action": "deploy", "id": "run", "who": "anna"}


def found(samples: Iterable[Sample]) -> dict[str, float]:
    """The samples by name and labels, as text."""
    rows = (row for row in text(samples, facts.KINDS).splitlines() if not row.startswith("#"))
    return {row.rpartition(" ")[0].removeprefix("sluice_"): float(row.rpartition(" ")[2]) for row in rows}


def confirmed(token: int, version: str, **secrets: str) -> dict[str, Any]:
    """An entry of a ledger."""
    manifest = {"id": f"r-{version}", "version": version, "services": {"api": {"secrets": secrets}}}
    return ledger.entry("confirmed", token=token, time=f"2026-11-2{token}T10:00:00Z", run=RUN, manifest=manifest)


def test_the_live_release_the_split_and_maintenance() -> None:
    record = records.propose(
        {**records.empty("shop"), "confirmed": {"release": "r-v1", "slot": "blue"}},
        release="r-v2",
        slot="green",
        percent=20,
        seconds=60,
        token=2,
        now=100.0,
    )
    history = ledger.merge([[confirmed(1, "v1")]])
    assert found(facts.of_record(record, history, 110.0)) == {
        'release_live{app="shop",release="r-v1",version="v1",slot="blue"}': 1,
        'release_split_percent{app="shop",slot="blue"}': 80,
        'release_split_percent{app="shop",slot="green"}': 20,
        'maintenance{app="shop"}': 0,
    }
    after = found(facts.of_record(record, history, 161.0))
    assert after['release_split_percent{app="shop",slot="green"}'] == 0, "the flip reverted"
    closed = records.maintain(record, message="soon", retry_after=60, allow=[], token=3, now=1.0)
    assert found(facts.of_record(closed, history, 1.0))['maintenance{app="shop"}'] == 1


def test_an_app_that_was_never_deployed_has_nothing_live() -> None:
    assert not any("live" in name for name in found(facts.of_record(records.empty("shop"), ledger.merge([]), 1.0)))


def test_secrets_are_as_old_as_their_version() -> None:
    history = ledger.merge(
        [
            [
                confirmed(1, "v1", KEY="a", URL="x"),
                confirmed(2, "v2", KEY="b", URL="x"),
                confirmed(3, "v3", KEY="b", URL="x"),
            ]
        ]
    )
    values = found(facts.of_history("shop", history))
    assert values['secret_rotated_timestamp_seconds{app="shop",secret="KEY"}'] == facts.moment("2026-11-22T10:00:00Z")
    assert values['secret_rotated_timestamp_seconds{app="shop",secret="URL"}'] == facts.moment("2026-11-21T10:00:00Z")
    assert values['release_confirmed_timestamp_seconds{app="shop"}'] == facts.moment("2026-11-23T10:00:00Z")


def test_a_lease() -> None:
    assert found(facts.of_lease("shop", True, 50.0)) == {
        'lease_held{app="shop"}': 1,
        'lease_since_timestamp_seconds{app="shop"}': 50,
    }
    assert found(facts.of_lease("shop", False, 50.0)) == {'lease_held{app="shop"}': 0}


def labels(**more: str) -> dict[str, str]:
    return {
        f"stack.sluice.{name}": value
        for name, value in {"app": "shop", "release": "r1", "replica": "0", **more}.items()
    }


def test_which_containers_are_an_apps() -> None:
    slot = facts.labels_of(labels(service="api", slot="blue"))
    assert slot == {"app": "shop", "service": "api", "slot": "blue", "release": "r1", "replica": "0"}
    worker = facts.labels_of(labels(workers="mailer"))
    assert worker and (worker["service"], worker["slot"]) == ("mailer", "")
    assert facts.labels_of(labels(service="api")) is None, "a migration or a command"
    assert facts.labels_of({"com.example": "x"}) is None


STATE = {"Running": True, "Restarting": False, "StartedAt": "2026-11-28T13:58:40.500000000Z"}


@pytest.mark.parametrize(
    ("state", "healthy", "running", "well"),
    [({}, True, 1, 1), ({}, False, 1, 0), ({"Running": False}, True, 0, 0), ({"Restarting": True}, True, 0, 0)],
)
def test_a_container(state: Mapping[str, Any], healthy: bool, running: int, well: int) -> None:
    details = {"State": {**STATE, **state}, "RestartCount": 3, "HostConfig": {"Memory": 2**20}}
    values = found(facts.of_container({"app": "shop"}, details, {"cpu_seconds_total": 1.5}, healthy, 2))
    assert values['container_running{app="shop"}'] == running and values['container_healthy{app="shop"}'] == well
    assert values['container_restarts_total{app="shop"}'] == 3 and values['container_oom_kills_total{app="shop"}'] == 2
    assert values['container_memory_limit_bytes{app="shop"}'] == 2**20
    assert values['container_cpu_seconds_total{app="shop"}'] == 1.5
    assert ('container_started_timestamp_seconds{app="shop"}' in values) == bool(running)


def test_what_cgroups_say() -> None:
    usage = facts.usage_of("usage_usec 1500000\nuser_usec 1\n", "1000\n", "anon 5\ninactive_file 400\n")
    assert usage == {"cpu_seconds_total": 1.5, "memory_bytes": 600}
    assert facts.usage_of("usage_usec 10\n", "", "") == {"cpu_seconds_total": 1e-5}, "without the memory controller"


BACKUP = {
    "repositories": [{"name": "store"}],
    "max_age_hours": 26,
    "drill_max_age_hours": 192,
    "drill_repository": "store",
}


def test_backups_and_drills() -> None:
    written = (
        'sluice_backup_success{repository="store"} 0\nsluice_backup_last_timestamp_seconds{repository="store"} 1700\n'
    )
    values = found(facts.of_backups(BACKUP, "pgbackrest", "sluice_backup", {"store": {"ok": False}}, written))
    assert values == {
        'backup_last_success_timestamp_seconds{engine="pgbackrest",name="store"}': 1700,
        'backup_last_failed{engine="pgbackrest",name="store"}': 1,
        'backup_max_age_seconds{engine="pgbackrest",name="store"}': 26 * 3600,
    }
    unread = 'sluice_backup_success{repository="store"} 0\n'
    lost = found(facts.of_backups(BACKUP, "pgbackrest", "sluice_backup", {"store": {"ok": True}}, unread))
    assert lost['backup_last_failed{engine="pgbackrest",name="store"}'] == 1, "its repository does not answer"


@pytest.mark.parametrize(("verdict", "passed"), [("proved", 1), ("failed", 0)])
def test_a_drill_has_passed_or_not(verdict: str, passed: int) -> None:
    record = {"repository": "store", "begun": 5, "verdict": verdict}
    assert found(facts.of_drill(BACKUP, "pgbackrest", record, 1.0)) == {
        'drill_last_timestamp_seconds{engine="pgbackrest",name="store"}': 5,
        'drill_passed{engine="pgbackrest",name="store"}': passed,
        'drill_max_age_seconds{engine="pgbackrest",name="store"}': BACKUP["drill_max_age_hours"] * 3600,
    }


def test_a_drill_that_was_never_tried_is_due_and_has_not_failed() -> None:
    never = found(facts.of_drill(BACKUP, "pgbackrest", None, 1.0))
    assert never['drill_last_timestamp_seconds{engine="pgbackrest",name="store"}'] == 1
    assert not any("passed" in name for name in never)
    assert found(facts.of_drill({**BACKUP, "drill_max_age_hours": 0}, "pgbackrest", None, 1.0)) == {}, (
        "nobody wants one"
    )


def test_backups_of_files_are_named_by_repository_and_source() -> None:
    host = {"repositories": [{"name": "store"}], "max_age_hours": 1, "sources": [{"name": "uploads"}]}
    written = 'sluice_files_last_timestamp_seconds{repository="store",source="uploads"} 5\n'
    values = found(facts.of_backups(host, "files", "sluice_files", {"store: uploads": {"ok": True}}, written))
    assert all('name="store: uploads"' in name for name in values) and len(values) == 3


def test_the_oldest_file_that_waits_is_the_lag() -> None:
    assert found(facts.of_archive([90.0, 40.0], 100.0)) == {"wal_archive_lag_seconds": 60}
    assert found(facts.of_archive([], 100.0)) == {"wal_archive_lag_seconds": 0}


def test_certificates() -> None:
    status = {"names": [{"name": "a", "problem": "refused", "ends": 9.0}, {"name": "b", "problem": ""}]}
    assert found(facts.of_certificates(status)) == {
        'certificate_not_after_timestamp_seconds{name="a"}': 9,
        'certificate_renewal_failed{name="a"}': 1,
        'certificate_renewal_failed{name="b"}': 0,
    }


def test_security_upgrades() -> None:
    simulated = (
        "Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])\n"
        "Inst tzdata [2025b-4] (2025c-0+deb13u1 Debian:13.2/stable [all])\n"
        "Inst new-one (1.0 Debian-Security:13/stable-security [amd64])\nConf libssl3t64 (3.5.1)\n"
    )
    assert facts.security_upgrades(simulated) == 1


def test_labels_are_escaped() -> None:
    assert text([Sample("a", 1, {"x": 'say "\\"\n'})], {}) == '# TYPE a gauge\na{x="say \\"\\\\\\"\\n"} 1\n'


def test_a_part_that_fails_is_said_and_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_look: facts_program.Look) -> Iterable[Sample]:
        raise ValueError("damaged")

    monkeypatch.setattr(facts_program.Look, "releases", broken)
    monkeypatch.setattr(facts_program.Look, "containers", lambda _look: [])
    monkeypatch.setattr(facts_program, "_upgrades", lambda: 4)
    page, failed = facts_program.look(str(tmp_path / "state.json"), str(tmp_path))
    assert failed == {"releases": "ValueError: damaged"}
    assert 'sluice_facts_failed{part="releases"} 1\n' in page and 'sluice_facts_failed{part="host"} 0\n' in page
    assert "sluice_pending_security_upgrades 4\n" in page


class Kills:
    """An engine whose kernel killed in between."""

    def __init__(self, *events: str) -> None:
        self.events, self.asked = events, {}

    def lines(self, _path: str, **query: Any) -> list[Any]:
        self.asked = query
        return [{"Actor": {"ID": one}} for one in self.events]

    def get(self, _path: str, **_query: Any) -> Any:
        return [{"Id": "a"}]


def test_kills_add_up_over_looks_and_are_forgotten_with_their_container(tmp_path: Path) -> None:
    look = facts_program.Look({}, str(tmp_path))
    assert look._oom_kills(Kills("a", "a", "gone"))["a"] == 2  # type: ignore[arg-type]
    again, engine = facts_program.Look(look.kept, str(tmp_path)), Kills("a")
    assert again._oom_kills(engine) == {"a": 3}  # type: ignore[arg-type]
    assert float(engine.asked["since"]) == pytest.approx(look.now), "from where the last look ended"


@pytest.mark.parametrize(
    ("ready", "alerts", "works"),
    [
        (True, [{"labels": {"alertname": "HostDown"}}, {"labels": {"alertname": "Watchdog"}}], 1),
        (True, [], 0),
        (True, None, 0),
        (False, [{"labels": {"alertname": "Watchdog"}}], 0),
    ],
    ids=["works", "nothing arrives", "no Alertmanager", "no Prometheus"],
)
def test_monitoring_works_when_its_watchdog_arrives(ready: bool, alerts: object, works: int) -> None:
    assert found(facts.of_monitoring(ready, alerts)) == {"monitoring_works": works}
