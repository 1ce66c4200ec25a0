# SPDX-License-Identifier: Apache-2.0
"""Bad input gets one clear line and a non-zero exit, before anything changes."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator

import pytest

from tests.support.images import Variants
from tests.support.lab import APP, APP_HOSTS, REGISTRY, STATE, Lab
from tests.support.playbook import Run


@contextlib.contextmanager
def nothing_changes(lab: Lab) -> Iterator[None]:
    """What is live, and all that is recorded, is after the block as it was before."""
    before = lab.state()
    yield
    assert lab.state() == before


@contextlib.contextmanager
def reverted(lab: Lab, hosts: tuple[str, ...], do: str, undo: str) -> Iterator[None]:
    """Break something on hosts, and mend it."""
    for host in hosts:
        lab.shell(host, do)
    try:
        yield
    finally:
        for host in hosts:
            lab.shell(host, undo)


def one_line(run: Run) -> str:
    """The run's only error; it fits on a line, and no step that changes anything ran."""
    message = run.error()
    assert "\n" not in message, message
    for step in ("Migrate | Apply", "Start | Bring", "Configure | Write", "Flip | Send", "Retire | Record"):
        assert run.ran(step) == set(), f"{step} ran"
    return message


def test_a_version_that_is_not_there(lab: Lab, v1_0_0: str) -> None:
    with nothing_changes(lab):
        message = one_line(lab.deploy("v9.9.9"))
    assert f"{APP}/backend:v9.9.9: not found in registry" in message
    assert "check app_version" in message


def test_a_registry_that_is_down(lab: Lab, v1_0_0: str) -> None:
    with (
        reverted(lab, ("store1",), "systemctl stop docker-registry", "systemctl start docker-registry"),
        nothing_changes(lab),
    ):
        message = one_line(lab.deploy("v1.1.0"))
    assert f"registry {REGISTRY} cannot be reached from this host" in message


LOST = "OUTPUT -p tcp --dport 5000 -j DROP"
MUTE = "systemctl kill docker-registry --signal"  # stopped, it still accepts connections, and says nothing


@pytest.mark.parametrize(
    ("hosts", "do", "undo"),
    [
        pytest.param(APP_HOSTS, f"iptables -I {LOST}", f"iptables -D {LOST}", id="no way there"),
        pytest.param(("store1",), f"{MUTE}=STOP", f"{MUTE}=CONT", id="accepts and says nothing"),
    ],
)
def test_a_registry_that_hangs(lab: Lab, v1_0_0: str, hosts: tuple[str, ...], do: str, undo: str) -> None:
    with reverted(lab, hosts, do, undo), nothing_changes(lab):
        # Far less than the engine's own patience; a run that does not end is killed and fails.
        message = one_line(
            lab.playbook("deploy", "-e", "app_version=v1.1.0", "-e", "release_registry_seconds=2", timeout=60)
        )
    assert f"registry {REGISTRY} timed out" in message


def test_wrong_credentials(lab: Lab, v1_0_0: str) -> None:
    path = "/root/.docker/config.json"
    wrong = json.dumps({"auths": {REGISTRY: {"auth": "bWFya2V0cGxhY2U6d3Jvbmc="}}})
    spoil = f"cp -p {path} {path}.kept && printf '%s' '{wrong}' > {path}"
    with reverted(lab, APP_HOSTS, spoil, f"mv {path}.kept {path}"), nothing_changes(lab):
        message = one_line(lab.deploy("v1.1.0"))
    assert f"registry {REGISTRY} rejected the credentials" in message
    assert "docker_host_registries" in message


def test_too_little_disk_for_an_image_that_must_be_pulled(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-unpulled", ["never", uuid.uuid4().hex])
    with nothing_changes(lab):
        message = one_line(lab.deploy(tag, "-e", "app_disk_free=900t"))
    # Whether the registry's sizes add something to that depends on the layers the host has.
    assert "921600.0 GiB" in message and "app_disk_free" in message
    assert any(host in message for host in APP_HOSTS)
    # The control: an image that is on the disk needs no room. (It is the live one: nothing to do.)
    lab.deploy("v1.0.0", "-e", "app_disk_free=900t").good()


def test_two_apps_with_one_port(lab: Lab, v1_0_0: str) -> None:
    held = json.loads(lab.shell("app2", f"cat {STATE}/ports.json"))
    port = held[f"{APP}/backend/blue/0"]
    clash = json.dumps({**{key: value for key, value in held.items() if value != port}, "other/web/blue/0": port})
    spoil = f"cp -p {STATE}/ports.json {STATE}/ports.kept && printf '%s' '{clash}' > {STATE}/ports.json"
    with reverted(lab, ("app2",), spoil, f"mv {STATE}/ports.kept {STATE}/ports.json"):
        before = lab.state()
        message = one_line(lab.deploy("v1.1.0"))
        assert lab.state() == before
    assert f"port {port} " in message
    assert "other/web/blue/0" in message
    assert f"{APP}/backend/blue/0" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-e", "app_drain_secs=3"], "did you mean 'app_drain_seconds'?"),
        (["--limit", "app1"], "--limit app1 would deploy on a part of the fleet"),
    ],
    ids=["misspelt", "limit"],
)
def test_a_command_line_that_cannot_be_meant(lab: Lab, v1_0_0: str, options: list[str], words: str) -> None:
    """One of each kind that is found out without a host; all of them are in tests/contract/test_contract_messages.py."""
    before = lab.record()
    run = lab.deploy("v1.1.0", *options)
    assert words in one_line(run)
    assert run.ran("Fence | Take") == set()
    assert lab.record() == before


def test_steps_that_were_jumped_over_are_not_made_up_for(lab: Lab, v1_0_0: str) -> None:
    # Ansible skips the tasks that would have refused the option. What comes after has neither plan nor token.
    with nothing_changes(lab):
        run = lab.deploy("v1.1.0", "--start-at-task", "Start | Bring*")
        later = lab.deploy("v1.1.0", "--start-at-task", "Plan | Decide*")
    assert 'No matching task "Start | Bring*" found' in run.output, "steps are the plan's to begin"
    assert later.code != 0
    assert run.changed() == later.changed() == {}
