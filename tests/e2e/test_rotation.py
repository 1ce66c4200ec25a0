# SPDX-License-Identifier: Apache-2.0
"""The database's password changes while everything runs: a strict client with writes, a real Postgres, a real OpenBao over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.e2e.test_no_dropped_request import asks
from tests.support.lab import APP, APP_HOSTS, INVENTORY, STATE, Lab
from tests.support.load import Load
from tests.support.playbook import Run, Started
from tests.support.stores import Bao, stores

SECRET = "DATABASE_URL"
WRITES = """path "secret/data/marketplace/*" { capabilities = ["read", "create", "update"] }"""


class Rotated:
    """The reference app with its database's URL in OpenBao."""

    def __init__(self, lab: Lab, bao: Bao, values: dict[str, str]) -> None:
        self.lab, self.bao = lab, bao
        self.first = f"postgresql://{APP}:{values['vault_postgres_app_password']}@{lab.address('db1')}:5432/{APP}"
        bao.call("PUT", "sys/policies/acl/deploy", {"policy": WRITES})
        self.variables = json.dumps(
            {
                "app_secrets": {
                    SECRET: {"vault": "marketplace/database", "key": "url"},
                    "REDIS_URL": f"redis://:{values['vault_redis_password']}@{lab.address('db1')}:6379/0",
                    "JWT_SECRET": values["vault_jwt_secret"],
                },
                "app_secret_sources": {"vault": {"url": bao.url, "ca": str(bao.ca), **bao.credentials()}},
                "app_rotations": {SECRET: {"kind": "postgres", "role": APP}},
                "app_drain_seconds": 1,
            }
        )

    def start(self, playbook: str, *extra: str, environ: dict[str, str] | None = None) -> Started:
        """Start a playbook with these variables."""
        return Started([f"{playbook}.yml", "-i", INVENTORY, "-e", self.variables, *extra], environ)

    def run(self, playbook: str, *extra: str) -> Run:
        """Run a playbook with these variables."""
        return self.start(playbook, *extra).wait(240)

    def rotate(self, *extra: str) -> Run:
        """Rotate the database's password."""
        return self.run("playbooks/secrets/rotate", "-e", f"secret={SECRET}", *extra)

    def reset(self) -> None:
        """Begin with the role's own password, as provisioning leaves it, and v1.0.0 live with that."""
        self._as_provisioned()
        self.bao.put("marketplace/database", url=self.first)
        self.run("deploy", "-e", "app_version=v1.0.0", "-e", "release_retire=wait").good()

    def _as_provisioned(self) -> None:
        password = urlsplit(self.first).password
        self.psql(f"alter role {APP} login password '{password}';")

    def end(self) -> None:
        """Leave the lab as it was."""
        self._as_provisioned()
        self.lab.deploy("v1.0.0", "-e", "app_drain_seconds=0", "-e", "release_retire=wait").good()
        for name in sorted(self.logins().keys() - {APP}):
            self.psql(f"drop owned by {name}; drop role {name};")

    def psql(self, text: str, check: bool = True) -> str:
        """Run SQL as the server's own user."""
        command = ("runuser", "-u", "postgres", "--", "psql", "-AtX", "-d", APP)
        return self.lab.on("db1", *command, stdin=text, check=check)

    def stored(self) -> str:
        """The URL in the store."""
        return str(self.bao.call("GET", "secret/data/marketplace/database")["data"]["data"]["url"])

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
        """As whom the app is connected."""
        return {
            row[0] for row in self.lab.sql(f"select distinct usename from pg_stat_activity where usename like '{APP}%'")
        }


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotated]:
    """The store is there for all tests of the module, and the lab has its own secrets afterwards."""
    with stores(tmp_path_factory.mktemp("stores")) as found:
        app = Rotated(lab, found.bao, lab.secrets())
        app.reset()
        yield app
        app.end()


def hidden(lab: Lab, values: list[str], *texts: str) -> None:
    """No value is in what was printed, or in what the hosts have on record."""
    record = f"cat {STATE}/apps/{APP}/ledger.jsonl {STATE}/apps/{APP}/lease.json"
    log = "cat /var/log/postgresql/*.log"
    kept = [lab.shell(host, record) for host in ("edge1", *APP_HOSTS)] + [lab.shell("db1", log, check=False)]
    for text in (*texts, *kept):
        assert [value for value in values if value in text] == []


def test_a_password_is_rotated_and_a_rollback_does_not_bring_the_old_one_back(app: Rotated) -> None:
    lab = app.lab
    before, old = lab.live(), app.stored()
    app.run("deploy", "-e", "app_version=v1.0.0", "-e", json.dumps({"app_extra": {"banner": "two"}})).good()
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
    assert lab.live() == before
    assert "DATABASE_URL: the version of that release was revoked on" in back.output
    assert app.users() == {f"{APP}_a"}
    assert lab.ask("/api/accountants").status == 200
