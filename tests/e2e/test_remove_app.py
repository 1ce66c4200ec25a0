# SPDX-License-Identifier: Apache-2.0
"""An app is removed altogether, on confirmation, and the other apps on its hosts are untouched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_several_apps import NAMES, Small, digest, files, forget, images, ports, push
from tests.support.lab import APP_HOSTS, REGISTRY, STATE, Lab
from tests.support.playbook import Run

HOSTS = ("edge1", *APP_HOSTS)
# A lease of another run, by the host's own clock.
HOLD = (
    "import json, time; path = '{state}/apps/one/lease.json'; lease = json.load(open(path)); "
    "lease.update(run_id={run}, action='deploy', who='bob', boot=open('/proc/sys/kernel/random/boot_id').read().strip(), "
    "expires=time.clock_gettime(time.CLOCK_BOOTTIME) + {seconds}); json.dump(lease, open(path, 'w'))"
)


@pytest.fixture
def small(lab: Lab, tmp_path: Path) -> Iterator[tuple[Small, Small]]:
    """Two tiny apps; the first one has a job as well."""
    one, two = (Small(name, tmp_path) for name in NAMES)
    path = one.inventory / "group_vars" / "all" / "app.yml"
    app = yaml.safe_load(path.read_text())
    app["app_services"]["report"] = {"image": f"{REGISTRY}/several/web", "schedule": "daily", "command": ["true"]}
    path.write_text(yaml.safe_dump(app))
    yield one, two
    for name in NAMES:
        forget(lab, name)


def remove(app: Small, *extra: str) -> Run:
    return app.start("playbooks/app/remove", *extra).wait()


def traces(lab: Lab, name: str) -> dict[str, str]:
    """Whatever of an app is left on the hosts."""
    mine = f"--filter label=stack.sluice.app={name}"
    script = (
        f"(docker ps -aq {mine}; docker network ls -q {mine}) 2>/dev/null; ls -d {STATE}/apps/{name} /var/lib/sluice-edge/{name}.json "
        f"/etc/nginx/sluice/{name}.conf /etc/systemd/system/sluice-{name}-* 2>/dev/null; grep -o '\"{name}/[^\"]*' {STATE}/ports.json"
    )
    return {host: lab.shell(host, script, check=False).strip() for host in HOSTS}


@pytest.mark.soak
def test_an_app_is_removed_and_the_others_are_untouched(lab: Lab, v1_0_0: str, small: tuple[Small, Small]) -> None:
    one, two = small
    for version in ("shared", "own"):
        push(version)
    two.deploy("shared").good()
    one.deploy("shared").good()
    one.deploy("own").good()
    own, shared = digest(lab, "app1", "one"), digest(lab, "app1", "two")
    assert all(traces(lab, "one").values()), "what is looked for is there before"
    assert "sluice-one-report.timer" in traces(lab, "one")["app1"]
    others = {name: files(lab, name) for name in ("two", "marketplace")}
    before = files(lab, "one")

    # The plan, and confirmations of something else, change nothing.
    plan = remove(one).good()
    assert "Nothing was changed. To remove it: -e remove_confirm=" in str(plan)
    assert "remove_confirm=two is neither" in str(remove(one, "-e", "remove_confirm=two"))
    assert {host: text.split()[0] for host, text in files(lab, "one").items()} == {
        host: text.split()[0] for host, text in before.items()
    }, "the ledgers are as they were"
    assert one.ask(lab).text == "own"

    # Nor does a removal under another run.
    lab.on("app1", "python3", "-c", HOLD.format(state=STATE, run="'other'", seconds=600))
    held = remove(one, "-e", "remove_confirm=one")
    assert held.code and "run other" in str(held), str(held)
    assert one.ask(lab).text == "own"
    lab.on("app1", "python3", "-c", HOLD.format(state=STATE, run="None", seconds=0))

    remove(one, "-e", "remove_confirm=one").good()
    assert not any(traces(lab, "one").values()), traces(lab, "one")
    assert one.ask(lab).text != "own"
    assert lab.shell("app1", "ls /var/lib/sluice/removed").split() == ["one.jsonl"]
    for host in APP_HOSTS:
        assert own not in images(lab, host) and shared in images(lab, host)
    assert two.ask(lab).text == "shared"
    assert lab.served() and set(lab.served().values()) == {"v1.0.0"}
    assert {name: files(lab, name) for name in others} == others
    assert all("one/" not in name for recorded in ports(lab).values() for name in recorded)

    # Again is nothing to do; and an app of that name begins anew.
    remove(one, "-e", "remove_confirm=one").good()
    assert not any(traces(lab, "one").values())
    one.deploy("own").good()
    assert one.ask(lab).text == "own"
    remove(one, "-e", "remove_confirm=one", "-e", "remove_data=true").good()
    assert not any(traces(lab, "one").values())
    assert lab.shell("app1", "ls /var/lib/sluice/removed").split() == []
