# SPDX-License-Identifier: Apache-2.0
"""Provisioning hosts that are provisioned changes nothing."""

from __future__ import annotations

from tests.support.lab import Lab


def test_a_second_run_changes_nothing(lab: Lab, v1_0_0: str) -> None:
    before = lab.state()
    run = lab.playbook("provision").good()
    assert run.changed() == {}
    assert set(run.recap) >= {"edge1", "app1", "app2", "db1"}
    assert lab.state() == before


def test_a_host_that_drifted_is_seen_and_in_check_mode_left_alone(lab: Lab) -> None:
    """The control: a changed file is found, so the run above did look."""
    path = "/etc/nginx/sluice/proxy.inc"
    kept = lab.shell("edge1", f"stat -c %a {path}").strip()
    lab.shell("edge1", f"chmod 0600 {path}")
    try:
        run = lab.playbook("provision", "--check", "--diff", "--limit", "edge1").good()
        assert set(run.changed()) == {"edge1"}
        assert lab.shell("edge1", f"stat -c %a {path}").strip() == "600"
    finally:
        lab.shell("edge1", f"chmod {kept} {path}")
