# SPDX-License-Identifier: Apache-2.0
"""The lab, seen and handled from outside: HTTP, SQL, the hosts' files and containers."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.playbook import REPO, Run, Started, known

PREFIX = "sluice-lab"
INVENTORY = "inventories/lab"
APP = "marketplace"
REGISTRY = f"{os.environ.get('SLUICE_LAB_SUBNET') or '10.213.7'}.41:5000"
STATE = "/var/lib/sluice"
RECORD = f"/var/lib/sluice-edge/{APP}.json"
AUTHORITY = REPO / ".lab/ca/ca.pem"
HOSTS = ("edge1", "app1", "app2", "db1", "store1")
APP_HOSTS = ("app1", "app2")
MIGRATION = "20261115090000"  # the one that v1.1.0 brings, by the beginning of its name
# Answers to SSH go nowhere; with what every host has, also an edge.
NO_SSH = "pref 1 ipproto tcp sport 22 blackhole"
# Windows as short as a promise allows, for what is not the subject of a test.
QUICK = ("-e", "app_drain_seconds=1", "-e", "release_retire=wait")


def ini_hosts() -> str:
    """The lab's hosts as an INI inventory; the other form is inventories/lab/hosts.yml."""
    subnet, state = REGISTRY.rpartition(".")[0], REPO / ".lab"
    return (
        f"[edge]\nedge1 ansible_host={subnet}.11\n\n"
        f"[app]\napp1 ansible_host={subnet}.21\napp2 ansible_host={subnet}.22\n\n"
        f"[db]\ndb1 ansible_host={subnet}.31\n\n[cache]\ndb1\n\n"
        f"[all:vars]\nansible_user=admin\nansible_ssh_private_key_file={state}/id_ed25519\n"
        f"ansible_ssh_common_args=-o UserKnownHostsFile={state}/known_hosts -o GlobalKnownHostsFile=/dev/null\n"
    )


class Response:
    """An answer to one request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def gateway() -> list[str]:
    """This machine's address on the lab's network; none without a lab."""
    # The engine tells the gateway only after it was restarted. It is the first address unless somebody says otherwise.
    form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    done = subprocess.run(
        ["docker", "network", "inspect", "-f", form, PREFIX], capture_output=True, text=True, check=False
    )
    networks = done.stdout.split() if done.returncode == 0 else []
    return [str(ipaddress.ip_network(network)[1]) for network in networks]


class Lab:
    """The running lab."""

    def __init__(self, edge: str = "edge1") -> None:
        """Through one of its edges; the lab itself has one, see scripts/fleet for a second."""
        self.edge = edge
        found = subprocess.run(
            ["docker", "port", f"{PREFIX}-{edge}", "80/tcp"], capture_output=True, text=True, check=False
        )
        if found.returncode:
            raise RuntimeError("the lab is not up: run `make lab` (or `make demo`) first")
        self.url = f"http://{found.stdout.split()[0]}"

    # hosts

    def on(self, host: str, *command: str, check: bool = True, stdin: str | None = None, timeout: float = 60) -> str:
        """The output of a command on a host, run as root and without SSH."""
        done = subprocess.run(
            ["docker", "exec", *(["-i"] if stdin is not None else []), f"{PREFIX}-{host}", *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"{host}: {' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def address(self, host: str) -> str:
        """A host's address on the lab's network."""
        form = f'{{{{(index .NetworkSettings.Networks "{PREFIX}").IPAddress}}}}'
        done = subprocess.run(
            ["docker", "inspect", "-f", form, f"{PREFIX}-{host}"], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def shell(self, host: str, script: str, check: bool = True, timeout: float = 60) -> str:
        """The output of a shell script on a host."""
        return self.on(host, "sh", "-c", script, check=check, timeout=timeout)

    def sql(self, query: str) -> list[list[str]]:
        """The rows of a query in the app's database, as text."""
        output = self.on("db1", "runuser", "-u", "postgres", "--", "psql", "-AtX", "-F", "\t", "-d", APP, "-c", query)
        return [line.split("\t") for line in output.splitlines() if line]

    def silence(self, host: str) -> str:
        """The shell command, on this machine, from which on a host answers no SSH; ``hear`` ends that."""
        address = self.address(host)
        control = Path("~/.ansible/cp").expanduser() / f"sluice-{address}-admin"
        # The controller would wait on its kept connection for longer than for a new one.
        close = f"ssh -O exit -o ControlPath={control} {address} 2>/dev/null"
        return f"{close}; docker exec {PREFIX}-{host} ip rule add {NO_SSH}"

    def hear(self, host: str) -> None:
        """End a host's silence; one that is not silent stays as it is."""
        self.shell(host, f"ip rule del {NO_SSH} 2>/dev/null", check=False)

    @contextlib.contextmanager
    def silent(self, host: str) -> Iterator[None]:
        """The host is still live and answers no SSH, not even on connections that are open."""
        subprocess.run(self.silence(host), shell=True, check=True, capture_output=True)
        try:
            yield
        finally:
            self.hear(host)

    @contextlib.contextmanager
    def cut_off(self, host: str) -> Iterator[None]:
        """What the edge sends to the host is lost, on open connections too; nothing says so to the edge."""
        rule = f"PREROUTING -s {self.address('edge1')} -j DROP"
        self.shell(host, f"iptables -t raw -I {rule}")
        try:
            yield
        finally:
            self.shell(host, f"iptables -t raw -D {rule}")

    # HTTP

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Response:
        """One request through the edge on a connection of its own."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)
        try:
            data = None if body is None else json.dumps(body).encode()
            kind = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, data, {**kind, "Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def served(self, times: int = 16) -> dict[str, str]:
        """The version each app host serves through the edge, asked often enough that every one has its turn.

        A container's host name begins its id, which tells on which host it is.
        """
        where = {item["id"][:12]: host for host in APP_HOSTS for item in self.containers(host).values()}
        found: dict[str, str] = {}
        for _ in range(times):
            answer = self.ask("/api/version").json()
            host = where.get(answer["hostname"], answer["hostname"])
            assert found.setdefault(host, answer["version"]) == answer["version"], f"{host} serves two versions at once"
        return found

    # the playbooks

    def start(self, playbook: str, *extra: str, kill: str | None = None, instead: str = "") -> Started:
        """Start a playbook and go on; ``kill`` says where its controller dies, or does ``instead``: see callbacks/killer.py."""
        if kill:
            known(kill.split(":")[1])
        fault = {"SLUICE_KILL": kill, "SLUICE_INSTEAD": instead} if kill else None
        return Started([f"{playbook}.yml", "-i", INVENTORY, *extra], fault)

    def playbook(self, playbook: str, *extra: str, timeout: float = 240) -> Run:
        """Run a playbook to its end."""
        return self.start(playbook, *extra).wait(timeout)

    def deploy(self, version: str, *extra: str) -> Run:
        """Deploy a version."""
        return self.playbook("deploy", "-e", f"app_version={version}", *extra)

    def rollback(self, *extra: str) -> Run:
        """Roll back."""
        return self.playbook("rollback", *extra)

    def run(self, service: str, *command: str) -> Run:
        """A one-off command beside the live release."""
        return self.playbook("run", "-e", json.dumps({"run_service": service, "run_command": command}))

    def seed(self) -> None:
        """Put the reference app's example data into the database."""
        self.playbook("playbooks/database/seed").good()

    # what the hosts hold

    def record(self) -> dict[str, Any] | None:
        """What the edge sends requests to."""
        text = self.shell(self.edge, f"cat {RECORD} 2>/dev/null", check=False)
        return json.loads(text) if text else None

    def live(self) -> str | None:
        """The id of the confirmed release."""
        record = self.record()
        return record["confirmed"]["release"] if record and record["confirmed"] else None

    def containers(self, host: str) -> dict[str, dict[str, Any]]:
        """The app's containers on a host by name: id, start, state, slot, release, image."""
        ids = self.shell(host, f"docker ps -aq --no-trunc --filter label=stack.sluice.app={APP}").split()
        if not ids:
            return {}
        return {
            item["Name"].lstrip("/"): {
                "id": item["Id"],
                "started": item["State"]["StartedAt"],
                "state": item["State"]["Status"],
                "slot": item["Config"]["Labels"].get("stack.sluice.slot"),
                "release": item["Config"]["Labels"].get("stack.sluice.release"),
                "service": item["Config"]["Labels"].get("stack.sluice.service"),
                "image": item["Config"]["Image"],
                "pid": item["State"]["Pid"],
            }
            for item in json.loads(self.on(host, "docker", "inspect", *ids))
        }

    def migrations(self) -> list[list[str]]:
        """Every row of the migration tool's own table."""
        return self.sql(
            "select migration_name, finished_at is not null, rolled_back_at is not null, applied_steps_count "
            'from "_prisma_migrations" order by started_at'
        )

    def unmigrate(self) -> None:
        """Undo the migration of v1.1.0, so that it is pending again. v1.0.0 must be live."""
        self.sql(
            f"delete from \"_prisma_migrations\" where migration_name like '{MIGRATION}%'; "
            'alter table "CharteredAccountant" drop column if exists specialty'
        )

    def leases(self) -> dict[str, str | None]:
        """The run that owns the app on each host, None where it is free."""
        path = f"{STATE}/apps/{APP}/lease.json"
        texts = {host: self.shell(host, f"cat {path} 2>/dev/null", check=False) for host in ("edge1", *APP_HOSTS)}
        return {host: json.loads(text)["run_id"] if text else None for host, text in texts.items()}

    def state(self) -> dict[str, Any]:
        """All that a run which changes nothing leaves as it is."""
        script = (
            f"sha256sum {STATE}/apps/{APP}/ledger.jsonl {STATE}/ports.json /etc/nginx/sluice/{APP}.conf {RECORD} 2>/dev/null; "
            f"ls {STATE}/apps/{APP}/secrets 2>/dev/null; systemctl show -p MainPID --value nginx docker 2>/dev/null"
        )
        return {
            "record": self.record(),
            "files": {host: self.shell(host, script, check=False) for host in ("edge1", *APP_HOSTS)},
            "containers": {host: self.containers(host) for host in APP_HOSTS},
            "migrations": self.migrations(),
            "leases": self.leases(),
        }

    # starting points

    def settled(self, version: str) -> bool:
        """Whether every app host serves a version with the inventory's own settings, and nobody is changing that."""
        record = self.record()
        if not record or not record["confirmed"] or record["pending"] or any(self.leases().values()):
            return False
        return self.served() == dict.fromkeys(APP_HOSTS, version) and self.ask("/api/version").json()["banner"] == ""

    def ensure(self, version: str) -> str:
        """Have a version live on all hosts, with the inventory's own settings; returns its release id."""
        try:
            settled = self.settled(version)
        except (OSError, http.client.HTTPException, ValueError, AssertionError):
            settled = False
        if not settled:
            # Nobody is connected between tests, and nobody goes back to before them: nothing to wait for.
            self.deploy(
                version, *QUICK, "-e", json.dumps({"app_drain_seconds": 0, "app_backup": {"restore_point": False}})
            ).good()
        return self.live() or ""

    def forget(self) -> None:
        """Take the app off the hosts, with its history: as if it had never been deployed. The database stays as it is."""
        for host in APP_HOSTS:
            self.shell(
                host,
                f"docker ps -aq --filter label=stack.sluice.app={APP} | xargs -r docker rm -f >/dev/null; "
                f"rm -rf {STATE}/apps/{APP} {STATE}/ports.json",
            )
        self.shell(
            "edge1",
            f"rm -rf {STATE}/apps/{APP} {STATE}/ports.json {RECORD} /etc/nginx/sluice/{APP}.conf; systemctl restart nginx",
        )

    def secrets(self) -> dict[str, str]:
        """The values in the lab's vault."""
        done = subprocess.run(
            [str(REPO / ".venv/bin/ansible-vault"), "view", f"{INVENTORY}/group_vars/all/vault.yml"],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.partition(": ") for line in done.stdout.splitlines() if line.startswith("vault_")]
        return {name: value.strip().strip("\"'") for name, _, value in lines}


def inventory_app() -> dict[str, Any]:
    """The app's variables as the lab's inventory has them."""
    return dict(yaml.safe_load((REPO / INVENTORY / "group_vars/all/app.yml").read_text()))


def health_window(seconds: int) -> tuple[str, ...]:
    """The inventory's services with another time to become healthy, as options."""
    services = inventory_app()["app_services"]
    for service in services.values():
        service["health"] = {**service.get("health", {}), "window": seconds}
    return ("-e", json.dumps({"app_services": services}))


def slow_flip() -> tuple[str, ...]:
    """A flip that takes two seconds, as options: it asks for the release through the edge until it was answered three times."""
    routes = inventory_app()["app_routes"]
    routes[0]["verify"] = "/api/slow?ms=700"
    return ("-e", json.dumps({"app_routes": routes}))


def until(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.2) -> Any:
    """Wait for a condition to hold; what it returned. An error means not yet. Fails after ``seconds``, with the last error."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if result := condition():
                return result
            last = None
        except Exception as error:  # a host that restarts has many ways to say no
            last = error
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}" + (f" ({last})" if last else "")
        time.sleep(pause)
