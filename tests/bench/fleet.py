# SPDX-License-Identifier: Apache-2.0
"""The hosts the bench runs on: the lab's, and more beside them; and the tiny apps on these."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.bench.measure import ENVIRONMENT, REPO

PREFIX = "sluice-lab"
LAB_APPS = 2  # app hosts the lab has itself
IMAGE = "tiny/web"


def _read(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((REPO / path).read_text())["all"])


def app_hosts() -> dict[str, Any]:
    """The lab's app hosts, then those beside it, as the inventories have them."""
    more = _read("tests/fleet/apps.yml")["children"]["app"]["children"]["more_apps"]["hosts"]
    return {**_read("inventories/lab/hosts.yml")["children"]["app"]["hosts"], **more}


@contextlib.contextmanager
def hosts(sizes: Sequence[int]) -> Iterator[dict[int, Path]]:
    """Have as many app hosts as the largest size asks for; the inventory of each size.

    Hosts that are there are taken as they are, and stay; those that have to be made are removed again.
    """
    make = max(sizes) > LAB_APPS and not _run("docker", "ps", "-q", "--filter", "label=stack.sluice.lab=fleet")
    try:
        if make:
            _fleet("up")
        # Connections from before the bench would not stay open long enough.
        for path in (Path.home() / ".ansible" / "cp").glob("sluice-*"):
            path.unlink()
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            yield {size: _inventory(Path(folder) / str(size), size) for size in sizes}
    finally:
        if make:
            _fleet("down")


def _fleet(what: str) -> None:
    subprocess.run([REPO / "scripts" / "fleet", what, "fleet"], check=True, env=ENVIRONMENT)


def _inventory(folder: Path, size: int) -> Path:
    """An inventory of the lab with that many app hosts, and the tiny app for them."""
    inventory = _read("inventories/lab/hosts.yml")
    inventory["children"]["app"]["hosts"] = dict(list(app_hosts().items())[:size])
    inventory["vars"]["app_name"] = f"tiny{size}"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": inventory}))
    (folder / "group_vars" / "all.yml").write_text((REPO / "tests" / "bench" / "tiny.yml").read_text())
    return folder


def push(version: str) -> str:
    """Put a version of the tiny app into the lab's registry: the reference app's web server, with a file that differs."""
    image = f"{PREFIX}/tiny:{version}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "version.txt").write_text(version)
        (Path(folder) / "Dockerfile").write_text(f"FROM {PREFIX}/frontend:v1.0.0\nCOPY version.txt /version.txt\n")
        _run("docker", "build", "--quiet", "--tag", image, folder)
    subprocess.run([REPO / "scripts" / "lab-push", image, f"{IMAGE}:{version}"], check=True, env=ENVIRONMENT)
    _run("docker", "rmi", image)
    return version


def wait_until_retired(size: int) -> None:
    """Wait until no app host has a slot of a tiny app but the live one, so that the next rollback is a cold one."""
    deadline = time.monotonic() + 60
    for host in list(app_hosts())[:size]:
        while len(on(host, f"docker ps -q --filter label=stack.sluice.app=tiny{size}").split()) != 1:
            if time.monotonic() > deadline:
                sys.exit(f"bench: the old slot of the tiny app is still on {host} after 60 s")
            time.sleep(0.2)


def forget(sizes: Sequence[int]) -> None:
    """Take the tiny apps off the hosts, with their history and their images."""
    apps = " ".join(f"tiny{size}" for size in sizes)
    state = f"for app in {apps}; do rm -rf /var/lib/sluice/apps/$app; done"
    containers = (
        f"for app in {apps}; do docker ps -aq --filter label=stack.sluice.app=$app; done | xargs -r docker rm -f"
    )
    images = f"docker images --format '{{{{.ID}}}} {{{{.Repository}}}}' | awk '/{IMAGE.replace('/', '.')}$/ {{ print $1 }}' | xargs -r docker rmi -f"
    for host in list(app_hosts())[: max(*sizes, LAB_APPS)]:
        on(host, f"{{ {containers}; {images}; }} >/dev/null; {state}")
    edge = f"for app in {apps}; do rm -f /var/lib/sluice-edge/$app.json /etc/nginx/sluice/$app.conf; done"
    on("edge1", f"{state}; {edge}; systemctl restart nginx")


def on(host: str, script: str) -> str:
    """Run a script on a lab host; what it printed."""
    return _run("docker", "exec", f"{PREFIX}-{host}", "sh", "-c", script)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
