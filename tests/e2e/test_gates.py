# SPDX-License-Identifier: Apache-2.0
"""A deploy whose gates do not pass changes nothing; a waiver lets it go and stays in the history; a rollback is never gated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import cosign
from tests.support.images import Variants
from tests.support.lab import QUICK, Lab, until

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def shut() -> dict[str, Any]:
    """A window that is not open, today or tomorrow."""
    day = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    return {"window": {"days": [day], "from": "00:00", "to": "24:00"}}


def gated(*gates: Any, **more: Any) -> tuple[str, ...]:
    """Another release of the live version, without a pull or a migration, with these gates; as options."""
    return (
        *QUICK,
        "-e",
        json.dumps(
            {"app_gates": gates, "app_extra": {"banner": "gated"}, "app_backup": {"restore_point": False}, **more}
        ),
    )


@pytest.fixture
def unsigned(lab: Lab, v1_0_0: str, variant: Variants) -> Iterator[Variants]:
    """Nobody signed the images of v1.0.0, before and after."""
    variant.unsign("v1.0.0")
    yield variant
    variant.unsign("v1.0.0")


def refused(lab: Lab, *options: str) -> str:
    """The error of a deploy that took nothing and changed nothing."""
    before = lab.state()
    run = lab.deploy("v1.0.0", *options)
    message = run.error()
    assert run.ran("Fence | Take") == set(), "the lease was asked for"
    assert lab.state() == before
    assert message.startswith("deploy refused: gate ")
    return message


def test_gates_refuse_before_any_change_and_a_waiver_is_kept(lab: Lab, v1_0_0: str, unsigned: Variants) -> None:
    key = cosign.new_key()
    options = gated(shut(), "backup", "rollback_target", "capacity", app_signature={"keys": [cosign.public(key)]})
    first, second = refused(lab, *options).split("\n")
    assert first.startswith("deploy refused: gate window failed: ")
    assert "gate signature failed: image " in second and "is not signed" in second
    # A waiver of one is none of the other.
    waived = (*options, "-e", "gate_waive='window: a test'")
    assert refused(lab, *waived).startswith("deploy refused: gate signature failed: image ")
    unsigned.sign("v1.0.0", key)
    run = lab.deploy("v1.0.0", *waived).good()
    assert "  gate       window: WAIVED: " in run.output
    assert "  gate       signature: 2 images, by digest" in run.output
    assert lab.live() != v1_0_0
    assert lab.ask("/api/version").json()["banner"] == "gated"
    assert set(lab.leases().values()) == {None}
    history = lab.playbook("playbooks/app/history", "-e", "history_runs=1").good().output
    assert "gate window waived by " in history and ": a test (" in history
    # The same gates still do not pass, and nothing of that stands in the way back.
    lab.rollback(*options).good()
    assert lab.live() == v1_0_0


@pytest.mark.soak
def test_signatures_that_do_not_count(lab: Lab, v1_0_0: str, unsigned: Variants) -> None:
    key, other = cosign.new_key(), cosign.new_key()
    options = gated(app_signature={"keys": [cosign.public(key)]})
    assert "is not signed" in refused(lab, *options)
    unsigned.sign("v1.0.0", other)
    assert "is signed, but by none of app_signature.keys" in refused(lab, *options)
    lab.on("store1", "systemctl", "stop", "docker-registry")
    try:
        message = refused(lab, *options)
    finally:
        lab.on("store1", "systemctl", "start", "docker-registry")
        until(lambda: unsigned.unsign("v1.0.0") or True, 20, "the registry answers again")
    assert "gate signature is not proved: image " in message and "cannot be reached from this host" in message


@pytest.mark.soak
def test_checklists_say_what_is_true(lab: Lab, v1_0_0: str, tmp_path: Any) -> None:
    before = lab.state()
    path = tmp_path / "checks.json"
    options = ("-e", "checklist=post-deploy", "-e", f"checklist_json={path}", "-e", "app_version=v1.0.0")
    assert (
        lab.playbook("playbooks/checks/checklist", *options).error()
        == "checklist post-deploy: 1 of 6 do not pass: alerts"
    )
    states = {one["name"]: one["state"] for one in json.loads(path.read_text())["checks"]}
    assert states.pop("alerts") == "unknown"
    assert set(states.values()) == {"ok"}
    waived = (*options, "-e", "gate_waive='alerts: the lab has none'")
    lab.playbook("playbooks/checks/checklist", *waived).good()
    # The control: another version is not live.
    message = lab.playbook("playbooks/checks/checklist", *waived, "-e", "app_version=v1.1.0").error()
    assert message == "checklist post-deploy: 1 of 6 do not pass: live"
    assert lab.state() == before
