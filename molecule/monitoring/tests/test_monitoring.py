# SPDX-License-Identifier: Apache-2.0
"""What Prometheus says is true, of an app that is really there; and nobody else gets to read it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from conftest import MON, ONE, PORTS, Monitor, ask, deploy

from tests.support import scenario

MEGABYTES = 400
# What runs all the time on the machine.
SERVICES = (
    "docker nginx prometheus-node-exporter prometheus-postgres-exporter prometheus-redis-exporter sluice-edge-exporter"
)
# The console prints no results.
MINIMAL = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}


@contextlib.contextmanager
def without_probes(mon: Monitor) -> Iterator[None]:
    """No request but the test's own."""
    mon.must("systemctl stop prometheus-blackbox-exporter")
    try:
        yield
    finally:
        mon.must("systemctl start prometheus-blackbox-exporter")


def reaches(address: str, port: int) -> bool:
    """Whether this machine, which is no monitoring host, gets a connection."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_everything_is_looked_at(mon: Monitor, app: str) -> None:
    rows = mon.sees("up", lambda rows: len(rows) == 9 and all(row["value"] == 1 for row in rows))
    found = {(row["metric"]["job"], row["metric"]["instance"]) for row in rows}
    here = {(job, "mon1") for job in ("node", "prometheus", "alertmanager")}
    assert found == here | {(job, "one1") for job in (*PORTS, "blackbox")}
    assert all(row["metric"]["environment"] == "trial" for row in rows)
    assert mon.value("pg_up") == mon.value("redis_up") == 1
    assert {row["value"] for row in mon.query("node_textfile_scrape_error")} == {0}
    assert {row["value"] for row in mon.query("sluice_facts_failed")} == {0}


def test_routes_are_probed_as_visitors_come_in(mon: Monitor, app: str) -> None:
    rows = mon.sees("probe_success", lambda rows: len(rows) == 2 and all(row["value"] == 1 for row in rows))
    assert {row["metric"]["route"] for row in rows} == {"/", "/api"}
    assert all(row["value"] == 1 for row in mon.query("probe_http_ssl")), "over TLS, and the certificate holds"


def test_only_monitoring_hosts_may_look(mon: Monitor, app: str) -> None:
    assert reaches(ONE, 80), "the machine is reached from here"
    for port in PORTS.values():
        assert not reaches(ONE, port), port
        assert mon.run(f"curl -sS -o /dev/null http://{ONE}:{port}/metrics").returncode == 0, port
    for port in (9090, 9093, 9100, 9115):
        assert not reaches(MON, port), port
    listening = mon.must("ss -Hltn").splitlines()
    servers = [line.split()[3] for line in listening if line.split()[3].endswith((":9090", ":9093", ":9115"))]
    assert sorted(servers) == ["127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:9115"]


def test_those_who_look_may_do_nothing_else(one: scenario.Host) -> None:
    password = one.must("sed -n 's/^REDIS_PASSWORD=//p' /etc/sluice/exporters/redis")
    as_exporter = f"REDISCLI_AUTH={password} redis-cli --no-auth-warning --user exporter"
    assert "redis_version" in one.must(f"{as_exporter} info server")
    for command in ("get x", "set x 1", "config get requirepass", "acl list", "flushall"):
        assert "NOPERM" in one.must(f"{as_exporter} {command}"), command
    as_prometheus = "runuser -u prometheus -- psql -XAtq"
    assert one.must(f"{as_prometheus} -d postgres -c 'select count(*) > 0 from pg_stat_activity'") == "t"
    assert one.run(f"{as_prometheus} -d marketplace -c 'select 1'").returncode != 0
    assert one.run(f"{as_prometheus} -d postgres -c 'create role other'").returncode != 0
    assert password not in one.must("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    assert one.must("stat -c '%a %U' /etc/sluice/exporters /etc/sluice/exporters/redis").splitlines() == [
        "700 root",
        "600 root",
    ]


def test_every_request_is_counted_once(mon: Monitor, one: scenario.Host, app: str) -> None:
    api = {"app": "marketplace", "service": "backend", "route": "/api"}
    with without_probes(mon):
        time.sleep(21)  # a series shows zeros at first
        before = mon.counted(**api, code="2xx"), mon.counted(**api, code="4xx")
        assert [ask(f"{app}/api/version") for _ in range(40)] == [200] * 40
        assert [ask(f"{app}/api/nothing-here") for _ in range(3)] == [404] * 3
        assert mon.counted(**api, code="2xx") - before[0] == 40
        assert mon.counted(**api, code="4xx") - before[1] == 3
        # Through a rotation, a restart of Nginx, and the death of the exporter.
        for number, trouble in enumerate(
            (
                "logrotate -f /etc/logrotate.d/nginx",
                "systemctl restart nginx",
                "systemctl kill -s KILL sluice-edge-exporter",
            ),
            start=1,
        ):
            assert ask(f"{app}/api/version") == 200
            one.must(trouble)
            assert [ask(f"{app}/api/version") for _ in range(9)] == [200] * 9
            deadline = time.monotonic() + 60
            while mon.run(f"curl -sS http://{ONE}:{PORTS['edge']}/metrics").returncode and time.monotonic() < deadline:
                time.sleep(0.5)
            assert mon.counted(**api, code="2xx") - before[0] == 40 + 10 * number, trouble
    total = mon.counted(**api, code="2xx")
    mon.sees(
        'sum(sluice_edge_requests_total{route="/api",code="2xx"})',
        lambda rows: bool(rows) and rows[0]["value"] >= total,
    )
    assert mon.value("sluice_edge_log_lost_total") == 0


def test_a_container_that_stops_is_seen_and_so_are_its_errors(mon: Monitor, one: scenario.Host, app: str) -> None:
    running = 'sluice_container_running{service="frontend"}'
    mon.sees(running, lambda rows: [row["value"] for row in rows] == [1])
    name = one.must("docker ps -q --filter label=stack.sluice.service=frontend")
    before = mon.counted(service="frontend", code="5xx")
    with without_probes(mon):
        one.must(f"docker stop -t 1 {name}")
        try:
            assert [ask(f"{app}/") for _ in range(4)] == [502] * 4
            assert mon.counted(service="frontend", code="5xx") - before == 4
            mon.sees(running, lambda rows: [row["value"] for row in rows] == [0])
            assert mon.value('sluice_container_running{service="backend"}') == 1
        finally:
            one.must(f"docker start {name}")
    mon.sees(running, lambda rows: [row["value"] for row in rows] == [1])
    used = mon.query("sluice_container_memory_bytes > 1e6 and sluice_container_cpu_seconds_total > 0")
    assert {row["metric"]["service"] for row in used} == {"backend", "frontend"}


def test_a_deploy_is_seen_from_its_lease_to_its_release(mon: Monitor, one: scenario.Host, app: str) -> None:
    facts = "sluice-facts --print --textfiles /var/lib/prometheus/node-exporter --state /run/facts-of-a-test.json"
    assert 'sluice_lease_held{app="marketplace"} 0' in one.must(facts)
    process, held = deploy("v1.1.0"), False
    while process.poll() is None:
        held = held or 'sluice_lease_held{app="marketplace"} 1' in one.must(facts)
    assert process.stdout and process.returncode == 0, process.stdout.read()[-3000:] if process.stdout else ""
    assert held, "nobody saw it"
    mon.sees("sluice_release_live", lambda rows: [row["metric"]["version"] for row in rows] == ["v1.1.0"])
    mon.sees("sluice_lease_held", lambda rows: [row["value"] for row in rows] == [0])
    live = mon.query("sluice_release_live")[0]["metric"]
    assert mon.value(f'sluice_release_split_percent{{slot="{live["slot"]}"}}') == 100
    confirmed = mon.value("sluice_release_confirmed_timestamp_seconds")
    assert confirmed and abs(confirmed - time.time()) < 600
    # An app's figures say which release they are of.
    ask(f"{app}/api/version")
    mon.sees(
        f'sluice_edge_requests_total{{release="{live["release"]}",code="2xx",route="/api"}} > 0',
        lambda rows: len(rows) == 1,
    )


def test_backups_and_certificates_are_known(mon: Monitor, app: str) -> None:
    rows = mon.query("sluice_backup_last_success_timestamp_seconds")
    assert [(row["metric"]["engine"], row["metric"]["name"]) for row in rows] == [("pg_dump", "local")]
    assert abs(rows[0]["value"] - time.time()) < 86400 and mon.value("sluice_backup_last_failed") == 0
    ends = mon.value("sluice_certificate_not_after_timestamp_seconds")
    assert ends and ends > time.time() and mon.value("sluice_certificate_renewal_failed") == 0


def test_playbooks_can_ask(app: str) -> None:
    words = json.dumps({"queries": {"live": "sluice_release_live", "none": "nothing_has_this_name"}})
    done = scenario.ansible("ansible", "mon1", "-b", "-m", "sluice.stack.prometheus_query", "-a", words, **MINIMAL)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    assert (
        found["none"] == [] and found["live"][0]["value"] == 1.0 and found["live"][0]["metric"]["app"] == "marketplace"
    )
    words = json.dumps({"queries": {"wrong": "sum("}})
    refused = scenario.ansible("ansible", "mon1", "-b", "-m", "sluice.stack.prometheus_query", "-a", words, **MINIMAL)
    assert refused.returncode and "parse error" in refused.stdout + refused.stderr


def test_a_host_that_joins_is_looked_at_without_a_restart(mon: Monitor) -> None:
    process = mon.must("systemctl show -p MainPID prometheus")
    inventory = scenario.INVENTORY.parent / "joined.yml"
    provision = ("ansible-playbook", "playbooks/provision.yml", "--limit", "mon1", "--tags", "monitoring")
    try:
        for extra, wanted in ((("-i", str(inventory)), 3), ((), 2)):
            inventory.write_text("app: {hosts: {late1: {ansible_host: 10.213.76.99}}}\n")
            done = scenario.ansible(*provision, *extra)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr
            mon.sees('up{job="node"}', lambda rows, wanted=wanted: len(rows) == wanted)
    finally:
        inventory.unlink()
    assert mon.must("systemctl show -p MainPID prometheus") == process


def memory(host: scenario.Host) -> dict[str, float]:
    """Megabytes of each program that monitors, by the kernel's proportional count."""
    script = """for p in $(pgrep -f '/usr/bin/prometheus|sluice-edge-exporter'); do
      name=$(tr '\\0' ' ' < /proc/$p/cmdline | grep -o 'prometheus[a-z-]*\\|sluice-edge-exporter' | head -1)
      echo $(awk '/^Pss:/ {print $2}' /proc/$p/smaps_rollup) $name
    done"""
    rows = [line.split() for line in host.must(script).splitlines()]
    return {f"{host.name} {row[1]}": int(row[0]) / 1024 for row in rows if len(row) == 2}


def test_it_is_small(mon: Monitor, one: scenario.Host) -> None:
    found = {**memory(mon), **memory(one)}
    assert len(found) == 8, found
    print({name: round(size) for name, size in found.items()}, f"{sum(found.values()):.0f} MB")
    assert sum(found.values()) <= MEGABYTES, found


def test_a_lost_monitoring_host_changes_nothing_and_comes_back(mon: Monitor, one: scenario.Host, app: str) -> None:
    before = one.must(f"systemctl show --property=Id,MainPID {SERVICES}")
    first = mon.value("min(prometheus_tsdb_lowest_timestamp_seconds)")
    subprocess.run(["docker", "kill", mon.container], check=True, capture_output=True)
    try:
        assert [ask(f"{app}/api/version") for _ in range(20)] == [200] * 20
        assert one.must(f"systemctl show --property=Id,MainPID {SERVICES}") == before
    finally:
        subprocess.run(["docker", "start", mon.container], check=True, capture_output=True)
    deadline = time.monotonic() + 90
    while mon.run("curl -sf 127.0.0.1:9090/-/ready").returncode and time.monotonic() < deadline:
        time.sleep(1)
    mon.sees("up", lambda rows: len(rows) == 9 and all(row["value"] == 1 for row in rows))
    assert mon.value("min(prometheus_tsdb_lowest_timestamp_seconds)") == first, "what was measured before is there"


@pytest.mark.parametrize("host", ["one1", "mon1"])
def test_nothing_failed(host: str) -> None:
    assert scenario.Host(host).must("systemctl --failed --no-legend --plain 'prometheus*' 'sluice*' | cat") == ""
