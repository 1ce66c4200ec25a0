# SPDX-License-Identifier: Apache-2.0
"""Logins of OpenBao's database engine at the lab's Postgres: two static roles take turns, and a dynamic one ends with its token."""

from __future__ import annotations

import json
import secrets
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.test_no_dropped_request import asks
from tests.support.lab import APP, INVENTORY, PREFIX, QUICK, Lab, until
from tests.support.load import Load
from tests.support.playbook import Run, Started
from tests.support.stores import Bao, Stores

pytestmark = pytest.mark.soak

ROLES = (f"{APP}_a", f"{APP}_b")
READS = """
path "database/static-roles/*" { capabilities = ["read"] }
path "database/static-creds/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
"""
# Copies a connection to Postgres on the host itself.
RELAY = """
import os, select, socket
one = socket.create_connection(("127.0.0.1", 5432))
while True:
    ready = select.select([0, one], [], [])[0]
    for end in ready:
        data = os.read(0, 65536) if end == 0 else one.recv(65536)
        if not data:
            raise SystemExit
        one.sendall(data) if end == 0 else os.write(1, data)
"""


class Handler(socketserver.BaseRequestHandler):
    """One connection of the store's."""

    def handle(self) -> None:
        """Run the relay on the host, with the connection as its input and output."""
        command = ["docker", "exec", "-i", f"{PREFIX}-db1", "python3", "-c", RELAY]
        subprocess.run(command, stdin=self.request, stdout=self.request, stderr=subprocess.DEVNULL, check=False)


@contextmanager
def tunnel() -> Iterator[int]:
    """A port of this machine that leads to db1's Postgres, whose firewall lets nobody else in."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


class App:
    """The reference app with its database's login at two static roles."""

    def __init__(self, lab: Lab, bao: Bao, port: int) -> None:
        self.lab, self.bao, self.begun = lab, bao, time.time() - 5
        known, admin = lab.secrets(), secrets.token_hex(16)
        self.drop()
        self.psql(f"create role bao login createrole password '{admin}'; grant {APP} to bao with admin option;")
        for role in ROLES:
            self.psql(
                f"create role {role} login in role {APP}; alter role {role} set role {APP}; grant {role} to bao with admin option;"
            )
        bao.call("POST", "sys/mounts/database", {"type": "database"})
        connection = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/{APP}"
        config = {"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": connection}
        bao.call("POST", "database/config/lab", {**config, "username": "bao", "password": admin})
        for role in ROLES:
            static = {"db_name": "lab", "username": role, "rotation_period": "1440h"}
            bao.call("POST", f"database/static-roles/{role}", static)
        makes = f"create role \"{{{{name}}}}\" login password '{{{{password}}}}' in role {APP} valid until '{{{{expiration}}}}'"
        dynamic = {"db_name": "lab", "creation_statements": [makes], "default_ttl": "1h", "max_ttl": "24h"}
        bao.call("POST", "database/roles/lab", dynamic)
        bao.call("PUT", "sys/policies/acl/turns", {"policy": READS})
        bao.call("POST", "auth/approle/role/turns", {"token_policies": ["turns"], "token_ttl": "5m"})
        self.variables = json.dumps(
            {
                "app_secrets": {
                    "DATABASE_URL": {
                        "vault_roles": ROLES,
                        "url": f"postgresql://{{username}}:{{password}}@{lab.address('db1')}:5432/{APP}",
                    },
                    "REDIS_URL": f"redis://:{known['vault_redis_password']}@{lab.address('db1')}:6379/0",
                    "JWT_SECRET": known["vault_jwt_secret"],
                },
                "app_secret_sources": {"vault": {"url": bao.url, "ca": str(bao.ca), **bao.credentials("turns")}},
                "app_drain_seconds": 1,
            }
        )

    def psql(self, text: str) -> str:
        """Run SQL as the server's own user."""
        return self.lab.on("db1", "runuser", "-u", "postgres", "--", "psql", "-AtX", "-d", APP, stdin=text)

    def drop(self) -> None:
        """Remove the roles of this test, and of another that has the same."""
        for role in (*ROLES, "bao"):
            there = self.psql(f"select 1 from pg_roles where rolname = '{role}';").strip()
            self.psql(f"drop owned by {role}; drop role {role};" if there else "select;")

    def run(self, playbook: str, *extra: str) -> Run:
        """Run a playbook with these secrets."""
        return Started([f"{playbook}.yml", "-i", INVENTORY, "-e", self.variables, *QUICK, *extra]).wait(240)

    def login(self, path: str, token: str | None = None) -> dict[str, str]:
        """A login as the store has it."""
        found = self.bao.call("GET", f"database/{path}", token=token)["data"]
        return {"username": found["username"], "password": found["password"]}

    def turn(self, role: str) -> None:
        """Let the store change a role's password, as it does when the period is over."""
        self.bao.call("POST", f"database/rotate-role/{role}", {})

    def accepts(self, login: dict[str, str]) -> bool:
        """Whether Postgres lets a login in."""
        asked = ("psql", "-h", "127.0.0.1", "-U", login["username"], "-d", APP, "-AtXc", "select 'let in'")
        return "let in" in self.lab.on("db1", "env", f"PGPASSWORD={login['password']}", *asked, check=False)

    def users(self) -> set[str]:
        """As whom the app is connected."""
        return {
            row[0] for row in self.lab.sql(f"select distinct usename from pg_stat_activity where usename like '{APP}%'")
        }


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, secret_stores: Stores) -> Iterator[App]:
    """The lab has its own secrets afterwards."""
    with tunnel() as port:
        app = App(lab, secret_stores.bao, port)
        yield app
        lab.deploy("v1.0.0", *QUICK, "-e", "app_drain_seconds=0", "-e", "release_retire=wait").good()
        secret_stores.bao.call("DELETE", "sys/mounts/database")
        app.drop()


def test_two_roles_take_turns_and_no_request_fails(app: App) -> None:
    lab, first, second = app.lab, *ROLES
    with Load(lab.url, *asks(lab), rate=40, seconds=600) as load:
        app.run("deploy", "-e", "app_version=v1.0.0").good()
        until(lambda: app.users() == {second}, 30, "only the younger login is connected")
        old = app.login(f"static-creds/{second}")
        # The store changes the one that is not in use, and the deploy that follows takes it.
        app.turn(first)
        run = app.run("deploy", "-e", "app_version=v1.0.0").good()
        until(lambda: app.users() == {first}, 30, "only the younger login is connected")
        assert app.accepts(old), "both are let in until the other one is changed"
        app.turn(second)
        assert not app.accepts(old)
    assert load.report.failed == 0, str(load.report)
    assert old["password"] not in run.output

    # The way back is with the login that counts.
    app.run("deploy", "-e", "app_version=v1.0.0", "-e", json.dumps({"app_extra": {"banner": "two"}})).good()
    assert lab.ask("/api/version").json()["banner"] == "two"
    back = app.run("rollback").good()
    assert "DATABASE_URL: the version of that release took its turn; it gets the one that counts now" in back.output
    assert lab.ask("/api/version").json()["banner"] == ""
    assert lab.ask("/api/accountants").status == 200
    assert app.users() == {second}

    looks = {
        "audit_vault_log": str(app.bao.audit),
        "audit_known": ["root*"],
        "audit_days": (time.time() - app.begun) / 86400,
    }
    assert "not in the stores' logs" not in app.run("playbooks/secrets/audit", "-e", json.dumps(looks)).good().output

    # The control: with one role, what runs could not connect again.
    live = app.login(f"static-creds/{second}")
    app.turn(second)
    assert not app.accepts(live)


def test_a_dynamic_login_ends_with_the_token_that_read_it(app: App) -> None:
    asked = {"policies": ["turns"], "ttl": "4s", "explicit_max_ttl": "4s"}
    token = app.bao.call("POST", "auth/token/create", asked)["auth"]["client_token"]
    login = app.login("creds/lab", token)
    assert app.accepts(login)
    until(lambda: not app.accepts(login), 60, "the login, whose lease is an hour, is refused")
