# SPDX-License-Identifier: Apache-2.0
"""Several apps on the same hosts: deployed at the same moment, and of no concern to each other afterwards."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.lab import APP_HOSTS, INVENTORY, PREFIX, QUICK, REGISTRY, STATE, Lab, Response, ini_hosts
from tests.support.load import Ask, Load
from tests.support.playbook import REPO, Run, Started, environment

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/", expect=(200,)))
# Each new app costs one reload of Nginx, and a reload may cost a client a request.
RELOADS = 4
NAMES = ("one", "two")


class Small:
    """A tiny app with an inventory of its own, on the lab's hosts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.inventory = name, folder / name
        variables = self.inventory / "group_vars" / "all"
        variables.mkdir(parents=True)
        # The teams of two apps need not write their inventories alike.
        if name == "two":
            (self.inventory / "hosts").write_text(ini_hosts())
        else:
            (self.inventory / "hosts.yml").symlink_to(REPO / INVENTORY / "hosts.yml")
        app = {
            "app_name": name,
            "app_services": {"web": {"image": f"{REGISTRY}/several/web", "port": 8080, "health": {"path": "/health"}}},
            "app_routes": [{"host": f"{name}.test", "service": "web", "verify": "/health"}],
            "app_keep_releases": 1,
            "app_drain_seconds": 1,
            "stack_address": "{{ ansible_host }}",
        }
        (variables / "app.yml").write_text(yaml.safe_dump(app))

    def start(self, playbook: str, *extra: str) -> Started:
        """Start a playbook for this app and go on."""
        # The lab's keys are found from here.
        home = {"MOLECULE_PROJECT_DIRECTORY": str(REPO)}
        return Started([f"{playbook}.yml", "-i", str(self.inventory), *extra], home)

    def deploy(self, version: str) -> Run:
        return self.start("deploy", "-e", f"app_version={version}", *QUICK).wait()

    def ask(self, lab: Lab) -> Response:
        return lab.ask("/version.txt", headers={"Host": f"{self.name}.test"})


def push(version: str) -> None:
    """Put a version of the tiny app into the lab's registry: the reference app's web server with a file that differs."""
    image = f"{PREFIX}/several:{version}"
    with tempfile.TemporaryDirectory() as folder:
        root = "/srv/www"
        (Path(folder) / "version.txt").write_text(version)
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {PREFIX}/frontend:v1.0.0\nCOPY version.txt {root}/version.txt\n"
        )
        subprocess.run(["docker", "build", "--quiet", "--tag", image, folder], check=True, capture_output=True)
    subprocess.run([REPO / "scripts" / "lab-push", image, f"several/web:{version}"], check=True, env=environment({}))
    subprocess.run(["docker", "rmi", image], check=True, capture_output=True)


@pytest.fixture
def small(lab: Lab, tmp_path: Path) -> Iterator[list[Small]]:
    """Two tiny apps that no host has heard of, before the test and after it."""
    yield [Small(name, tmp_path) for name in NAMES]
    for name in NAMES:
        forget(lab, name)


def forget(lab: Lab, name: str) -> None:
    """Take an app off the hosts, with its history and its ports."""
    mine = f"--filter label=stack.sluice.app={name}"
    ports = (
        f"import json; path = '{STATE}/ports.json'; old = json.load(open(path)); "
        f"new = {{key: port for key, port in old.items() if not key.startswith('{name}/')}}; open(path, 'w').write(json.dumps(new))"
    )
    for host in APP_HOSTS:
        lab.shell(
            host,
            f"docker ps -aq {mine} | xargs -r docker rm -f; docker network ls -q {mine} | xargs -r docker network rm; "
            f"rm -rf {STATE}/apps/{name}",
        )
        lab.on(host, "python3", "-c", ports)
    lab.shell(
        "edge1",
        f"rm -rf {STATE}/apps/{name} /var/lib/sluice-edge/{name}.json /etc/nginx/sluice/{name}.conf; systemctl reload nginx; "
        # Nginx still has the record in its memory, and would find that of the next one of this name too old.
        f"curl -sf --unix-socket /run/sluice-edge/control.sock -X DELETE http://edge/split/{name}",
    )


def ports(lab: Lab) -> dict[str, dict[str, int]]:
    return {host: json.loads(lab.on(host, "cat", f"{STATE}/ports.json")) for host in APP_HOSTS}


def images(lab: Lab, host: str) -> set[str]:
    return set(lab.shell(host, f"docker images --digests --format '{{{{.Digest}}}}' {REGISTRY}/several/web").split())


def digest(lab: Lab, host: str, name: str) -> str:
    """The digest of the image an app runs on a host."""
    ids = lab.shell(host, f"docker ps -q --filter label=stack.sluice.app={name}").split()
    return lab.on(host, "docker", "inspect", "-f", "{{.Config.Image}}", *ids).strip().split("@")[1]


def files(lab: Lab, name: str) -> dict[str, str]:
    """All that the hosts keep of an app."""
    script = f"cd {STATE}/apps/{name} && sha256sum ledger.jsonl lease.json; sha256sum /var/lib/sluice-edge/{name}.json"
    return {host: lab.shell(host, script, check=False) for host in ("edge1", *APP_HOSTS)}


@pytest.mark.soak
def test_apps_on_the_same_hosts_are_of_no_concern_to_each_other(lab: Lab, v1_0_0: str, small: list[Small]) -> None:
    one, two = small
    for version in ("shared", "own", "newest"):
        push(version)

    # All at once, two of them for the first time.
    with Load(lab.url, *ASKS, rate=60) as load:
        runs = [app.start("deploy", "-e", "app_version=shared", *QUICK) for app in small]
        runs.append(lab.start("deploy", "-e", "app_version=v1.1.0", *QUICK))
        for run in runs:
            run.wait().good()
    assert load.report.failed <= RELOADS and load.report.total > 100, str(load.report)
    assert set(lab.served().values()) == {"v1.1.0"}
    assert [app.ask(lab).text for app in small] == ["shared", "shared"]
    for recorded in ports(lab).values():
        assert len(set(recorded.values())) == len(recorded)
        assert {name.split("/")[0] for name in recorded} >= {"one", "two", "marketplace"}

    # One goes on; nothing of the others changes, and of their images none goes. Its own that it has no use for does.
    before = {name: files(lab, name) for name in ("two", "marketplace")}
    kept = {host: digest(lab, host, "two") for host in APP_HOSTS}
    one.deploy("own").good()
    gone = {host: digest(lab, host, "one") for host in APP_HOSTS}
    one.deploy("newest").good()
    assert one.ask(lab).text == "newest" and two.ask(lab).text == "shared"
    for host in APP_HOSTS:
        assert kept[host] in images(lab, host), "the other app's, which was also its own once"
        assert gone[host] not in images(lab, host), "its own: the clean-up does something"
    assert {name: files(lab, name) for name in before} == before

    # Its maintenance is its own.
    one.start("playbooks/app/maintenance", "-e", "maintenance=on").wait().good()
    statuses: dict[str, Any] = {name: lab.ask("/", headers={"Host": f"{name}.test"}).status for name in (*NAMES, "any")}
    assert statuses == {"one": 503, "two": 200, "any": 200}
    one.start("playbooks/app/maintenance", "-e", "maintenance=off").wait().good()
    assert one.ask(lab).text == "newest"
    assert {name: files(lab, name) for name in before} == before
    assert lab.record() is not None and not any(lab.leases().values())
