# SPDX-License-Identifier: Apache-2.0
"""A printed plan says what will happen to which container, edge and image, and how what is there differs from what should be."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge.changes import reasons
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import UNSERVED
from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError

MIB = 2**20
BACKEND, FRONTEND = "registry.test:5000/shop/backend", "registry.test:5000/shop/frontend"


def reported(fleet: Any, step: str, action: str = "deploy") -> list[str]:
    """What the plan says of a step."""
    lines = fleet.plan(action)["lines"]
    return [line[13:] for line in lines[1:] if line.startswith(f"  {step:<10} ")]


def heard(fleet: Any, version: str, **layers: int) -> None:
    """All hosts read the layers of both images in the registry; those of ``common`` are in both."""
    for host in fleet.apps:
        for image in (BACKEND, FRONTEND):
            mine = {
                key: size
                for key, size in layers.items()
                if key.startswith(("common", image.rsplit("/", maxsplit=1)[-1]))
            }
            reference = f"{image}:{version}"
            digest = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
            fleet.observed[host]["images"][reference] = {"digest": digest, "size": sum(mine.values()), "layers": mine}


# containers


def test_it_says_which_containers_stop_where_and_which_visitors_move(fleet: Any) -> None:
    first = fleet.run()["manifest"]["id"]
    fleet.version("v1.1.0")
    assert reported(fleet, "retire") == [
        f"{host}: stop backend, frontend of {first} in blue, once it has drained" for host in ("app1", "app2")
    ]
    assert reported(fleet, "flip") == [
        "edge1: all requests from blue to green; reverts automatically unless confirmed, or when it fails visitors within 10 s"
    ]


def test_it_says_what_is_cleared_out_of_the_slot_first(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    crashed = fleet.plan()
    fleet.execute(crashed, steps=("start",))
    starts = reported(fleet, "start")
    assert starts[0].startswith(f"app1: clear backend, frontend of {crashed['manifest']['id']}, backend on port 20587")


@pytest.mark.parametrize(
    ("change", "summary"),
    [
        (None, "backend is missing"),
        ({"state": "exited"}, "backend has exited"),
        ({"state": "starting"}, "backend never became healthy"),
        ({"healthy": False}, "backend is running but unhealthy"),
        ({"release": "20261101T000000Z-v0.9"}, "backend is of release 20261101T000000Z-v0.9"),
        ({"service": "old"}, "backend is missing; old of release {live} does not belong on this host"),
    ],
)
def test_drift_is_told_container_by_container(fleet: Any, change: dict[str, Any] | None, summary: str) -> None:
    live = fleet.run()["manifest"]["id"]
    held = fleet.observed["app2"]["containers"]
    backend = next(item for item in held if item["service"] == "backend")
    if change is None:
        held.remove(backend)
    else:
        backend |= change
    expected = [f"app2: {summary.format(live=live)}"]
    assert reported(fleet, "drift") == expected, "in a repair, or with nothing to do"
    fleet.version("v1.1.0")
    assert reported(fleet, "drift") == expected, "and in a deploy"


def test_a_whole_fleet_has_no_drift(fleet: Any) -> None:
    fleet.run()
    assert reported(fleet, "drift") == []


# edges


def test_it_says_which_edge_has_what_instead_of_the_live_release(fleet: Any) -> None:
    fleet.edges.append("edge2")
    fleet.add("edge2")
    first = fleet.run()
    fleet.version("v1.1.0")
    second = fleet.run()["manifest"]["id"]
    fleet.confirm("edge2", first["manifest"]["id"], "blue", first["token"])
    assert reported(fleet, "converge") == [
        f"edge2 from release {first['manifest']['id']} in blue to release {second} in green, which another edge confirmed"
    ]


def test_the_reload_says_why(fleet: Any) -> None:
    assert reported(fleet, "configure") == ["edge1: the app is new on this edge; one reload of Nginx"]
    before = fleet.run()["edge_config"]
    fleet.apps.append("app3")
    fleet.add("app3")
    assert reported(fleet, "configure") == ["edge1: app3 joins; one reload of Nginx"]
    after = fleet.run()["edge_config"]
    assert reasons(after, before, {"10.0.0.23": "app3"}) == ["app3 leaves"]
    fleet.observed["edge1"]["edge"]["config"] = after.replace("keepalive 32", "keepalive 64")
    assert reported(fleet, "configure") == [
        "edge1: its text differs: changed by hand, or by another version of the collection; one reload of Nginx"
    ]
    fleet.observed["edge1"]["edge"]["config"] = after + UNSERVED
    assert reported(fleet, "configure") == ["edge1: a run died before Nginx confirmed it; one reload of Nginx"]


def test_the_reload_names_routes_and_services_that_change(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_routes"] = [
        {"path": "/", "service": "frontend"},
        {"path": "/api", "service": "frontend"},
        {"path": "/new", "service": "backend", "host": "shop.test"},
    ]
    fleet.variables["app_services"]["backend"]["replicas"] = 2
    assert reported(fleet, "configure") == [
        "edge1: backend in green has other hosts or ports; route shop.test/ is new; route shop.test/api/ is new; "
        "route shop.test/new/ is new; route /api/ changes; one reload of Nginx"
    ]


def test_no_reload_has_no_reason(fleet: Any) -> None:
    text = fleet.run()["edge_config"]
    assert reasons(text, text, {}) == []


# images


def test_a_pull_is_told_with_its_size_and_the_room_there_is(fleet: Any) -> None:
    heard(fleet, "v1.0.0", common=20 * MIB, backend=10 * MIB, frontend=5 * MIB)
    start = reported(fleet, "start")[0]
    assert start.startswith("app1: pull 2 images (35.0 MiB; 50.0 GiB free), "), "a shared layer travels once"


def test_a_release_remembers_its_size_for_the_day_it_is_gone_back_to(fleet: Any) -> None:
    heard(fleet, "v1.0.0", common=20 * MIB, backend=10 * MIB, frontend=5 * MIB)
    fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    for host in fleet.apps:
        fleet.observed[host]["images_present"] = []
    start = reported(fleet, "start", "rollback")[0]
    assert start.startswith("app1: pull 2 images (up to 55.0 MiB; 50.0 GiB free), ")


def test_what_does_not_fit_is_refused_before_anything_is_pulled(fleet: Any) -> None:
    heard(fleet, "v1.0.0", common=600 * MIB, backend=400 * MIB)
    fleet.observed["app2"]["disk_free"] = 3 * 2**30
    assert fleet.plan()["status"] == "change"
    fleet.observed["app2"]["disk_free"] = 2 * 2**30
    with pytest.raises(PlanError) as caught:
        fleet.plan()
    assert str(caught.value) == (
        "app2 has 2.0 GiB free for images in /var/lib/docker, the release needs 3.0 GiB (twice the 1000.0 MiB to pull, compressed and "
        "unpacked, plus app_disk_free): free disk space (docker image prune) or lower app_disk_free"
    )


def test_a_size_that_could_not_be_read_is_said_with_the_reason(fleet: Any) -> None:
    heard(fleet, "v1.0.0", backend=MIB, frontend=MIB)
    image = fleet.observed["app2"]["images"][f"{BACKEND}:v1.0.0"]
    del image["layers"], image["size"]
    image["size_unknown"] = "registry registry.test:5000 does not answer in time"
    lines = fleet.plan()["lines"]
    # The other host has read it, which is a bound for this one.
    assert any("app2: pull 2 images (up to 2.0 MiB; 50.0 GiB free)" in line for line in lines), lines
    fleet.observed["app1"]["images"][f"{BACKEND}:v1.0.0"] = image
    why = "of unknown size: registry registry.test:5000 does not answer in time; 50.0 GiB free"
    assert sum(f"pull 2 images ({why})" in line for line in fleet.plan()["lines"]) == 2


def test_an_image_of_docker_hub_is_found_by_the_name_the_engine_gives_it(fleet: Any) -> None:
    fleet.variables["app_services"]["cache"] = {"image": "docker.io/library/redis:8", "command": ["redis-server"]}
    fleet.run()
    for host in fleet.apps:
        item = fleet.observed[host]
        item["images_present"] = [image.removeprefix("docker.io/library/") for image in item["images_present"]]
    assert any(image.startswith("redis@") for image in item["images_present"])
    assert fleet.plan()["start"] == []


def test_the_migrations_host_needs_room_for_its_image_too(fleet: Any) -> None:
    heard(fleet, "v1.0.0", backend=900 * MIB)
    fleet.variables["app_services"]["backend"]["hosts"] = ["app2"]
    fleet.observed["app1"]["disk_free"] = 2 * 2**30
    with pytest.raises(PlanError, match=r"app1 has 2\.0 GiB free .* the release needs 2\.8 GiB"):
        fleet.plan()


def test_a_bound_refuses_nothing() -> None:
    wanted = {"images": ["a"], "bytes": 2**40, "exact": False, "free": 2**31, "root": "/var/lib/docker"}
    assert disk_space.fault("app1", wanted, 2**30) is None
    assert disk_space.fault("app1", {**wanted, "exact": True}, 2**30) is not None
