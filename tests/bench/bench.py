# SPDX-License-Identifier: Apache-2.0
"""What a release costs, as ratios to a ruler measured in the same run: `make bench`.

The ruler is a playbook of ten `ping` tasks over the same hosts. Every round measures the ruler and each command once, so that what else
the machine does falls on all of them alike; the table has medians over the rounds. Whole commands are timed, from the shell's view:
also what comes after the release is recorded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parents[2]
INVENTORY = REPO / "tests" / "bench" / "inventory"
PREFIX = "sluice-lab"
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "PATH": f"{REPO}/.venv/bin:{os.environ['PATH']}",
    "MOLECULE_PROJECT_DIRECTORY": str(REPO),  # where the inventory finds the lab's keys
    "ANSIBLE_CALLBACK_PLUGINS": str(REPO / "tests" / "support" / "callbacks"),
    "ANSIBLE_CALLBACKS_ENABLED": "events",
    "ANSIBLE_NOCOLOR": "1",
}
# The modules that go to a host.
REMOTE = {
    f"sluice.stack.{path.stem}"
    for path in (REPO / "plugins" / "action").glob("*.py")
    if "host_module import HostModule" in path.read_text()
} | {"ansible.builtin.ping"}
# What the run itself says of its steps: "… (deploy took 2.1 s: fence 0.4, start 0.9, …)"
STEPS = re.compile(r"took [\d.]+ s: ([^)]+)\)")


@dataclass
class Timing:
    """One run of a command: wall and controller CPU in seconds, the run's own steps, remote tasks by host."""

    wall: float
    cpu: float
    steps: dict[str, float] = field(default_factory=dict)
    remote: dict[str, int] = field(default_factory=dict)


def play(playbook: str, *arguments: str, inventory: Path = INVENTORY) -> Timing:
    """Run a playbook against the bench's inventory; a failure ends the bench with its output."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as events:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", playbook, "-i", inventory, *arguments],
            cwd=REPO,
            env={**ENVIRONMENT, "SLUICE_EVENTS": events.name},
            capture_output=True,
            text=True,
            check=False,
        )
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [json.loads(line) for line in Path(events.name).read_text().splitlines()]
    if done.returncode:
        sys.exit(f"bench: {playbook} {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    said = STEPS.search(done.stdout)
    steps = {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([\d.]+)", said[1])} if said else {}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(
        wall,
        cpu,
        steps,
        dict(Counter(line["host"] for line in lines if line.get("action") in REMOTE and line["status"] != "skipped")),
    )


def push(version: str) -> None:
    """Put a version of the tiny app into the lab's registry: the reference app's web server, with a file that differs."""
    image = f"{PREFIX}/tiny:{version}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "version.txt").write_text(version)
        (Path(folder) / "Dockerfile").write_text(f"FROM {PREFIX}/frontend:v1.0.0\nCOPY version.txt /version.txt\n")
        subprocess.run(["docker", "build", "--quiet", "--tag", image, folder], check=True, capture_output=True)
    subprocess.run([REPO / "scripts" / "lab-push", image, f"tiny/web:{version}"], check=True, env=ENVIRONMENT)
    subprocess.run(["docker", "rmi", image], check=True, capture_output=True)


def wait_until_retired() -> None:
    """Wait until no app host has a slot of the tiny app but the live one, so that the next rollback is a cold one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(on("app1", "docker ps -q --filter label=stack.sluice.app=tiny").split()) == 1:
            return
        time.sleep(0.2)
    sys.exit("bench: the old slot of the tiny app is still there after 60 s")


@contextlib.contextmanager
def one_app_host() -> Iterator[Path]:
    """The bench's inventory with the first app host alone."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        inventory = Path(folder) / "inventory"
        shutil.copytree(INVENTORY, inventory)
        hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
        del hosts["all"]["children"]["app"]["hosts"]["app2"]
        (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
        yield inventory


def forget() -> None:
    """Take the tiny app off the hosts, with its history."""
    state = "rm -rf /var/lib/sluice/apps/tiny"
    containers = "docker ps -aq --filter label=stack.sluice.app=tiny | xargs -r docker rm -f >/dev/null"
    for host in ("app1", "app2"):
        on(host, f"{containers}; {state}")
    on("edge1", f"{state} /var/lib/sluice-edge/tiny.json /etc/nginx/sluice/tiny.conf; systemctl restart nginx")


def on(host: str, script: str) -> str:
    """Run a script on a lab host; what it printed."""
    done = subprocess.run(
        ["docker", "exec", f"{PREFIX}-{host}", "sh", "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout


def rounds(count: int, warm_up: int = 1) -> dict[str, list[Timing]]:
    """The timings of every command, by name; the first ``warm_up`` rounds open connections and are not counted."""
    names = ("ruler", "deploy", "noop", "rollback_warm", "rollback_cold", "start", "added")
    found: dict[str, list[Timing]] = {name: [] for name in names}
    stamp = int(time.time())
    for number in range(-warm_up, count):
        version = f"r{stamp}-{number + warm_up}"
        push(version)
        if number == -warm_up:
            push(f"r{stamp}-base")
            play("deploy.yml", "-e", f"app_version=r{stamp}-base")
        timings = {
            "ruler": play("tests/bench/ruler.yml"),
            "deploy": play("deploy.yml", "-e", f"app_version={version}"),
            "noop": play("deploy.yml", "-e", f"app_version={version}"),
            "rollback_warm": play("rollback.yml"),
        }
        wait_until_retired()
        timings["rollback_cold"] = play("rollback.yml", "-e", f"release_to={version}")
        # What any tool takes: the image, the container, until it answers. And what the deploy adds to that.
        started = timings["deploy"].steps["start"]
        timings["start"] = Timing(started, 0)
        timings["added"] = Timing(timings["deploy"].wall - started, 0)
        if number >= 0:
            for name, timing in timings.items():
                found[name].append(timing)
            print(
                f"round {number + 1}: " + ", ".join(f"{name} {one.wall:.2f} s" for name, one in timings.items()),
                flush=True,
            )
    return found


def one_host(inventory: Path, count: int) -> dict[str, float]:
    """A deploy to one app host, measured against a ruler over as many hosts; and what the second host added."""
    stamp = int(time.time())
    ratios, walls = [], []
    for number in range(-1, count):
        push(f"o{stamp}-{number + 1}")
        ruler = play("tests/bench/ruler.yml", inventory=inventory).wall
        wall = play("deploy.yml", "-e", f"app_version=o{stamp}-{number + 1}", inventory=inventory).wall
        if number >= 0:
            walls.append(wall)
            ratios.append(wall / ruler)
    print(f"\none app host: deploy {statistics.median(walls):.2f} s, {statistics.median(ratios):.2f} of its own ruler")
    return {
        "deploy_1_host_seconds": round(statistics.median(walls), 3),
        "deploy_1_host_ruler": round(statistics.median(ratios), 3),
    }


def table(found: dict[str, list[Timing]]) -> dict[str, float]:
    """Print the medians; the flat figures of build/bench.json."""
    ruler = statistics.median(one.wall for one in found["ruler"])
    figures = {"ruler_seconds": round(ruler, 3)}
    print(f"\n{'command':<16}{'seconds':>9}{'rulers':>9}{'CPU s':>8}  remote tasks by host, steps")
    for name, timings in found.items():
        wall = statistics.median(one.wall for one in timings)
        cpu = statistics.median(one.cpu for one in timings)
        ratio = statistics.median(one.wall / base.wall for one, base in zip(timings, found["ruler"], strict=True))
        steps = {step: statistics.median(one.steps[step] for one in timings) for step in timings[0].steps}
        said = ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items())
        tasks = ", ".join(f"{host} {number}" for host, number in sorted(timings[0].remote.items()))
        print(f"{name:<16}{wall:>9.2f}{ratio:>9.2f}{cpu:>8.2f}  {tasks}; {said}")
        figures |= {f"{name}_seconds": round(wall, 3), f"{name}_cpu_seconds": round(cpu, 3)}
        if name != "ruler":
            key = "deploy_2_hosts_ruler" if name == "deploy" else f"{name}_ruler"
            figures[key] = round(ratio, 3)
    return figures


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is measured (default 5)")
    options = parser.parse_args()
    forget()
    try:
        figures = table(rounds(options.rounds))
        forget()
        with one_app_host() as inventory:
            figures |= one_host(inventory, options.rounds)
    finally:
        forget()
    target = REPO / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    print(f"\nwritten to {target.relative_to(REPO)}")


if __name__ == "__main__":
    main()
