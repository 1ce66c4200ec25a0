# SPDX-License-Identifier: Apache-2.0
"""Secrets that app hosts read themselves, from a real OpenBao over TLS: the controller never has a value, and a release stays what it was."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterator

import pytest

from tests.support.lab import APP, APP_HOSTS, INVENTORY, QUICK, STATE, Lab, gateway
from tests.support.playbook import Run, Started
from tests.support.stores import Bao, Stores

pytestmark = pytest.mark.soak

KEY = "planted-key-of-hosts"
# A folder of its own: what other tests allow does not reach here.
READS = 'path "secret/data/hosts/*" { capabilities = ["read"] }'
# The controller sees which versions there are, and gets hosts a login that is wrapped or none at all.
CONTROLS = """
path "secret/metadata/hosts/*" { capabilities = ["read"] }
path "auth/approle/role/hosts/role-id" { capabilities = ["read"] }
path "auth/approle/role/hosts/secret-id" { capabilities = ["update"] min_wrapping_ttl = "1s" max_wrapping_ttl = "5m" }
"""


class App:
    """The reference app, two of whose secrets are for its hosts only."""

    def __init__(self, lab: Lab, bao: Bao) -> None:
        self.lab, self.bao, self.begun = lab, bao, time.time() - 5
        self.url = f"https://{gateway()[0]}:{bao.port}"
        known = lab.secrets()
        self.password = known["vault_postgres_app_password"]
        self.database = f"postgresql://{APP}:{self.password}@{lab.address('db1')}:5432/{APP}"
        self.cache = f"redis://:{known['vault_redis_password']}@{lab.address('db1')}:6379/0"
        bao.call("PUT", "sys/policies/acl/hosts", {"policy": READS})
        bao.call("PUT", "sys/policies/acl/controller", {"policy": CONTROLS})
        cidrs = [f"{lab.address(host)}/32" for host in APP_HOSTS]
        role = {"token_policies": ["hosts"], "token_ttl": "2m", "secret_id_num_uses": 1, "secret_id_ttl": "2m"}
        bao.call(
            "POST", "auth/approle/role/hosts", {**role, "token_bound_cidrs": cidrs, "secret_id_bound_cidrs": cidrs}
        )
        bao.call("POST", "auth/approle/role/controller", {"token_policies": ["controller"], "token_ttl": "5m"})

    def variables(self, **vault: object) -> str:
        """What the inventory would say."""
        settings = {
            "url": self.url,
            "ca": str(self.bao.ca),
            "timeout": 3,
            "secrets_from": "host",
            "host_role": "hosts",
            **self.bao.credentials("controller"),
            **vault,
        }
        return json.dumps(
            {
                "app_secrets": {
                    "JWT_SECRET": {"vault": "hosts/jwt", "key": "value"},
                    "DATABASE_URL": {"vault": "hosts/database"},
                    "REDIS_URL": self.cache,
                },
                "app_secret_sources": {"vault": settings},
                # It makes values of the app's own, for which the controller would have to know them.
                "app_preview": None,
                "app_drain_seconds": 1,
            }
        )

    def run(self, playbook: str, *extra: str, variables: str | None = None) -> Run:
        """Run a playbook with these secrets."""
        return Started([f"{playbook}.yml", "-i", INVENTORY, "-e", variables or self.variables(), *QUICK, *extra]).wait(
            240
        )

    def deploy(self, *extra: str, variables: str | None = None) -> Run:
        """Deploy v1.0.0."""
        return self.run("deploy", "-e", "app_version=v1.0.0", *extra, variables=variables)

    def held(self) -> set[str]:
        """The keys that live backends have."""
        found = set()
        for host in APP_HOSTS:
            live = next(item for name, item in self.lab.containers(host).items() if "-backend-" in name)
            text = self.lab.on(host, "docker", "inspect", "-f", "{{json .Config.Env}}", live["id"])
            found.add(dict(item.split("=", 1) for item in json.loads(text))["JWT_SECRET"])
        return found

    def kept(self, host: str) -> list[str]:
        """The versions of the key that a host keeps."""
        return self.lab.shell(host, f"ls {STATE}/apps/{APP}/secrets | grep ^JWT_SECRET || true").split()

    def forget(self, host: str) -> None:
        """Let a host be one that never had any of the app's secrets."""
        self.lab.shell(host, f"rm -rf {STATE}/apps/{APP}/secrets")

    def readers(self) -> set[str]:
        """From which addresses the hosts' secrets were read, in the store's own log; what this test does as root apart."""
        lines = [json.loads(line) for line in self.bao.audit.read_text().splitlines()]
        return {
            line["request"]["remote_address"]
            for line in lines
            if line["request"]["path"].startswith("secret/data/hosts/")
            and line["request"]["operation"] == "read"
            and "root" not in line["auth"].get("policies", [])
        }

    def audit(self) -> Run:
        """The audit, with the store's log on another host than the controller."""
        log = "/var/log/bao-audit.log"
        self.lab.on("store1", "tee", log, stdin=self.bao.audit.read_text())
        days = (time.time() - self.begun) / 86400
        looks = {"audit_vault_log": log, "audit_vault_host": "store1", "audit_known": ["root*"], "audit_days": days}
        return self.run("playbooks/secrets/audit", "-e", json.dumps(looks))


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, secret_stores: Stores) -> Iterator[App]:
    """The first version of the secrets is live; the lab has its own afterwards."""
    app = App(lab, secret_stores.bao)
    app.bao.put("hosts/jwt", value=f"{KEY}-1")
    app.bao.put("hosts/database", url=app.database)
    yield app
    lab.shell("store1", "rm -f /var/log/bao-audit.log")
    lab.deploy("v1.0.0", *QUICK).good()


def test_the_hosts_read_and_the_controller_never_sees_a_value(app: App) -> None:
    lab, bao = app.lab, app.bao
    planned = app.deploy("--check").good()
    assert "fetch      app1: DATABASE_URL from vault secret/hosts/database, version 1; JWT_SECRET" in planned.output
    assert app.readers() == set()
    first = app.deploy("-vvv", "--diff").good()
    assert app.held() == {f"{KEY}-1"}
    assert lab.ask("/api/accountants").status == 200
    assert app.readers() == {lab.address(host) for host in APP_HOSTS}
    ledgers = [lab.shell(host, f"cat {STATE}/apps/{APP}/ledger.jsonl") for host in ("edge1", *APP_HOSTS)]
    for text in (first.output, *ledgers):
        assert KEY not in text and app.password not in text
    assert "vault hosts/jwt, key value, version 1" in ledgers[1]

    # Once for each host and version: the same again reads nothing, and is no release.
    before = bao.audit.read_text().count('"secret/data/hosts/jwt"')
    assert not app.deploy().good().changed()
    assert bao.audit.read_text().count('"secret/data/hosts/jwt"') == before
    bao.put("hosts/jwt", value=f"{KEY}-2")
    app.deploy().good()
    assert app.held() == {f"{KEY}-2"}

    audit = app.audit().good()
    for host in APP_HOSTS:
        assert f"{lab.address(host)}  " in audit.output
    assert "not in the stores' logs" not in audit.output

    # What the controller holds opens no value, nor does a login that it made for a host and took itself.
    given = {key: value for key, value in bao.credentials("controller").items() if key != "auth"}
    token = bao.call("POST", "auth/approle/login", given, token="")["auth"]["client_token"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        bao.call("GET", "secret/data/hosts/jwt", token=token)
    with pytest.raises(urllib.error.HTTPError, match="40"):
        bao.call("POST", "auth/approle/role/hosts/secret-id", {}, token=token)
    with pytest.raises(urllib.error.HTTPError, match=r"40\d|500"):
        bao.call("POST", "auth/approle/login", {k: v for k, v in bao.credentials("hosts").items() if k != "auth"}, "")


def test_with_the_store_down_what_runs_restarts_and_the_way_back_is_open(app: App) -> None:
    lab, bao = app.lab, app.bao
    bao.put("hosts/jwt", value=f"{KEY}-3")
    app.deploy().good()
    variables = app.variables()
    bao.seal()
    try:
        assert "the store is sealed" in app.deploy(variables=variables).error()
        lab.shell("app1", f"docker restart $(docker ps -q --filter label=stack.sluice.app={APP})", timeout=120)
        app.run("rollback", variables=variables).good()
        assert app.held() != {f"{KEY}-3"} and len(app.held()) == 1
    finally:
        bao.unseal()


@pytest.mark.parametrize("reader", ["host", "controller"])
def test_a_host_that_never_had_a_version_reads_it_from_the_store(app: App, reader: str) -> None:
    lab, bao = app.lab, app.bao
    # Before, somebody has tried what nobody may: the audit would rightly say so.
    app.begun = time.time()
    policy = CONTROLS + (READS if reader == "controller" else "")
    bao.call("PUT", "sys/policies/acl/controller", {"policy": policy})
    own = app.variables(secrets_from=reader)
    bao.put("hosts/jwt", value=f"{KEY}-old-{reader}")
    app.deploy(variables=own).good()
    older = lab.live()
    number = bao.put("hosts/jwt", value=f"{KEY}-new-{reader}") - 1
    app.deploy(variables=own).good()

    # A rollback reads that version, and not the newest.
    app.forget("app2")
    back = app.run("rollback", variables=own).good()
    assert (
        f"app2: DATABASE_URL from vault secret/hosts/database, version 1; JWT_SECRET from vault secret/hosts/jwt, key value, version {number}"
        in back.output
    )
    assert lab.live() == older and app.held() == {f"{KEY}-old-{reader}"}

    # A host that joins gets the live release's.
    app.run("playbooks/hosts/drain", "-e", "release_host=app2", variables=own).good()
    lab.shell("app2", f"docker rm -f $(docker ps -aq --filter label=stack.sluice.app={APP})", timeout=120)
    app.forget("app2")
    app.run("playbooks/hosts/join", "-e", "release_host=app2", variables=own).good()
    assert app.held() == {f"{KEY}-old-{reader}"}
    app.audit().good()

    # Once the store has it no more, that is said, and nothing changes.
    app.deploy(variables=own).good()
    live = lab.live()
    bao.call("PUT", "secret/destroy/hosts/jwt", {"versions": [number]})
    app.forget("app2")
    refused = app.run("rollback", variables=own)
    assert f"release {older} needs a secret" in refused.error()
    assert "is not there any more" in refused.error() or "its version was deleted" in refused.error()
    assert lab.live() == live and app.held() == {f"{KEY}-new-{reader}"}
    assert KEY not in refused.output
    # Mended with what is current.
    app.deploy(variables=own).good()


def test_a_token_that_ends_in_mid_run(app: App) -> None:
    bao, lab = app.bao, app.lab
    bao.call("PUT", "sys/policies/acl/controller", {"policy": CONTROLS + READS})

    def token(**settings: object) -> dict[str, object]:
        asked = {"policies": ["controller"], "no_default_policy": True, "renewable": False, **settings}
        return {"auth": "token", "token": bao.call("POST", "auth/token/create", asked)["auth"]["client_token"]}

    def ended(given: dict[str, object]) -> bool:
        try:
            bao.call("GET", "secret/metadata/hosts/jwt", token=str(given["token"]))
        except urllib.error.HTTPError as error:
            return error.code == 403
        return False

    # What was read stays read.
    bao.put("hosts/jwt", value=f"{KEY}-short")
    short = token(explicit_max_ttl="5s", ttl="5s")
    app.deploy(variables=app.variables(secrets_from="controller", **short)).good()
    assert ended(short) and app.held() == {f"{KEY}-short"}

    # What was not yet is refused, and the live release is not touched.
    bao.put("hosts/jwt", value=f"{KEY}-later")
    few = token(num_uses=2)
    live = lab.live()
    refused = app.deploy(variables=app.variables(**few))
    assert "auth/approle/role/hosts/role-id: permission denied" in refused.error(), refused.error()
    assert ended(few) and lab.live() == live and app.held() == {f"{KEY}-short"}
