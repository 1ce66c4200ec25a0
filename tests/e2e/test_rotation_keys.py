# SPDX-License-Identifier: Apache-2.0
"""Keys change while everything runs: one that signs what people hold, and one that a command makes at a provider, a real OpenBao."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e.test_no_dropped_request import asks
from tests.e2e.test_rotation import Rotated
from tests.support.lab import APP, HOSTS, INVENTORY, STATE, Lab
from tests.support.load import Load
from tests.support.playbook import REPO, Started
from tests.support.process_watch import CONTROLLER, Watch, files_with
from tests.support.stores import Bao, Stores
from tests.support.visitor import Visitor, Watching, signed_by

pytestmark = pytest.mark.soak

SIGNS, OTHER, API_KEY = "JWT_SECRET", "JWT_SECRET_PREVIOUS", "PAYMENT_KEY"
FIRST = "the first key of this test, long enough"


class Keys(Rotated):
    """The reference app with the keys in OpenBao, too."""

    label: ClassVar = {"key": f"{APP}-lab-{API_KEY}"}

    def __init__(self, lab: Lab, bao: Bao, values: dict[str, str]) -> None:
        super().__init__(lab, bao, values)
        variables = json.loads(self.variables)
        app = yaml.safe_load((REPO / INVENTORY / "group_vars/all/app.yml").read_text())
        app["app_services"]["backend"]["secrets"] += [OTHER, API_KEY]
        variables["app_services"] = app["app_services"]
        for name, path in ((SIGNS, "signs"), (OTHER, "other"), (API_KEY, "payments")):
            variables["app_secrets"][name] = {"vault": f"marketplace/{path}", "key": "url"}
        variables["app_rotations"] |= {
            SIGNS: {"kind": "signing_key", "previous": OTHER, "verify_hours": 1},
            API_KEY: {"kind": "command", "command": [str(REPO / "tests/support/bao_keys.py")], "wait_seconds": 2},
        }
        self.variables = json.dumps(variables)

    def start(self, playbook: str, *extra: str, environ: dict[str, str] | None = None) -> Started:
        provider = {"BAO_ADDR": self.bao.url, "BAO_CACERT": str(self.bao.ca), "BAO_TOKEN": self.bao.token}
        return super().start(playbook, *extra, environ={**provider, **(environ or {})})

    def reset(self) -> None:
        self.bao.put("marketplace/signs", url=FIRST)
        self.bao.put("marketplace/other", url=FIRST)
        made = self.bao.call("POST", "auth/token/create", {"meta": self.label, "policies": ["default"]})
        self.bao.put("marketplace/payments", url=made["auth"]["client_token"])
        super().reset()

    def changed(self, **rotation: Any) -> tuple[str, str]:
        """Options that change the entry of the key that signs."""
        entries = json.loads(self.variables)["app_rotations"]
        return "-e", json.dumps({"app_rotations": {**entries, SIGNS: {**entries[SIGNS], **rotation}}})

    def works(self, key: str) -> bool:
        """Whether the provider takes a key."""
        try:
            self.bao.call("GET", "auth/token/lookup-self", token=key)
        except OSError:
            return False
        return True

    def working(self) -> int:
        """How many keys of the app the provider has."""
        found = 0
        for accessor in self.bao.call("LIST", "auth/token/accessors")["data"]["keys"]:
            about = self.bao.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            found += about["meta"] == self.label
        return found

    def has(self, name: str) -> str:
        """The value that the live backend got."""
        live = self.lab.live()
        container = next(
            item["id"]
            for item in self.lab.containers("app1").values()
            if item["release"] == live and item["service"] == "backend"
        )
        env = json.loads(self.lab.on("app1", "docker", "inspect", container))[0]["Config"]["Env"]
        return next(line.partition("=")[2] for line in env if line.startswith(f"{name}="))


@pytest.fixture(scope="module")
def app(lab: Lab, v1_0_0: str, secret_stores: Stores) -> Iterator[Keys]:
    """The lab has its own secrets afterwards."""
    app = Keys(lab, secret_stores.bao, lab.secrets())
    app.reset()
    yield app
    app.end()


def test_a_key_that_signs_is_rotated_and_nobody_notices(app: Keys) -> None:
    visitor = Visitor(app.lab)
    assert signed_by(visitor.receipt, FIRST)
    with Load(app.lab.url, *asks(app.lab), rate=60, seconds=600) as load, Watching(visitor):
        told = app.rotate(secret=SIGNS).good()
        assert "announce" in told.output
        new = app.stored("other")
        assert app.stored("signs") == FIRST != new
        # All believe it before any signs with it.
        assert signed_by(visitor.book()[1], FIRST)
        assert "sign " in app.rotate(secret=SIGNS).good().output
        assert (app.stored("signs"), app.stored("other")) == (new, FIRST)
        later = visitor.book()
        assert signed_by(later[1], new)
        waiting = app.rotate(secret=SIGNS).good()
        assert "wait " in waiting.output and "UTC: run it again then" in waiting.output
    assert load.report.failed == 0, str(load.report)
    assert visitor.believed()

    app.rotate(*app.changed(verify_hours=0), secret=SIGNS).good()
    assert (app.stored("signs"), app.stored("other")) == (new, new)
    # The control: what the old key signed ends here, and only that.
    assert not visitor.believed()
    assert visitor.believed(*later)
    assert visitor.signed_in(), "sessions are in the database"


def test_in_an_emergency_what_the_old_key_signed_ends_at_once(app: Keys) -> None:
    visitor = Visitor(app.lab)
    before = app.stored("signs")
    told = app.rotate("-e", "emergency=true", "--check", secret=SIGNS).good()
    assert app.stored("signs") == before and visitor.believed()
    assert "breaks" in told.output and "log in again" in told.output, told.output
    app.rotate("-e", "emergency=true", secret=SIGNS).good()
    assert app.stored("signs") == app.stored("other") != before
    assert not visitor.believed()
    assert signed_by(visitor.book()[1], app.stored("signs"))


def test_a_providers_key_is_made_and_ended_by_a_command(app: Keys) -> None:
    before = app.stored("payments")
    with Load(app.lab.url, *asks(app.lab), rate=60, seconds=300) as load:
        run = app.rotate("-vvv", "--diff", secret=API_KEY).good()
    assert load.report.failed == 0, str(load.report)
    new = app.stored("payments")
    assert app.has(API_KEY) == new != before
    assert app.works(new) and not app.works(before)
    assert app.working() == 1
    assert [key for key in (before, new) if key in run.output] == []


@pytest.mark.parametrize("moment", ["start:Rotation | Store the new value", "start:Rotation | Revoke it"])
def test_a_rotation_by_a_command_that_was_killed_is_gone_on_with(app: Keys, moment: str) -> None:
    before, count = app.stored("payments"), app.working()
    cut = app.start("playbooks/secrets/rotate", "-e", f"secret={API_KEY}", environ={"SLUICE_KILL": moment}).wait(240)
    assert cut.code == -signal.SIGKILL, str(cut)
    # The control: there is a key too many.
    assert app.working() == count + 1
    app.rotate("-e", "release_wait_seconds=90", secret=API_KEY).good()
    assert app.works(app.stored("payments")) and app.has(API_KEY) == app.stored("payments")
    assert app.working() == 1
    if app.stored("payments") == before:
        # A key that nobody stored was ended; this is the rotation.
        app.rotate(secret=API_KEY).good()
    assert not app.works(before)
    assert app.working() == 1


def test_in_an_emergency_the_providers_old_key_ends_first(app: Keys) -> None:
    before = app.stored("payments")
    app.rotate("-e", "emergency=true", secret=API_KEY).good()
    assert app.works(app.stored("payments")) and not app.works(before)
    assert app.has(API_KEY) == app.stored("payments")
    assert app.working() == 1


def test_a_command_that_fails_changes_nothing(app: Keys) -> None:
    before = app.stored("payments")
    run = app.start("playbooks/secrets/rotate", "-e", f"secret={API_KEY}", environ={"BAO_CACERT": os.devnull}).wait(240)
    assert "bao_keys.py list: exit code 1" in run.error()
    assert before not in run.output
    assert app.stored("payments") == before and app.works(before)


def test_no_value_is_where_it_does_not_belong(app: Keys) -> None:
    everything = {"DATABASE_URL": "database", "REDIS_URL": "cache", API_KEY: "payments", SIGNS: "other"}
    # What provisioning set is in the servers' own files; from here on all are made by rotations.
    for secret in ("DATABASE_URL", "REDIS_URL"):
        app.rotate(secret=secret).good()

    def values() -> list[str]:
        return [urlsplit(app.stored(path)).password or app.stored(path) for path in everything.values()]

    planted, before, begin = uuid.uuid4().hex, values(), time.time()
    with Watch(*HOSTS) as watch:
        outputs = [app.rotate("-vvv", "--diff", secret=secret).good().output for secret in everything]
        watch.plant(planted)
    secrets = {*before, *values()}
    assert len(secrets) == 2 * len(everything)

    assert watch.having(*secrets) == set()
    found = watch.having(planted)
    # The control: it was looked everywhere.
    for host in (*HOSTS, CONTROLLER):
        assert f"{host}: arguments" in found
        assert any(where.startswith(f"{host}: environment of sleep") for where in found), found
    for output in outputs:
        assert [secret for secret in secrets if secret in output] == []
    for host in HOSTS:
        journal = app.lab.on(host, "journalctl", "--no-pager", "--since", f"@{begin:.0f}", "-o", "json")
        assert [secret for secret in secrets if secret in journal] == []
    # On disk: what the engine needs to start the containers again, and what a rollback needs where nothing encrypts it.
    belongs = re.compile(
        r"/var/lib/docker/containers/\w+/config\.v2\.json"
        r"|/run/containerd/io\.containerd\.runtime\.v2\.task/moby/\w+/config\.json"
        r"|/var/lib/containerd/io\.containerd\.metadata\.v1\.bolt/meta\.db"
        rf"|{STATE}/apps/{APP}/secrets/[^/]+(?<!\.cred)"
    )
    kept = {host: files_with(host, *secrets) for host in (*HOSTS, CONTROLLER)}
    assert {host: [path for path in paths if not belongs.fullmatch(path)] for host, paths in kept.items()} == {
        host: [] for host in kept
    }
    for host in HOSTS:
        for path in kept[host]:
            may = app.lab.shell(host, f"runuser -u nobody -- test -r '{path}' && echo yes", check=False)
            assert may == "", f"{host}: anybody may read {path}"
    # The control: it was searched.
    assert any("config.v2.json" in path for path in kept["app1"])
