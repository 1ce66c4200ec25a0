# SPDX-License-Identifier: Apache-2.0
"""Secrets that are kept elsewhere: real stores over TLS, real deploys; a store that is down, and what it cannot break."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import APP, APP_HOSTS, INVENTORY, QUICK, STATE, Lab
from tests.support.playbook import Run, Started
from tests.support.stores import Stores

PLANTED = "planted-signing-key"


class App:
    """The reference app with its secrets at three stores, deployed and rolled back."""

    def __init__(self, lab: Lab, stores: Stores) -> None:
        self.lab, self.stores = lab, stores
        values = lab.secrets()
        database = f"postgresql://{APP}:{values['vault_postgres_app_password']}@{lab.address('db1')}:5432/{APP}"
        stores.aws("lab/database", json.dumps({"url": database, "other": "unused"}))
        redis = f"redis://:{values['vault_redis_password']}@{lab.address('db1')}:6379/0"
        self.file = stores.encrypted("lab.sops.yaml", {"redis": {"url": redis}})
        self.values = (values["vault_postgres_app_password"], values["vault_redis_password"], PLANTED)

    def variables(self, **sources: Any) -> str:
        """What the inventory would say."""
        settings = self.stores.sources()
        return json.dumps(
            {
                "app_secrets": {
                    "JWT_SECRET": {"vault": "marketplace/jwt", "key": "value"},
                    "DATABASE_URL": {"aws": "lab/database", "key": "url"},
                    "REDIS_URL": {"sops": str(self.file), "key": "redis.url"},
                },
                "app_secret_sources": {**settings, **sources},
            }
        )

    def run(self, playbook: str, *extra: str, variables: str | None = None) -> Run:
        """Run a playbook with these secrets."""
        settings = ["-e", variables or self.variables(), *QUICK]
        arguments = [f"{playbook}.yml", "-i", INVENTORY, *settings, *extra]
        return Started(arguments, self.stores.environment).wait(240)

    def deploy(self, *extra: str, variables: str | None = None) -> Run:
        """Deploy v1.0.0."""
        return self.run("deploy", "-e", "app_version=v1.0.0", *extra, variables=variables)

    def held(self, host: str) -> str:
        """The JWT key that the live backend has."""
        live = next(item for name, item in self.lab.containers(host).items() if "-backend-" in name)
        environment = self.lab.on(host, "docker", "inspect", "-f", "{{json .Config.Env}}", live["id"])
        return dict(item.split("=", 1) for item in json.loads(environment))["JWT_SECRET"]


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, secret_stores: Stores) -> Iterator[App]:
    """The lab has its own secrets afterwards."""
    yield App(lab, secret_stores)
    lab.deploy("v1.0.0", *QUICK).good()


def ledgers(lab: Lab) -> dict[str, str]:
    """What the hosts have on record of the app."""
    return {
        host: lab.shell(host, f"cat {STATE}/apps/{APP}/ledger.jsonl {STATE}/apps/{APP}/lease.json")
        for host in ("edge1", *APP_HOSTS)
    }


def test_secrets_of_three_stores(app: App) -> None:
    lab, bao = app.lab, app.stores.bao
    bao.put("marketplace/jwt", value=f"{PLANTED}-1")
    first = app.deploy("-vvv", "--diff").good()
    assert {app.held(host) for host in APP_HOSTS} == {f"{PLANTED}-1"}
    # Once for the whole run and fleet, and on the release's record.
    assert [path for path in bao.reads() if path.endswith("/jwt")] == ["secret/data/marketplace/jwt"]
    texts = ledgers(lab)
    assert "vault marketplace/jwt, key value, version 1" in texts["app1"]
    for text in (first.output, *texts.values()):
        assert [value for value in app.values if value in text] == []
    assert "secret_references" in first.output, "the control: the output shows what tasks return"

    # The same values again are no new release; a new version in the store is one.
    assert not app.deploy().good().changed()
    bao.put("marketplace/jwt", value=f"{PLANTED}-2")
    app.deploy().good()
    assert {app.held(host) for host in APP_HOSTS} == {f"{PLANTED}-2"}

    # With the store away no release begins, and the way back is open.
    variables = app.variables()
    before = ledgers(lab)
    bao.seal()
    assert app.deploy(variables=variables).error() == (
        f"JWT_SECRET cannot be read from vault: login by approle: the store is sealed (at {bao.url})"
    )
    assert ledgers(lab) == before
    app.run("rollback", variables=variables).good()
    assert {app.held(host) for host in APP_HOSTS} == {f"{PLANTED}-1"}
    bao.unseal()


def test_the_check_tells_what_is_not_fit(app: App, tmp_path: Path) -> None:
    bao = app.stores.bao
    bao.put("marketplace/jwt", value=secrets.token_hex(32))
    report = tmp_path / "staging.json"
    app.run("playbooks/secrets/check", "-e", f"secrets_report={report}", "-e", "secrets_max_age_days=1").good()
    text = report.read_text()
    assert json.loads(text)["fingerprints"].keys() == {"DATABASE_URL", "JWT_SECRET", "REDIS_URL"}
    assert [value for value in app.values if value in text] == []

    shared = app.run("playbooks/secrets/check", "-e", f"secrets_against={report}")
    assert shared.error() == "secrets: 3 of 3 do not pass: DATABASE_URL, JWT_SECRET, REDIS_URL"
    assert "the same as in lab" in shared.output

    bao.put("marketplace/jwt", value="changemechangeme")
    weak = app.run("playbooks/secrets/check")
    assert weak.error() == "secrets: 1 of 3 do not pass: JWT_SECRET"
    assert "changemechangeme" not in weak.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"app_secrets": {"JWT_SECRET": {"vault": "elsewhere/jwt"}}},
            "JWT_SECRET cannot be read from vault: secret/elsewhere/jwt: permission denied",
        ),
        (
            {"app_secrets": {"JWT_SECRET": {"vault": "marketplace/nothing"}}},
            "JWT_SECRET cannot be read from vault: secret/marketplace/nothing: there is no such secret, or its version was deleted",
        ),
        (
            {"app_secrets": {"JWT_SECRET": {"aws": "lab/nothing"}}},
            "JWT_SECRET cannot be read from aws: lab/nothing: there is no such secret, or it has no version at this stage",
        ),
        (
            {"app_secrets": {"JWT_SECRET": {"aws": "lab/database", "key": "nothing"}}},
            "JWT_SECRET cannot be read from aws: it has no key 'nothing'; its keys: other, url",
        ),
        (
            {"app_secrets": {"JWT_SECRET": {"env": "LAB_NOTHING"}}},
            "JWT_SECRET cannot be read from env: LAB_NOTHING: it is not set in the environment of this run",
        ),
        (
            {"app_secret_sources": {"vault": {"secret_id": "wrong"}}},
            "JWT_SECRET cannot be read from vault: login by approle: the role id or the secret id is wrong",
        ),
        (
            {"app_secret_sources": {"vault": {"ca": None}}},
            "JWT_SECRET cannot be read from vault: login by approle: its certificate is not trusted",
        ),
    ],
    ids=[
        "denied",
        "missing",
        "missing at AWS",
        "missing key",
        "not in the environment",
        "wrong login",
        "wrong certificate",
    ],
)
@pytest.mark.soak
def test_what_cannot_be_read_changes_nothing(app: App, change: dict[str, Any], message: str) -> None:
    variables = json.loads(app.variables())
    variables["app_secrets"] |= change.get("app_secrets", {})
    for source, settings in change.get("app_secret_sources", {}).items():
        variables["app_secret_sources"][source] |= settings
    before = ledgers(app.lab)
    run = app.deploy(variables=json.dumps(variables))
    assert run.error().startswith(message)
    assert ledgers(app.lab) == before


@pytest.mark.soak
def test_a_store_that_never_answers(app: App) -> None:
    before = ledgers(app.lab)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        variables = json.loads(app.variables())
        variables["app_secret_sources"]["vault"] |= {
            "url": f"https://127.0.0.1:{silent.getsockname()[1]}",
            "timeout": 1,
        }
        run = app.deploy(variables=json.dumps(variables))
    assert "it did not answer in time (app_secret_sources.vault.timeout)" in run.error()
    assert ledgers(app.lab) == before
