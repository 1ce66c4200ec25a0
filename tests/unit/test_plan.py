# SPDX-License-Identifier: Apache-2.0
"""What a run will do, from what is wanted and what the hosts have."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError, decide


def test_first_deploy_starts_everywhere_and_flips(fleet: Any) -> None:
    plan = fleet.plan()
    assert plan["status"] == "change"
    assert plan["token"] == 1
    assert plan["live"] is None
    assert plan["slot"] == "blue"
    assert plan["start"] == ["app1", "app2"]
    assert plan["configure"] == plan["flip"] == ["edge1"]
    assert plan["migrate"]["host"] == "app1"
    assert plan["retire"] is None
    assert plan["steps"] == ["pending", "migrate", "start", "configure", "flip", "confirm", "retire"]
    assert plan["manifest"]["id"] == "20261122T231600Z-v1.0.0"


def test_the_printed_plan_has_a_line_for_each_step_that_will_run(fleet: Any) -> None:
    lines = fleet.plan()["lines"]
    assert lines[0] == "Deploy shop v1.0.0 as release 20261122T231600Z-v1.0.0 (token 1); live now: nothing"
    assert [line.split()[0] for line in lines[1:]] == ["migrate", "start", "start", "configure", "flip"]
    pull = "pull 2 images (of unknown size; 50.0 GiB free)"
    assert lines[2] == f"  start      app1: {pull}, backend on port 20586, frontend on port 20588 in blue"


def test_upgrade_uses_the_idle_slot_and_retires_the_old_one(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    plan = fleet.plan()
    assert plan["slot"] == "green"
    assert plan["token"] == 2
    assert plan["live"] == {"release": first["manifest"]["id"], "slot": "blue"}
    assert plan["retire"] == plan["live"]
    assert plan["manifest"]["ports"] == first["manifest"]["ports"]
    assert any(line.startswith("  changes    services.backend.image") for line in plan["lines"])


def test_upgrade_with_the_same_routes_needs_no_reload(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    plan = fleet.plan()
    assert plan["configure"] == []
    assert plan["steps"] == ["pending", "migrate", "start", "flip", "confirm", "retire"]


def test_a_route_that_goes_away_is_served_in_the_old_slot_and_goes_with_the_next_release(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_routes"] = [{"path": "/", "service": "frontend"}]
    plan = fleet.run()
    assert plan["configure"] == ["edge1"]
    assert "location /api/" in plan["edge_config"]
    assert fleet.plan()["status"] == "nothing"
    fleet.version("v1.1.0")
    after = fleet.run()
    assert "location /api/" not in after["edge_config"]
    assert fleet.plan()["status"] == "nothing"


def test_deploying_what_runs_already_is_nothing(fleet: Any) -> None:
    first = fleet.run()
    plan = fleet.plan()
    assert plan["status"] == "nothing"
    assert plan["lines"] == [
        f"Nothing to do: shop v1.0.0 is live as {first['manifest']['id']} in blue",
    ]
    assert plan["steps"] == ["unlock"]


def test_a_changed_environment_value_alone_is_a_release(fleet: Any) -> None:
    first = fleet.run()
    fleet.variables["app_env"] = {"BANNER": "Sale"}
    plan = fleet.run()
    assert plan["status"] == "change"
    assert plan["manifest"]["version"] == "v1.0.0"
    assert plan["manifest"]["id"] != first["manifest"]["id"]
    assert "  changes    services.backend.env.BANNER, services.frontend.env.BANNER" in plan["lines"]
    back = fleet.plan("rollback")
    assert back["manifest"]["id"] == first["manifest"]["id"]


def test_a_changed_secret_shows_by_name_and_never_by_value(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_secrets"] = {"DATABASE_URL": "postgresql://shop:sesame@db/shop"}
    plan = fleet.plan()
    assert plan["status"] == "change"
    assert "  changes    services.backend.secrets.DATABASE_URL" in plan["lines"]
    assert "sesame" not in str(plan)
    assert "hunter2" not in str(plan)


def test_settings_that_no_container_sees_are_no_release(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_drain_seconds"] = 5
    assert fleet.plan()["status"] == "nothing"


def test_writing_a_default_down_is_no_release(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_services"]["backend"] |= {"stop_grace": 30, "memory": "512m", "replicas": 1}
    fleet.variables["app_services"]["backend"]["health"] |= {"timeout": 2, "status": 200}
    assert fleet.plan()["status"] == "nothing"


def test_a_missing_container_is_repaired_in_the_live_slot(fleet: Any) -> None:
    first = fleet.run()
    fleet.observed["app2"]["containers"].pop()
    plan = fleet.plan()
    assert plan["status"] == "repair"
    assert plan["manifest"]["id"] == first["manifest"]["id"]
    assert plan["slot"] == "blue"
    assert plan["start"] == ["app2"]
    assert plan["flip"] == []
    assert plan["migrate"] is None
    assert plan["lines"][0].startswith("Repair shop v1.0.0")


@pytest.mark.parametrize("state", ["exited", "restarting", "created"])
def test_a_container_that_does_not_run_is_repaired(fleet: Any, state: str) -> None:
    fleet.run()
    fleet.observed["app1"]["containers"][0]["state"] = state
    assert fleet.plan()["start"] == ["app1"]


def test_a_host_that_joined_gets_the_live_release(fleet: Any) -> None:
    fleet.run()
    fleet.apps.append("app3")
    fleet.add("app3")
    plan = fleet.plan()
    assert plan["status"] == "repair"
    assert plan["start"] == ["app3"]
    assert plan["configure"] == ["edge1"], "the edge has to learn its address"


def test_an_edge_whose_configuration_was_changed_by_hand_is_repaired(fleet: Any) -> None:
    fleet.run()
    fleet.observed["edge1"]["edge"]["config"] = "# by hand"
    plan = fleet.plan()
    assert plan["status"] == "repair"
    assert plan["configure"] == ["edge1"]
    assert plan["start"] == []


def test_an_edge_that_missed_the_confirmation_is_brought_along(fleet: Any) -> None:
    fleet.edges.append("edge2")
    fleet.add("edge2")
    first = fleet.run()
    fleet.version("v1.1.0")
    second = fleet.run()
    fleet.confirm("edge2", first["manifest"]["id"], "blue", first["token"])
    plan = fleet.plan()
    assert plan["live"]["release"] == second["manifest"]["id"]
    assert plan["converge"] == ["edge2"]
    assert plan["status"] == "repair"


def test_somebodys_unconfirmed_flip_is_ended_first(fleet: Any) -> None:
    fleet.run()
    fleet.observed["edge1"]["edge"]["pending_alive"] = True
    plan = fleet.plan()
    assert plan["abort"] == ["edge1"]
    assert plan["status"] == "repair"


def test_a_release_that_was_started_and_never_confirmed_is_as_if_it_had_not_happened(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    crashed = fleet.plan()
    fleet.execute(crashed, steps=("start",))
    plan = fleet.plan()
    assert plan["live"]["release"] == first["manifest"]["id"]
    assert plan["slot"] == "green"
    assert plan["token"] == crashed["token"] + 1
    assert plan["manifest"]["id"] != crashed["manifest"]["id"]
    assert plan["manifest"]["ports"] == crashed["manifest"]["ports"]


def test_of_two_confirmed_releases_the_later_run_counts_and_not_the_busier_edge(fleet: Any) -> None:
    fleet.edges.append("edge2")
    fleet.add("edge2")
    fleet.run()
    fleet.version("v1.1.0")
    plan = fleet.plan()
    fleet.execute(plan, steps=("start",))
    fleet.confirm("edge1", plan["manifest"]["id"], plan["slot"], plan["token"])
    # The other edge was flipped by the same run and by a later one, and confirmed neither time.
    fleet.observed["edge2"]["edge"]["record"] |= {"token": plan["token"] + 1, "seq": 99}
    after = fleet.plan()
    assert after["live"]["release"] == plan["manifest"]["id"]
    assert after["converge"] == ["edge2"]


def test_a_confirmed_release_that_no_ledger_knows_of_is_recorded_by_the_next_run(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    crashed = fleet.plan()
    fleet.execute(crashed, steps=("start", "flip"))
    plan = fleet.plan()
    assert plan["status"] == "repair"
    assert plan["record"]
    assert plan["manifest"]["id"] == crashed["manifest"]["id"]
    assert (
        plan["lines"][1]
        == "  record     the live release, which the run that confirmed it did not write to the ledgers"
    )
    fleet.execute(plan)
    assert fleet.plan()["status"] == "nothing"
    assert fleet.plan("rollback")["manifest"]["id"] == first["manifest"]["id"]


def test_an_unchanged_image_brings_no_migration(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_env"] = {"BANNER": "Sale"}
    assert fleet.plan()["migrate"] is None


def test_a_changed_image_brings_its_migration(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    assert fleet.plan()["migrate"]["service"] == "backend"


def test_the_migration_runs_on_the_first_app_host_that_answers(fleet: Any) -> None:
    plan = fleet.plan(excluded=frozenset({"app1"}))
    assert plan["migrate"]["host"] == "app2"


def test_a_lost_host_takes_no_part_and_no_edge_sends_it_anything(fleet: Any) -> None:
    plan = fleet.plan(excluded=frozenset({"app1"}))
    assert plan["start"] == ["app2"]
    assert plan["excluded"] == ["app1"]
    assert "10.0.0.21" not in plan["edge_config"]
    assert "10.0.0.22" in plan["edge_config"]


def test_what_a_dead_run_left_in_the_old_slot_is_retired_by_the_next_one(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    fleet.execute(fleet.plan(), steps=("start", "flip", "record"))
    plan = fleet.plan()
    assert plan["steps"] == ["retire", "unlock"]
    assert plan["retire"] == {"release": None, "slot": "blue"}
    assert plan["lines"][1:] == [
        f"  retire     {host}: stop backend, frontend of {first['manifest']['id']} in blue, once it has drained"
        for host in fleet.apps
    ]
    fleet.execute(plan)
    assert fleet.plan()["status"] == "nothing"


def test_an_old_slot_that_a_host_is_about_to_stop_by_itself_is_left_to_it(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.execute(fleet.plan(), steps=("start", "flip", "record"))
    for host in fleet.apps:
        fleet.observed[host]["retiring"] = {"slot": "blue", "until": 1.0}
    assert fleet.plan()["status"] == "nothing"


def test_too_little_disk_is_refused_before_anything_is_pulled(fleet: Any) -> None:
    fleet.observed["app2"]["disk_free"] = 2**29
    with pytest.raises(PlanError) as caught:
        fleet.plan()
    assert str(caught.value) == (
        "app2 has 512.0 MiB free for images in /var/lib/docker, app_disk_free requires 1.0 GiB: "
        "free disk space (docker image prune) or lower app_disk_free"
    )


def test_too_little_disk_does_not_matter_when_the_images_are_there(fleet: Any) -> None:
    fleet.run()
    fleet.variables["app_env"] = {"BANNER": "Sale"}
    fleet.observed["app2"]["disk_free"] = 2**29
    assert fleet.plan()["status"] == "change"


def test_a_registry_that_refuses_stops_the_run_with_its_words(fleet: Any) -> None:
    reference = "registry.test:5000/shop/backend:v1.0.0"
    fleet.observed["app2"]["images"][reference] = {"error": "not in registry registry.test:5000"}
    with pytest.raises(
        PlanError, match=r"^image registry.test:5000/shop/backend:v1.0.0: not in registry .* \(checked from app2\)$"
    ):
        fleet.plan()


def test_a_tag_that_moves_while_the_hosts_look_stops_the_run(fleet: Any) -> None:
    fleet.observed["app2"]["images"]["registry.test:5000/shop/backend:v1.0.0"] = {"digest": "sha256:" + "0" * 64}
    with pytest.raises(PlanError, match="has different digests on different hosts"):
        fleet.plan()


def test_a_live_release_nobody_has_a_manifest_of_stops_the_run(fleet: Any) -> None:
    fleet.run()
    for item in fleet.observed.values():
        item["ledger"] = ""
    with pytest.raises(PlanError, match="no host's ledger has its manifest"):
        fleet.plan()


def test_without_any_edge_or_app_host_there_is_no_plan(fleet: Any) -> None:
    with pytest.raises(PlanError, match="no edge host is left"):
        decide(fleet.desired(), {host: fleet.observed[host] for host in fleet.apps})
    with pytest.raises(PlanError, match="no app host is left"):
        decide(fleet.desired(), {host: fleet.observed[host] for host in fleet.edges})


def test_two_apps_whose_recorded_ports_clash_stop_the_run(fleet: Any) -> None:
    fleet.run()
    fleet.observed["app2"]["ports"]["other/web/blue/0"] = 20586
    fleet.version("v1.1.0")
    clash = "^port 20586 is recorded for shop/backend/blue/0 on app1 and for other/web/blue/0 on app2: "
    with pytest.raises(PlanError, match=clash):
        fleet.plan()


def test_the_token_is_above_all_that_any_host_has_seen(fleet: Any) -> None:
    fleet.run()
    fleet.observed["app1"]["highest"] = 41
    assert fleet.plan()["token"] == 42


def test_an_edge_that_was_provisioned_without_tls_serves_host_names_over_http_and_the_plan_says_so(fleet: Any) -> None:
    """As with a second app, whose own inventory knows nothing of what the edges' inventory turned off."""
    fleet.variables["app_routes"] = [{"host": "shop.test", "path": "/", "service": "frontend"}]
    edge = fleet.observed["edge1"]["edge"]
    edge["tls"] = True
    plan = fleet.plan(tls=Tls(443))
    assert plan["https"] == ["shop.test"] and not [line for line in plan["lines"] if line.startswith("  tls")]
    edge["tls"] = False
    plan = fleet.plan(tls=Tls(443))
    assert plan["https"] == [] and " ssl;" not in plan["edge_config"]
    assert [line for line in plan["lines"] if line.startswith("  tls")] == [
        "  tls        edge1: provisioned without, so host names answer over HTTP; run provision.yml, or set nginx_tls: false"
    ]
