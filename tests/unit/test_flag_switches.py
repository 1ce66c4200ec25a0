# SPDX-License-Identifier: Apache-2.0
"""Flags that are switched off on a host at once."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import containers
from ansible_collections.sluice.stack.plugins.module_utils.flags import program, switches
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from hypothesis import given
from hypothesis import strategies as st

from tests.support.unleash import FakeUnleash


def event(flag: str, action: str, time: int, run: str = "") -> switches.Event:
    return {
        "flag": flag,
        "action": action,
        "time": f"2026-11-28T12:00:{time:02}Z",
        "run_id": run or f"{action}{time}",
        "who": "anna",
        "reason": "",
    }


def seen(root: Path) -> list[str]:
    """What the containers of the app see."""
    return json.loads((root / "apps/shop/flags/killed.json").read_text())["killed"]


def test_a_switch_is_seen_by_any_user_of_a_container_and_remembered(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert switches.switch("shop", [event("payment", "kill", 1)], root)
    assert seen(tmp_path) == ["payment"]
    folder = tmp_path / "apps/shop/flags"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "killed.json")] == [0o755, 0o644]
    assert not switches.switch("shop", [event("payment", "kill", 2)], root), "it is off already"
    assert switches.switch("shop", [event("payment", "revive", 3)], root)
    assert seen(tmp_path) == []
    assert [item["action"] for item in switches.read("shop", root)] == ["kill", "revive"]


def test_a_host_that_was_away_catches_up_and_brings_nothing_back(tmp_path: Path) -> None:
    here, away = str(tmp_path / "here"), str(tmp_path / "away")
    for root in (here, away):
        switches.switch("shop", [event("payment", "kill", 1)], root)
    switches.switch("shop", [event("payment", "revive", 2), event("button", "kill", 3)], here)
    events = switches.latest([switches.read("shop", here), switches.read("shop", away)])
    for root in (here, away):
        switches.switch("shop", events.values(), root)
        assert seen(Path(root)) == ["button"]


def test_a_file_that_was_lost_or_damaged_is_written_again(tmp_path: Path) -> None:
    root, file = str(tmp_path), tmp_path / "apps/shop/flags/killed.json"
    switches.switch("shop", [event("payment", "kill", 1)], root)
    for damage in (file.unlink, lambda: file.write_text("{")):
        damage()
        assert not switches.switch("shop", switches.latest([switches.read("shop", root)]).values(), root)
        assert seen(tmp_path) == ["payment"]


EVENTS = st.lists(
    st.builds(event, st.sampled_from(["a", "b"]), st.sampled_from(["kill", "revive"]), st.integers(0, 9)), max_size=8
)


@given(EVENTS, EVENTS)
def test_hosts_agree_in_whatever_order_they_hear_of_it(first: list[Any], second: list[Any]) -> None:
    both = switches.latest([first, second])
    assert both == switches.latest([second, first])
    mine = switches.latest([first])
    after = switches.latest([mine.values(), switches.news(mine, second)])
    assert switches.killed(after) == switches.killed(both)


def test_old_history_goes_and_what_counts_stays() -> None:
    events = [
        event("rare", "kill", 0),
        *(event("often", action, number) for number in range(1, 50) for action in ("kill", "revive")),
    ]
    kept = switches.trimmed(events, kept=10)
    assert len(kept) == 11 and kept[0]["flag"] == "rare"


def test_containers_see_the_folder_read_only_where_their_service_has_flags() -> None:
    service = {
        "image": "i", "command": None, "env": {}, "secrets": {}, "read_only": True, "tmpfs": [], "capabilities": [],
        "memory": 1, "pids": 1, "cpus": 0, "port": 80,
    }  # fmt: skip
    manifest = {"app": "shop", "id": "r", "services": {"web": {**service, "flags": ["payment"]}, "other": service}}
    assert containers.specification(manifest, "web", {})["host"]["Binds"] == [
        "/var/lib/sluice/apps/shop/flags:/run/sluice/flags:ro"
    ]
    assert "Binds" not in containers.specification(manifest, "other", {})["host"]


def settings(unleash: FakeUnleash, **more: Any) -> dict[str, Any]:
    return {"app": "shop", "url": unleash.url, "token": unleash.token, "ca": "", "timeout": 2, "textfile": "", **more}


def test_what_unleash_says_is_kept_and_stays_when_it_is_away_or_refuses(tmp_path: Path) -> None:
    root, kept = str(tmp_path), tmp_path / "apps/shop/flags/features.json"
    with FakeUnleash() as unleash:
        assert program.refresh(settings(unleash), root)
        assert not program.refresh(settings(unleash), root), "nothing new"
        assert json.loads(kept.read_text())["features"] == unleash.features
        before = kept.read_text()
        for broken in (settings(unleash, token="wrong"), settings(unleash, url=unleash.url + "/elsewhere")):
            try:
                program.refresh(broken, root)
            except program.UnleashError:
                pass
            else:
                raise AssertionError("it should have failed")
            assert kept.read_text() == before


def test_the_metrics_say_what_is_off_and_whether_unleash_answered(tmp_path: Path) -> None:
    switches.switch("shop", [event("payment", "kill", 1)], str(tmp_path))
    text = program.metrics({"app": "shop"}, ok=False, now=7.0, root=str(tmp_path))
    assert 'sluice_flag_killed{app="shop",flag="payment"} 1\n' in text
    assert 'sluice_flag_refresh_failed{app="shop"} 1\n' in text


def test_the_history_has_switches_between_the_runs_once() -> None:
    run = {"id": "r1", "action": "deploy", "who": "ben", "revision": None}
    runs = [
        ledger.entry("confirmed", token=token, time=time, run=run, manifest={"id": f"release{token}", "version": "v1"})
        for token, time in ((1, "2026-11-28T11:00:00Z"), (2, "2026-11-28T13:00:00Z"))
    ]
    kill = {**event("payment", "kill", 5), "time": "2026-11-28T12:00:05.123456Z", "reason": "double charges"}
    lines = status.history_lines("shop", ledger.merge([runs]), 20, status.switch_lines([[kill], [kill]]))
    assert [line.split()[0] for line in lines[1:]] == [
        "2026-11-28T13:00:00Z",
        "2026-11-28T12:00:05Z",
        "2026-11-28T11:00:00Z",
    ]
    assert lines[2].endswith("kill      payment  by anna, run kill5: double charges")


def test_a_new_host_learns_before_it_starts_what_the_others_know(tmp_path: Path) -> None:
    root, told = str(tmp_path), '{"features":[{"name":"payment"}]}\n'
    switches.learn("shop", [], [], root)
    assert not (tmp_path / "apps").exists(), "there is nothing to know"
    switches.learn("shop", [event("payment", "kill", 1)], ["", told], root)
    assert seen(tmp_path) == ["payment"] and switches.features("shop", root) == told
    assert stat.S_IMODE((tmp_path / "apps/shop/flags").stat().st_mode) == 0o755
    # What Unleash told this host itself is newer than anything it hears.
    switches.learn("shop", [], ['{"features":[]}\n'], root)
    assert switches.features("shop", root) == told
