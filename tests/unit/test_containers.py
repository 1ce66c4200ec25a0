# SPDX-License-Identifier: Apache-2.0
"""Containers are hardened, bounded, labelled, and get their secrets in the environment alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import one_off
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import slot_containers


@pytest.fixture
def manifest(fleet: Any) -> dict[str, Any]:
    """A planned release with two replicas of its backend."""
    fleet.variables["app_services"]["backend"] |= {"replicas": 2, "cpus": 1.5, "capabilities": ["NET_BIND_SERVICE"]}
    return dict(fleet.plan()["manifest"])


SECRETS = {"DATABASE_URL": "postgresql://shop:hunter2@db/shop"}


def test_there_is_a_container_for_each_replica_with_its_own_port(manifest: dict[str, Any]) -> None:
    found = slot_containers(manifest, "green", "10.0.0.21", SECRETS)
    release = manifest["id"]
    assert [item["name"] for item in found] == [
        f"shop-backend-{release}-green-0",
        f"shop-backend-{release}-green-1",
        f"shop-frontend-{release}-green-0",
    ]
    published = [item["publish"] for item in found]
    assert {item["address"] for item in published} == {"10.0.0.21"}, (
        "nothing is published wider than the private address"
    )
    assert [item["host_port"] for item in published] == [
        *manifest["ports"]["backend"]["green"],
        *manifest["ports"]["frontend"]["green"],
    ]


def test_a_host_may_have_one_release_in_both_slots(manifest: dict[str, Any]) -> None:
    """It was given up, and what went live meanwhile is what it still has, in the other slot."""
    blue, green = (
        {item["name"] for item in slot_containers(manifest, slot, "", SECRETS)} for slot in ("blue", "green")
    )
    assert not blue & green


def test_a_container_can_do_as_little_as_possible(manifest: dict[str, Any]) -> None:
    for item in slot_containers(manifest, "blue", "10.0.0.21", SECRETS):
        host = item["host"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["Init"] is True
        assert host["Memory"] == 512 * 2**20
        assert host["PidsLimit"] == 512
        assert host["Tmpfs"] == {"/tmp": "rw,noexec,nosuid,size=64m"}
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
        assert "Privileged" not in host


def test_what_a_service_asks_for_is_given(manifest: dict[str, Any]) -> None:
    backend, _, frontend = slot_containers(manifest, "blue", "10.0.0.21", SECRETS)
    assert backend["host"]["CapAdd"] == ["NET_BIND_SERVICE"]
    assert backend["host"]["NanoCpus"] == 1_500_000_000
    assert frontend["host"]["CapAdd"] == []
    assert "NanoCpus" not in frontend["host"]


def test_secrets_are_in_the_environment_of_the_service_that_names_them_and_nowhere_else(
    manifest: dict[str, Any],
) -> None:
    for item in slot_containers(manifest, "blue", "10.0.0.21", SECRETS):
        environment = item.pop("environment")
        assert ("DATABASE_URL" in environment) == (item["labels"]["stack.sluice.service"] == "backend")
        assert "hunter2" not in str(item)


def test_labels_say_what_a_container_is(manifest: dict[str, Any]) -> None:
    assert slot_containers(manifest, "blue", "10.0.0.21", SECRETS)[1]["labels"] == {
        "stack.sluice.app": "shop",
        "stack.sluice.service": "backend",
        "stack.sluice.slot": "blue",
        "stack.sluice.release": manifest["id"],
        "stack.sluice.replica": "1",
    }


def test_a_one_off_command_is_as_hardened_publishes_nothing_and_is_in_no_slot(manifest: dict[str, Any]) -> None:
    item = one_off.wanted(manifest, "backend", "shop-migration", ["true"], "green", SECRETS)
    assert item["host"] == slot_containers(manifest, "green", "10.0.0.21", SECRETS)[0]["host"]
    assert item["network"] == "sluice-shop-green"
    assert item["command"] == ["true"]
    assert "publish" not in item
    assert "stack.sluice.slot" not in item["labels"]
