# SPDX-License-Identifier: Apache-2.0
"""The database's password changes while everything runs: a strict client with writes, a real Postgres, a real OpenBao over TLS."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from tests.e2e.test_no_dropped_request import SENDER, asks, messages
from tests.support.lab import APP, APP_HOSTS, INVENTORY, STATE, Lab, until
from tests.support.load import Load
from tests.support.playbook import Run, Started, known
from tests.support.stores import Bao, Stores
from tests.support.visitor import Visitor

SECRET = "DATABASE_URL"
ROTATIONS = int(os.environ.get("SLUICE_ROTATIONS", "20"))
# Moments of a rotation, in their order: before and after everything that it changes.
MOMENTS = (
    "result:Rotation | Decide",
    "start:Rotation | Make the new one",
    "start:Rotation | Store the new value",
    "result:Rotation | Store the new value",
    "start:Rotation | Let the new login in",
    "result:Fence | Take the app and observe",
    "result:Plan | Decide what to do",
    "start:Start | Bring the release up",
    "result:Start | Bring the release up:app1",
    "start:Flip | Send requests",
    "result:Flip | Send requests",
    "start:Confirm | Make the flip permanent",
    "result:Confirm | Make the flip permanent",
    "start:Retire | Record the release",
    "result:Retire | Record the release:app1",
    "start:Rotation | All hosts must know",
    "start:Rotation | Wait until nobody uses it",
    "start:Rotation | Write into every ledger",
    "result:Rotation | Write into every ledger:app2",
    "start:Rotation | Revoke it",
)
WRITES = """path "secret/data/marketplace/*" { capabilities = ["read", "create", "update"] }"""


class Rotated:
    """The reference app with its database's URL in OpenBao."""

    version: ClassVar = "v1.0.0"

    def __init__(self, lab: Lab, bao: Bao, values: dict[str, str]) -> None:
        self.lab, self.bao, self.begun = lab, bao, time.time() - 10
        self.first = f"postgresql://{APP}:{values['vault_postgres_app_password']}@{lab.address('db1')}:5432/{APP}"
        self.cache = f"redis://:{values['vault_redis_password']}@{lab.address('db1')}:6379/0"
        bao.call("PUT", "sys/policies/acl/deploy", {"policy": WRITES})
        self.variables = json.dumps(
            {
                "app_secrets": {
                    SECRET: {"vault": "marketplace/database", "key": "url"},
                    "REDIS_URL": {"vault": "marketplace/cache", "key": "url"},
                    "JWT_SECRET": values["vault_jwt_secret"],
                },
                "app_secret_sources": {"vault": {"url": bao.url, "ca": str(bao.ca), **bao.credentials()}},
                "app_rotations": {
                    SECRET: {"kind": "postgres", "role": APP},
                    "REDIS_URL": {"kind": "redis", "user": APP},
                },
                "app_drain_seconds": 1,
            }
        )

    def start(self, playbook: str, *extra: str, environ: dict[str, str] | None = None) -> Started:
        """Start a playbook with these variables."""
        return Started([f"{playbook}.yml", "-i", INVENTORY, "-e", self.variables, *extra], environ)

    def run(self, playbook: str, *extra: str) -> Run:
        """Run a playbook with these variables."""
        return self.start(playbook, *extra).wait(240)

    def rotate(self, *extra: str, secret: str = SECRET) -> Run:
        """Rotate the database's password, or another one."""
        return self.run("playbooks/secrets/rotate", "-e", f"secret={secret}", *extra)

    def reset(self) -> None:
        """Begin with the role's own password, as provisioning leaves it, and a second release of v1.0.0 live with that."""
        self._as_provisioned()
        self.bao.put("marketplace/database", url=self.first)
        self.bao.put("marketplace/cache", url=self.cache)
        banner = json.dumps({"app_extra": {"banner": "two"}})
        self.run("deploy", "-e", f"app_version={self.version}", "-e", banner).good()
        self._forget()

    def _as_provisioned(self) -> None:
        password = urlsplit(self.first).password
        self.psql(f"alter role {APP} login password '{password}';")

    def end(self) -> None:
        """Leave the lab as it was."""
        self._as_provisioned()
        self.lab.deploy("v1.0.0", "-e", "app_drain_seconds=0", "-e", "release_retire=wait").good()
        self._forget()

    def _forget(self) -> None:
        """Remove the logins that rotations made; one that was cut short may have left some."""
        for name in sorted(self.logins().keys() - {APP}):
            self.psql(f"drop owned by {name}; drop role {name};")
        self.lab.shell("db1", "rm -f /etc/redis/sluice-users.conf")
        self.redis("ACL", "DELUSER", f"{APP}_a", f"{APP}_b")

    def psql(self, text: str, check: bool = True) -> str:
        """Run SQL as the server's own user."""
        command = ("runuser", "-u", "postgres", "--", "psql", "-AtX", "-d", APP)
        return self.lab.on("db1", *command, stdin=text, check=check)

    def stored(self, what: str = "database") -> str:
        """The URL in the store."""
        return str(self.bao.call("GET", f"secret/data/marketplace/{what}")["data"]["data"]["url"])

    def redis(self, *words: str, url: str = "") -> str:
        """What Redis answers, to its default user or to who has a URL."""
        found = urlsplit(url or self.cache)
        user = ("--user", found.username) if found.username else ()
        command = ("env", f"REDISCLI_AUTH={found.password}", "redis-cli", *user, *words)
        return self.lab.on("db1", *command, check=False)

    def accepts(self, url: str) -> bool:
        """Whether Postgres lets in who has a URL."""
        found = urlsplit(url)
        host = ("-h", "127.0.0.1", "-U", str(found.username), "-d", APP)
        command = ["env", f"PGPASSWORD={found.password}", "psql", *host, "-AtXc", "select 'let in'"]
        return "let in" in self.lab.on("db1", *command, check=False)

    def logins(self) -> dict[str, bool]:
        """Which roles of the app may log in."""
        rows = self.lab.sql(f"select rolname, rolcanlogin from pg_roles where rolname like '{APP}%'")
        return {name: may == "t" for name, may in rows}

    def users(self) -> set[str]:
        """As whom the app is connected. It is asked something first: a connection that is idle for ten seconds is closed."""
        assert self.lab.ask("/api/accountants").status == 200
        return {
            row[0] for row in self.lab.sql(f"select distinct usename from pg_stat_activity where usename like '{APP}%'")
        }


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, secret_stores: Stores) -> Iterator[Rotated]:
    """The lab has its own secrets afterwards."""
    app = Rotated(lab, secret_stores.bao, lab.secrets())
    app.reset()
    yield app
    app.end()


def whole(app: Rotated) -> None:
    """The live release has what is stored, that alone is accepted, and everybody is connected as it."""
    user = urlsplit(app.stored()).username or ""
    assert app.users() == {user}
    assert [name for name, may in app.logins().items() if may] == [user]
    assert app.accepts(app.stored())
    assert set(app.lab.leases().values()) == {None}


def hidden(lab: Lab, values: list[str], *texts: str) -> None:
    """No value is in what was printed, or in what the hosts have on record."""
    record = f"cat {STATE}/apps/{APP}/ledger.jsonl {STATE}/apps/{APP}/lease.json"
    log = "cat /var/log/postgresql/*.log"
    kept = [lab.shell(host, record) for host in ("edge1", *APP_HOSTS)] + [lab.shell("db1", log, check=False)]
    for text in (*texts, *kept):
        assert [value for value in values if value in text] == []


def test_a_password_is_rotated_and_a_rollback_does_not_bring_the_old_one_back(app: Rotated, v1_0_0: str) -> None:
    lab = app.lab
    old = app.stored()
    with Load(lab.url, *asks(lab), rate=60, seconds=200) as load:
        run = app.rotate("-vvv", "--diff").good()
    assert load.report.failed == 0, str(load.report)
    new = app.stored()
    assert urlsplit(new).username == f"{APP}_a"
    # What is live is released again: the inventory's own banner, which is another by now, is not shipped along.
    assert lab.ask("/api/version").json()["banner"] == "two"
    assert app.users() == {f"{APP}_a"}
    assert app.logins() == {APP: False, f"{APP}_a": True}
    assert app.accepts(new)
    assert not app.accepts(old)
    hidden(lab, [str(urlsplit(one).password) for one in (old, new)], run.output)
    # What it makes belongs to the app's role, as before.
    assert app.psql(f"set session authorization {APP}_a; select current_user;").split()[-1] in (APP, f"{APP}_a")

    back = app.run("rollback").good()
    assert lab.live() == v1_0_0
    assert "DATABASE_URL: the version of that release was revoked on" in back.output
    assert app.users() == {f"{APP}_a"}
    assert lab.ask("/api/accountants").status == 200
    assert app.accepts(new)


def test_every_access_is_explained_and_a_foreign_one_is_not(app: Rotated) -> None:
    bao = app.bao
    # What this test itself does, it does as root.
    # Not before this module: the ledgers know of other stores, too. A run needs a moment until it counts.
    days = (time.time() - app.begun) / 86400
    looks = ("-e", f"audit_vault_log={bao.audit}", "-e", json.dumps({"audit_known": ["root*"], "audit_days": days}))
    audit = app.run("playbooks/secrets/audit", *looks).good()
    assert re.search(r" write +approle \(deploy\) .* vault marketplace/database, version 2 +run ", audit.output), (
        audit.output
    )
    assert len(re.findall(r" read +approle \(deploy\) .* run ", audit.output)) == bao.reads_by(
        "approle", "marketplace/database", "marketplace/cache"
    )
    assert "not in the stores' logs" not in audit.output

    foreign = bao.call("POST", "auth/token/create", {"policies": ["deploy"], "display_name": "somebody"})["auth"][
        "client_token"
    ]
    bao.call("GET", "secret/data/marketplace/database", token=foreign)
    audit = app.run("playbooks/secrets/audit", *looks)
    assert audit.error().startswith("audit: 1 of ")
    assert "token-somebody from 127.0.0.1" in audit.error()
    assert str(urlsplit(app.stored()).password) not in audit.output


@pytest.mark.soak
def test_many_rotations_under_writes(app: Rotated) -> None:
    lab = app.lab
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')
    values = [app.stored()]
    with Load(lab.url, *asks(lab), rate=60, seconds=3600, requests=1_000_000) as load:
        for _ in range(ROTATIONS):
            app.rotate().good()
            values.append(app.stored())
            assert not app.accepts(values[-2])
    report = load.report
    print(report)
    assert report.failed == 0, str(report)
    assert messages(lab) == report.statuses["201"], "a message that was accepted is not in the database"
    assert len(set(values)) == ROTATIONS + 1
    assert [url for url in values[:-1] if app.accepts(url)] == []
    whole(app)
    lab.sql(f'delete from "Message" where "senderEmail" = \'{SENDER}\'')


@pytest.mark.soak
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_rotation_that_was_killed_is_gone_on_with(app: Rotated, moment: str) -> None:
    known(moment.split(":")[1])
    before, visitor = app.stored(), Visitor(app.lab)
    with Load(app.lab.url, *asks(app.lab), rate=60, seconds=600) as load:
        cut = app.start("playbooks/secrets/rotate", "-e", f"secret={SECRET}", environ={"SLUICE_KILL": moment}).wait(240)
        assert cut.code == -signal.SIGKILL, f"it was not killed at {moment}\n{cut}"
        app.rotate("-e", "release_wait_seconds=90").good()
    assert load.report.failed == 0, str(load.report)
    assert visitor.signed_in() and visitor.believed()
    assert app.stored() != before
    assert not app.accepts(before)
    whole(app)


@pytest.mark.soak
def test_in_an_emergency_the_old_password_ends_first(app: Rotated) -> None:
    before = app.stored()
    told = app.rotate("-e", "emergency=true", "--check").good()
    assert re.search(r"breaks +in use now: marketplace\S* from ", told.output), told.output
    assert app.stored() == before and app.accepts(before)
    protected = ("-e", json.dumps({"environment_protected": True, "environment_name": "lab"}))
    assert "is refused" in app.rotate("-e", "emergency=true", *protected).error()
    assert app.accepts(before)
    # The control: a client that does not retry does see that it ends at once.
    app.rotate("-e", "emergency=true").good()
    assert not app.accepts(before)
    whole(app)


@pytest.mark.soak
def test_a_login_that_somebody_uses_is_not_revoked(app: Rotated) -> None:
    before = app.stored()
    found = urlsplit(before)
    asleep = f"PGPASSWORD={found.password} psql -h 127.0.0.1 -U {found.username} -d {APP} -c 'select pg_sleep(600)'"
    app.lab.shell("db1", f"nohup env {asleep} >/dev/null 2>&1 &")
    variables = json.loads(app.variables)
    variables["app_rotations"][SECRET]["wait_seconds"] = 2
    run = app.rotate("-e", json.dumps(variables))
    assert f"{found.username} from 127.0.0.1 (psql): 1 connection" in run.error()
    assert app.accepts(before) and app.accepts(app.stored())
    app.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid();"
    )
    app.rotate().good()
    assert not app.accepts(before)
    whole(app)


@pytest.mark.soak
def test_the_cache_has_two_users_that_take_turns(app: Rotated) -> None:
    lab = app.lab
    with Load(lab.url, *asks(lab), rate=60, seconds=300) as load:
        app.rotate(secret="REDIS_URL").good()
        first = app.stored("cache")
        app.rotate(secret="REDIS_URL").good()
    assert load.report.failed == 0, str(load.report)
    second = app.stored("cache")
    assert [urlsplit(one).username for one in (first, second)] == [f"{APP}_a", f"{APP}_b"]
    assert "WRONGPASS" in app.redis("PING", url=first) + app.redis("AUTH", f"{APP}_a", str(urlsplit(first).password))
    assert "PONG" in app.redis("PING", url=second)
    assert "NOPERM" in app.redis("CONFIG", "GET", "*", url=second)
    users = set(re.findall(r" user=(\S+)", app.redis("CLIENT", "LIST")))
    assert f"{APP}_b" in users and f"{APP}_a" not in users
    # A restart keeps them.
    lab.on("db1", "systemctl", "restart", "redis-server")
    until(lambda: "PONG" in app.redis("PING", url=second), 30, "Redis is back")
    assert "PONG" not in app.redis("PING", url=first)
    kept = lab.on("db1", "cat", "/etc/redis/sluice-users.conf")
    assert [one for one in (first, second) if str(urlsplit(one).password) in kept] == []
