# SPDX-License-Identifier: Apache-2.0
"""How far a rotation is, what a release of before gets, and what a server is told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.postgres import logins
from ansible_collections.sluice.stack.plugins.module_utils.postgres.state import password_matches
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, credentials, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.module_utils.rotation import decide, login, steps

from tests.unit.conftest import app_variables

FAMILY = login.postgres("shop")


class World:
    """A store, a server and a live release, which a rotation changes a step at a time. Any of them may be the last."""

    def __init__(self) -> None:
        self.stored = self.live = "postgresql://shop:first@db/shop"
        self.roles: dict[str, dict[str, Any]] = {"shop": {"login": True, "password": "first"}}
        self.numbers = itertools.count()

    def accepted(self, url: str) -> bool:
        """Whether the server lets in who has this."""
        user, password, _database = login.parts(url)
        role = self.roles.get(user, {"login": False})
        return bool(role["login"] and role["password"] == password)

    def look(self, emergency: bool = False) -> list[str]:
        """What is left."""
        user, password, _database = login.parts(self.stored)
        may = {name: role["login"] for name, role in self.roles.items()}
        held = self.roles.get(user)
        seen = steps.Seen(
            self.stored,
            self.live,
            accepted=bool(held and held["password"] == password),
            enabled=bool(may.get(user)),
            old=FAMILY.old(user, may),
        )
        return steps.remaining(seen, emergency)

    def run(self, until: int = 99, emergency: bool = False) -> list[str]:
        """Do what is left, at most so many steps: one that dies in between has done these."""
        done = []
        made = ""
        for step in self.look(emergency)[:until]:
            if step == steps.CREATE:
                user, _password, _database = login.parts(self.stored)
                new = FAMILY.next(user, {name: role["login"] for name, role in self.roles.items()})
                password = f"made-{next(self.numbers)}"
                self.roles[new] = {"login": False, "password": password}
                made = login.with_login(self.stored, new, password)
            if step == steps.STORE:
                self.stored = made
            if step == steps.ENABLE:
                self.roles[login.parts(self.stored)[0]]["login"] = True
            if step == steps.RELEASE:
                assert self.accepted(self.stored), "a release with a dead password"
                self.live = self.stored
            if step == steps.REVOKE:
                for name in FAMILY.old(login.parts(self.stored)[0], dict.fromkeys(self.roles, True)):
                    self.roles[name] = {"login": False, "password": ""}
            done.append(step)
            if not emergency:
                assert self.accepted(self.live), f"the live release is locked out after {done}"
        return done


def test_a_rotation_from_the_beginning() -> None:
    world = World()
    assert world.run() == ["create", "store", "enable", "release", "revoke"]
    assert login.parts(world.live)[0] == "shop_a"
    assert not world.roles["shop"]["login"]
    world.run()
    assert login.parts(world.live)[0] == "shop_b"
    world.run()
    assert login.parts(world.live)[0] == "shop_a"


@pytest.mark.parametrize("emergency", [False, True])
def test_killed_anywhere_the_next_run_goes_on(emergency: bool) -> None:
    for cuts in itertools.product(range(6), repeat=3):
        world = World()
        world.run()
        before = world.live
        for cut in cuts:
            world.run(cut, emergency)
        while world.look()[0] != steps.CREATE:
            world.run(emergency=emergency)
        world.run()
        assert world.accepted(world.live), cuts
        assert world.live == world.stored != before, cuts
        may = [name for name, role in world.roles.items() if role["login"]]
        assert may == [login.parts(world.live)[0]], cuts


def test_in_an_emergency_the_old_one_ends_before_the_release() -> None:
    world = World()
    assert world.run(emergency=True) == ["create", "store", "enable", "revoke", "release"]


def test_a_rotation_needs_a_release_that_uses_it() -> None:
    with pytest.raises(steps.RotationError, match="the live release does not use it: deploy first"):
        steps.remaining(steps.Seen("one", None, True, True))


def test_an_url_keeps_all_but_its_login() -> None:
    url = "postgresql://shop:p%40ss@db.example.com:5432,db2:5433/shop?sslmode=require&schema=public"
    assert login.parts(url) == ("shop", "p@ss", "shop")
    changed = login.with_login(url, "shop_a", "a/b")
    assert changed == "postgresql://shop_a:a%2Fb@db.example.com:5432,db2:5433/shop?sslmode=require&schema=public"
    assert login.parts(changed) == ("shop_a", "a/b", "shop")


@pytest.mark.parametrize("value", ["hunter2", "", "//[", "postgresql://shop:p@ss[word@db/shop"])
def test_no_part_of_a_wrong_url_is_in_the_message(value: str) -> None:
    with pytest.raises(steps.RotationError) as caught:
        login.postgres("shop").user(value)
    assert "hunter2" not in str(caught.value) and "word" not in str(caught.value).replace("a password", "")


def test_another_user_is_not_rotated() -> None:
    with pytest.raises(steps.RotationError, match="its user is 'admin', which is none of shop, shop_a, shop_b"):
        login.postgres("shop").user("postgresql://admin:x@db/shop")


def test_both_logins_open_and_the_store_has_neither() -> None:
    with pytest.raises(steps.RotationError, match="both shop_a and shop_b may log in"):
        FAMILY.next("shop_a", {"shop_a": True, "shop_b": True})


def test_the_server_gets_a_verifier_of_the_password() -> None:
    made = logins.verifier("correct horse", b"0123456789abcdef")
    assert password_matches("correct horse", made)
    assert not password_matches("wrong horse", made)
    sql = logins.prepare("shop_a", "shop", "shop", made, "")
    assert "correct horse" not in sql and made in sql


def test_names_are_quoted() -> None:
    assert 'alter role "a""b" login' in logins.enable('a"b')
    assert "''" in logins.look(["it's"])


def test_connections_are_counted_by_place() -> None:
    answer = {
        "connections": [
            {"role": "shop_a", "from": "10.0.0.21", "program": "", "since": ""},
            {"role": "shop_a", "from": "10.0.0.21", "program": "", "since": ""},
            {"role": "shop_a", "from": "10.0.0.9", "program": "psql", "since": ""},
            {"role": "shop_b", "from": "10.0.0.21", "program": "", "since": ""},
        ]
    }
    assert logins.in_use(answer, ["shop_a"]) == [
        "shop_a from 10.0.0.21: 2 connections",
        "shop_a from 10.0.0.9 (psql): 1 connection",
    ]


# The release, and the way back.


def rotated_to(fleet: Any, value: str) -> dict[str, Any]:
    """Release the live version with another value of its secret, and record the rotation."""
    before = secret_version("shop", "DATABASE_URL", fleet.variables["app_secrets"]["DATABASE_URL"])
    fleet.variables["app_secrets"]["DATABASE_URL"] = value
    plan: dict[str, Any] = fleet.run("rotation", rotate=["DATABASE_URL"])
    entry = ledger.entry(
        "rotated",
        token=plan["token"] + 1,
        time="2026-11-23T10:00:00Z",
        run={"action": "rotation", "id": f"r{plan['token']}", "who": "ops"},
        manifest=None,
        secrets={"DATABASE_URL": {"version": secret_version("shop", "DATABASE_URL", value), "revoked": [before]}},
    )
    for item in fleet.observed.values():
        item["ledger"] += ledger.to_line(entry)
        item["highest"] = plan["token"] + 1
    return plan


def version_of(manifest: dict[str, Any]) -> str:
    return credentials.versions(manifest)["DATABASE_URL"]


def test_a_rotation_releases_what_is_live_and_nothing_else(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    # What the inventory says by now is not shipped along.
    fleet.version("v9.9.9")
    fleet.variables["app_services"]["backend"]["env"]["LOG_LEVEL"] = "debug"
    for host in fleet.apps:
        fleet.observed[host]["images"] = {}
    plan = rotated_to(fleet, "postgresql://shop_a:other@db/shop")
    assert plan["manifest"]["id"] > first["id"]
    assert plan["changes"] == ["services.backend.secrets.DATABASE_URL"]
    assert plan["migrate"] is None and plan["restore_point"] is None and plan["canary"] is None
    assert plan["lines"][0].startswith("Rotate a secret of shop v1.0.0 as release")
    again = fleet.plan("rotation", rotate=["DATABASE_URL"])
    assert again["status"] == "nothing"


def test_a_rollback_past_two_rotations_gets_the_password_that_counts(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    fleet.version("v1.1.0")
    fleet.run()
    rotated_to(fleet, "postgresql://shop_a:second@db/shop")
    last = rotated_to(fleet, "postgresql://shop_b:third@db/shop")["manifest"]
    plan = fleet.plan("rollback", release_to=first["id"])
    assert plan["manifest"]["id"] == first["id"]
    assert version_of(plan["manifest"]) == version_of(last) != version_of(first)
    assert (
        "  secret     DATABASE_URL: the version of that release was revoked on 2026-11-23; it gets the one that counts now"
        in plan["lines"]
    )
    fleet.execute(plan)


def test_a_rollback_after_a_rotation_goes_to_the_release_before(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    fleet.version("v1.1.0")
    fleet.run()
    rotated_to(fleet, "postgresql://shop_a:second@db/shop")
    # Not to v1.1.0, which with the new password is what is live.
    plan = fleet.run("rollback")
    assert plan["manifest"]["id"] == first["id"]
    with pytest.raises(plans.PlanError, match="every earlier confirmed release was itself rolled back"):
        fleet.plan("rollback")


def test_a_password_that_was_not_revoked_comes_back_with_its_release(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    fleet.variables["app_secrets"]["DATABASE_URL"] = "postgresql://shop:by-hand@db/shop"
    fleet.run()
    plan = fleet.plan("rollback")
    assert version_of(plan["manifest"]) == version_of(first)
    assert not any("secret  " in line for line in plan["lines"])


def test_a_version_that_a_person_made_valid_again_counts(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    old = fleet.variables["app_secrets"]["DATABASE_URL"]
    rotated_to(fleet, "postgresql://shop_a:second@db/shop")
    fleet.variables["app_secrets"]["DATABASE_URL"] = old
    fleet.version("v1.2.0")
    assert version_of(fleet.run()["manifest"]) == version_of(first)
    history = ledger.merge_texts(item["ledger"] for item in fleet.observed.values())
    assert credentials.revoked(history.credentials, first) == {}


def test_what_was_revoked_is_known_after_the_ledger_was_compacted(fleet: Any) -> None:
    first = fleet.run()["manifest"]
    rotated_to(fleet, "postgresql://shop_a:second@db/shop")
    for number in range(1, 9):
        fleet.version(f"v2.{number}.0")
        fleet.run()
    text = fleet.observed["app1"]["ledger"]
    compacted = compaction.compact(ledger.from_lines(text), 2)
    assert len(compacted) < len(ledger.from_lines(text)) or any(item["event"] == ledger.MARK for item in compacted)
    history = ledger.merge([compacted])
    assert version_of(first) in history.credentials["DATABASE_URL"]["revoked"]


def test_without_a_live_release_there_is_nothing_to_rotate(fleet: Any) -> None:
    with pytest.raises(plans.PlanError, match="no release is live"):
        fleet.plan("rotation", rotate=["DATABASE_URL"])


# Proofs before the old one ends.


def observed(*releases: str) -> dict[str, Any]:
    return {"app1": {"containers": [{"release": one, "service": "backend"} for one in releases], "workers": []}}


def test_an_old_container_keeps_its_login() -> None:
    old = {"id": "r1", "app": "shop", "services": {"backend": {"secrets": {"DATABASE_URL": "old"}}}}
    history = ledger.History([])
    history.manifests = {"r1": old}
    app = decide.Fleet(history, old, observed("r1"))
    with pytest.raises(steps.RotationError, match="app1 has backend of r1"):
        decide.require_gone("DATABASE_URL", "new", app)
    decide.require_gone("DATABASE_URL", "new", decide.Fleet(history, old, observed()))


def decided(fleet: Any, value: str, found: dict[str, Any], **how: bool) -> decide.Decision:
    """What a run does about the database's URL on a fleet."""
    app = decide.fleet(fleet.edges, [*fleet.edges, *fleet.apps], fleet.observed)
    how = {"emergency": False, "after": False} | how
    return decide.logins("DATABASE_URL", FAMILY, value, found, app, "made", **how)


def test_a_run_that_died_before_the_old_slot_was_stopped_is_gone_on_with(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_secrets"]["DATABASE_URL"] = url = "postgresql://shop_a:second@db/shop"
    fleet.execute(fleet.plan("rotation", rotate=["DATABASE_URL"]), steps=("start", "flip"))
    found = {"logins": {"shop": True, "shop_a": True}, "accepted": True, "seen": {}, "in_use": {}}
    # Before the release, which repairs that, nothing stands in the way; after it, the old container would.
    assert decided(fleet, url, found).steps == ["revoke"]
    with pytest.raises(steps.RotationError, match="app1 has backend of"):
        decided(fleet, url, found, after=True)
    assert decided(fleet, url, found, after=True, emergency=True).steps == ["revoke"]


def test_after_the_release_nothing_new_is_begun(fleet: Any) -> None:
    fleet.variables["app_secrets"]["DATABASE_URL"] = url = "postgresql://shop_a:second@db/shop"
    fleet.run()
    found = {"logins": {"shop": False, "shop_a": True}, "accepted": True, "seen": {}, "in_use": {}}
    assert decided(fleet, url, found).steps[0] == "create"
    assert decided(fleet, url, found, after=True).steps == []
    assert decided(fleet, url, found, after=True).new == "shop_a"


def test_an_emergency_does_not_claim_to_end_the_user_of_the_server_itself(fleet: Any) -> None:
    url, family = "redis://:leaked@cache:6379/0", login.redis("shop")
    fleet.variables["app_secrets"]["DATABASE_URL"] = url
    fleet.run()
    app = decide.fleet(fleet.edges, [*fleet.edges, *fleet.apps], fleet.observed)
    found = {"logins": {"default": True}, "accepted": True, "seen": {}, "in_use": {}}
    with pytest.raises(
        steps.RotationError, match="its user 'default' is the server's own, which a rotation does not end"
    ):
        decide.logins("DATABASE_URL", family, url, found, app, "made", emergency=True, after=False)
    assert decide.logins("DATABASE_URL", family, url, found, app, "made", emergency=False, after=False).new == "shop_a"


def test_a_host_that_is_silent_stops_it() -> None:
    with pytest.raises(steps.RotationError, match="app2 cannot be reached, and may hold what has to be replaced"):
        decide.fleet(["edge1"], ["edge1", "app1", "app2"], {"edge1": {}, "app1": {}})


# The contract.


@pytest.mark.parametrize(
    ("rotations", "secret", "message"),
    [
        ({"DATABASE_URL": {}}, {"vault": "a"}, "app_rotations.DATABASE_URL.kind is missing"),
        (
            {"DATABASE_URL": {"kind": "postgre"}},
            {"vault": "a"},
            "app_rotations.DATABASE_URL.kind is 'postgre': did you mean 'postgres'?",
        ),
        ({"DATABASE_URL": {"kind": "postgres"}}, {"vault": "a"}, "app_rotations.DATABASE_URL.role is missing"),
        (
            {"DATABASE_URL": {"kind": "postgres", "role": "shop"}},
            "postgresql://shop:hunter2@db/shop",
            "app_rotations.DATABASE_URL is kept in the inventory, where a rotation cannot write: keep it in vault, aws or sops",
        ),
        (
            {"DATABASE_URL": {"kind": "postgres", "role": "shop"}},
            {"env": "DATABASE_URL"},
            "app_rotations.DATABASE_URL is kept in env, where a rotation cannot write: keep it in vault, aws or sops",
        ),
        (
            {"DATABASE_URL": {"kind": "postgres", "role": "shop"}},
            {"vault": "a", "version": 3},
            "app_rotations.DATABASE_URL names a version, and a rotation writes a new one: take version or stage out",
        ),
        (
            {"DATABASE_URL": {"kind": "signing_key", "previous": "OLD_KEY"}},
            {"vault": "a"},
            "app_rotations.DATABASE_URL.previous is OLD_KEY, which no service lists: known: DATABASE_URL",
        ),
        (
            {"DATABASE_URL": {"kind": "redis", "role": "shop"}},
            {"vault": "a"},
            "app_rotations.DATABASE_URL.role is not known",
        ),
        (
            {"DATABASE_URI": {"kind": "postgres", "role": "shop"}},
            {"vault": "a"},
            "app_rotations.DATABASE_URI is a secret that no service lists: did you mean 'DATABASE_URL'?",
        ),
    ],
)
def test_a_wrong_rotation_is_refused(rotations: Any, secret: Any, message: str) -> None:
    variables = app_variables(
        app_secrets={"DATABASE_URL": secret},
        app_rotations=rotations,
        app_secret_sources={"vault": {"url": "https://bao", "token": "t"}},
    )
    with pytest.raises(contracts.ContractError) as caught:
        contracts.resolve(variables)
    assert str(caught.value).startswith(message)
