# SPDX-License-Identifier: Apache-2.0
"""What experiments do on a host: what is chosen, what is refused, and undos that may run at any time."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.chaos import actions, catalogue, host
from ansible_collections.sluice.stack.plugins.module_utils.chaos.actions import Container, Unfit

MIB = 2**20
RELEASE = "20261128T135138Z-v1.0.0"
SETTINGS = {
    "cpus": 0,
    "memory_margin": 512 * MIB,
    "memory_limit": 8192 * MIB,
    "disk_path": "/data",
    "disk_margin": 512 * MIB,
    "disk_limit": 10240 * MIB,
    "reboot_containers": False,
}


class Fake:
    """A host that is what a test says."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def is_container(self) -> bool:
        return bool(self.known.get("container", False))

    def addresses(self) -> set[str]:
        return {"127.0.0.1", "10.0.0.21", "fd00::21"}

    def resolve(self, name: str) -> list[str]:
        return list(self.known.get("names", {}).get(name, [name] if name[:1].isdigit() or ":" in name else []))

    def containers(self, app: str) -> Sequence[Container]:
        assert app == "shop"
        return self.known.get(
            "containers",
            [
                Container("shop-web-b", 12, "web", RELEASE),
                Container("shop-web-a", 11, "web", RELEASE),
                Container("shop-old", 10, "web", "20261127T000000Z-v0.9.0"),
                Container("shop-mail", 9, "mail", RELEASE),
            ],
        )

    def units(self, pattern: str) -> Sequence[str]:
        found = self.known.get("units", {"postgresql@*": ["postgresql@17-main.service"]})
        return found.get(pattern, [pattern] if "*" not in pattern and "units" not in self.known else [])

    def free(self, path: str) -> tuple[int, str]:
        assert path == "/data"
        return self.known.get("free", (2048 * MIB, "ext2/ext3"))

    def available(self) -> int:
        return int(self.known.get("available", 4096 * MIB))

    def has(self, program: str) -> bool:
        return program == "stress-ng" and bool(self.known.get("stress", True))

    def can_delay(self) -> bool:
        return bool(self.known.get("netem", True))

    def device(self) -> tuple[str, str]:
        return self.known.get("device", ("eth0", "fq_codel"))

    def clocks(self) -> tuple[str, float, float]:
        return "boot-1", 1000.0, 1_800_000_000.0


def chosen(name: str, more: dict[str, Any] | None = None, **known: Any) -> actions.Action:
    target = {
        "app": "shop",
        "release": RELEASE,
        "services": ["web"],
        "peers": ["10.0.0.11", "fd00::11"],
        "ports": [],
        "endpoints": [{"host": "registry.example.com", "port": 5000}],
        "ssh_port": 2222,
        "seconds": 15,
        "settings": {**SETTINGS, **known.pop("settings", {})},
        **(more or {}),
    }
    names = {"registry.example.com": ["192.0.2.1", "2001:db8::1"], **known.pop("names", {})}
    return actions.action(name, Fake(names=names, **known), target)


ON_HOSTS = [one.name for one in catalogue.EXPERIMENTS if one.name in actions.ACTIONS]


def test_every_experiment_has_an_action() -> None:
    assert {*catalogue.NAMES} - {*actions.ACTIONS} == {"deploy_killed"}
    assert {*actions.ACTIONS} <= {*catalogue.NAMES}


@pytest.mark.parametrize("name", ON_HOSTS)
def test_scripts_are_shell_and_the_undo_removes_what_it_armed(name: str) -> None:
    found = chosen(name)
    whole = host.script(name, found.undo)
    for text in (found.start, whole):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert found.note
    # The last things it does: the files, then the timer that may have started it.
    assert whole.endswith(
        f"rm -f {host.WANTED} {host.UNIT} {host.ACTIVE} {host.SCRIPT}\nsystemctl stop {host.TIMER} 2>/dev/null || true\n"
    )
    assert whole.startswith("#!/bin/sh\n") and "\nset -e\n" in whole


@pytest.mark.parametrize(
    ("name", "more", "known", "why"),
    [
        ("container_killed", {}, {"containers": []}, f"no container of {RELEASE} runs here"),
        ("docker_restarted", {}, {"units": {}}, "docker.service does not run here"),
        ("database_paused", {}, {"units": {}}, "postgresql@* does not run here"),
        ("redis_flushed", {}, {"units": {}}, "redis-server.service does not run here"),
        ("network_cut_app", {"peers": ["10.0.0.21"]}, {}, "10.0.0.21: this is the same machine, there is no network to cut"),
        ("network_slow", {}, {"netem": False}, "its kernel has no netem"),
        ("network_slow", {}, {"device": ("eth0", "htb")}, "eth0 has a queueing discipline of its own, htb: to remove the delay would remove it"),
        ("disk_full", {}, {"free": (500 * MIB, "xfs")}, "/data has 500 MiB free, and app_chaos.disk_margin is 512 MiB"),
        ("disk_full", {}, {"free": (70_000 * MIB, "xfs")}, "to fill /data takes 69488 MiB, and app_chaos.disk_limit is 10240 MiB"),
        ("disk_full", {}, {"container": True}, "/data is on a file system (ext2/ext3) that this container shares with its machine"),
        ("cpu_pressure", {}, {"stress": False}, "stress-ng is not installed"),
        ("memory_pressure", {}, {"available": 100 * MIB}, "100 MiB of memory are available, and app_chaos.memory_margin is 512 MiB"),
        ("clock_off", {}, {"container": True}, "a container has its machine's clock"),
        ("registry_away", {"endpoints": []}, {}, "registries: none is used here, or it is on this machine"),
        ("registry_away", {}, {"names": {"registry.example.com": ["10.0.0.21"]}}, "registries: none is used here, or it is on this machine"),
        ("host_rebooted", {}, {"container": True}, "a container is not started again by itself (app_chaos.reboot_containers says that these are)"),
    ],
)  # fmt: skip
def test_where_it_cannot_be_done_nothing_is(name: str, more: dict[str, Any], known: dict[str, Any], why: str) -> None:
    with pytest.raises(Unfit) as refused:
        chosen(name, more, **known)
    assert str(refused.value) == why


def test_the_killed_container_is_one_of_the_live_release_that_serves() -> None:
    found = chosen("container_killed")
    assert found.start == "kill -KILL 11" and found.note == "shop-web-a"
    assert "docker start shop-web-a" in found.undo


@pytest.mark.parametrize(("policy", "started"), [("unless-stopped", True), ("no", False), ("", False)])
def test_the_undo_starts_no_container_that_a_deploy_has_retired(tmp_path: Path, policy: str, started: bool) -> None:
    fake = tmp_path / "docker"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = inspect ] && echo {policy}\n[ "$1" = start ] && touch {tmp_path}/started\nexit 0\n'
    )
    fake.chmod(0o755)
    undo = chosen("container_killed").undo
    for _ in range(2):
        subprocess.run(["sh", "-e", "-c", undo], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "started").exists() == started


def test_a_cut_leaves_ssh_open_and_has_both_families_and_directions() -> None:
    text = chosen("network_cut_app").start
    for hook in ("prerouting", "output"):
        (chain,) = (line for line in text.splitlines() if f"hook {hook} " in line)
        assert chain.index("tcp dport 2222 accept") < chain.index("drop")
        for rule in ("ip saddr { 10.0.0.11 } drop;", "ip daddr { 10.0.0.11 } drop;", "ip6 saddr { fd00::11 } drop;"):
            assert rule in chain


def test_a_cut_of_a_service_is_of_its_port() -> None:
    text = chosen("network_cut_cache", {"ports": [6379]}).start
    assert "ip saddr { 10.0.0.11 } tcp dport { 6379 } drop;" in text
    assert "ip daddr { 10.0.0.11 } tcp sport { 6379 } drop;" in text
    assert "10.0.0.11 } drop" not in text


def test_what_is_away_is_so_at_its_port_by_all_its_addresses() -> None:
    found = chosen("registry_away")
    assert "ip daddr { 192.0.2.1 } tcp dport 5000 drop;" in found.start
    assert "ip6 daddr { 2001:db8::1 } tcp dport 5000 drop;" in found.start
    assert found.note == "registry.example.com:5000"


@pytest.mark.parametrize(("available", "taken"), [(1024, 512), (100_000, 8192)])
def test_memory_is_bounded_by_the_margin_and_the_limit(available: int, taken: int) -> None:
    found = chosen("memory_pressure", available=available * MIB)
    assert f"--vm-bytes {taken * MIB} " in found.start
    # The unit's own limit ends it first, and the kernel prefers it to anything else.
    assert f"MemoryMax={taken * MIB + actions.OVERHEAD} " in found.start and "OOMScoreAdjust=1000" in found.start
    assert "RuntimeMaxSec=15 " in found.start


def test_a_disk_is_filled_up_to_the_margin_and_emptied_twice(tmp_path: Path) -> None:
    found = chosen("disk_full")
    assert found.start == f"fallocate -l {1536 * MIB} /data/{actions.FILL}"
    for _ in range(2):
        subprocess.run(["sh", "-e", "-c", found.undo.replace("/data", str(tmp_path))], check=True)


def test_the_clock_is_set_back_by_one_that_cannot_be_set(tmp_path: Path) -> None:
    """However often the undo runs, the time of day is what it would be by now; after a boot it is left alone."""
    found = chosen("clock_off", units={"chrony.service": ["chrony.service"]})
    assert found.start.splitlines()[0] == "systemctl stop chrony.service"
    assert found.undo.splitlines()[-1] == "systemctl start chrony.service"
    assert "time.time() + 90" in found.start
    code = found.undo.splitlines()[0].split("-c ", 1)[1].strip("'").replace("'\"'\"'", "'")
    set_to: list[float] = []

    class Time:
        CLOCK_REALTIME, CLOCK_BOOTTIME = time.CLOCK_REALTIME, time.CLOCK_BOOTTIME
        clock_gettime = staticmethod(lambda _which: 1040.0)
        clock_settime = staticmethod(lambda _which, value: set_to.append(value))

    (tmp_path / "boot").write_text("boot-1\n")
    for boot in ("boot-1\n", "boot-1\n", "boot-2\n"):
        (tmp_path / "boot").write_text(boot)
        shown = code.replace("import time; ", "").replace("/proc/sys/kernel/random/boot_id", str(tmp_path / "boot"))
        exec(shown, {"time": Time})
    assert set_to == [1_800_000_040.0] * 2


def test_redis_gets_its_password_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "password.conf").write_text('# managed\nrequirepass "s3cret word"\n')
    (tmp_path / "redis-cli").write_text(f'#!/bin/sh\necho "$*:$REDISCLI_AUTH" >{tmp_path}/seen\necho OK\n')
    (tmp_path / "redis-cli").chmod(0o755)
    script = chosen("redis_flushed").start.replace("/etc/redis/sluice-password.conf", str(tmp_path / "password.conf"))
    subprocess.run(["sh", "-e", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "seen").read_text() == "FLUSHALL:s3cret word\n"


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed here")
def test_nft_accepts_the_table() -> None:
    subprocess.run(
        ["nft", "-c", "-f", "-"],
        input=chosen("network_cut_app").start.split("END'\n")[1].removesuffix("END"),
        text=True,
        check=True,
    )
