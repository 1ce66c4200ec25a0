# SPDX-License-Identifier: Apache-2.0
"""What an experiment does on its host and how that is undone, as two shell scripts. Pure: what it has to know of the host it asks a ``Host``.

Every undo is idempotent. It may run at any time: after a start that did half of its work, twice, after a boot, or when a deploy has changed the host
meanwhile.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import Any, NamedTuple, Protocol

TABLE = "inet sluice_chaos"
# Removes the table, whether it is there or not; "nft destroy" needs a newer kernel than Debian 12's.
UNCUT = f"nft add table {TABLE}\nnft delete table {TABLE}"
LOAD = "sluice-chaos-load.service"
UNLOAD = f"systemctl stop {LOAD} 2>/dev/null || true\nsystemctl reset-failed {LOAD} 2>/dev/null || true"
FILL = ".sluice-chaos-fill"
CLOCK_SECONDS = 90
DELAY = "200ms"
MIB = 2**20
PSQL = 'runuser -u postgres -- psql -qAtX -d postgres -c "{}"'
GONE = "DROP TABLE IF EXISTS sluice_chaos"
ROW = f"{GONE}; CREATE TABLE sluice_chaos (id int); INSERT INTO sluice_chaos VALUES (1)"  # noqa: S608 - of constants
COUNT = "SELECT count(*) FROM sluice_chaos"
ANSWERS = "for _ in $(seq 60); do if pg_isready -q; then break; fi; sleep 0.5; done"
# What a load may take besides what it is to take.
OVERHEAD = 64 * MIB


class Unfit(Exception):
    """The experiment cannot be done on this host; the message says why. Nothing was changed."""


class Container(NamedTuple):
    """A running container of the app."""

    name: str
    pid: int
    service: str
    release: str


class Host(Protocol):
    """What actions have to know of the host."""

    def is_container(self) -> bool:
        """Whether it shares its kernel, and so its clock, with others."""

    def addresses(self) -> set[str]:
        """Its own addresses."""

    def resolve(self, name: str) -> list[str]:
        """The addresses of a name; empty when there are none."""

    def containers(self, app: str) -> Sequence[Container]:
        """The app's running containers that the engine starts again by itself."""

    def units(self, pattern: str) -> Sequence[str]:
        """The loaded, active services of a pattern."""

    def free(self, path: str) -> tuple[int, str]:
        """The free bytes of a path's file system, and its type."""

    def available(self) -> int:
        """The bytes of memory that are available."""

    def has(self, program: str) -> bool:
        """Whether a program is installed."""

    def can_delay(self) -> bool:
        """Whether the kernel has netem."""

    def device(self) -> tuple[str, str]:
        """The network device with the default route, and its queueing discipline; empty without one."""

    def clocks(self) -> tuple[str, float, float]:
        """The boot's id, the seconds since boot and the time of day."""


class Action(NamedTuple):
    """Two scripts for ``sh -e``; ``note`` says what exactly was chosen."""

    start: str
    undo: str
    note: str


Target = Mapping[str, Any]


def action(name: str, host: Host, target: Target) -> Action:
    """Return what an experiment does here; raises Unfit.

    ``target`` is what the controller knows, from plan.target.
    """
    return ACTIONS[name](host, target)


# -- processes and services --------------------------------------------------------------------------------------------


def container_killed(host: Host, target: Target) -> Action:
    """By its process and not by the engine: that starts again what crashed, and not what somebody stopped."""
    found = [
        one
        for one in host.containers(target["app"])
        if one.release == target["release"] and one.service in target["services"]
    ]
    if not found:
        raise Unfit(f"no container of {target['release']} runs here")
    one = min(found, key=lambda item: item.name)
    # One that a deploy has retired meanwhile is not to come back.
    kept = f"docker inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' {quote(one.name)} 2>/dev/null || true"
    undo = f'if [ "$({kept})" = unless-stopped ]; then docker start {quote(one.name)}; fi'
    return Action(f"kill -KILL {one.pid}", undo, one.name)


def service(unit: str, verb: str) -> Callable[[Host, Target], Action]:
    """Restart or stop a service."""

    def build(host: Host, _target: Target) -> Action:
        units = host.units(unit)
        if not units:
            raise Unfit(f"{unit} does not run here")
        names = " ".join(map(quote, units))
        return Action(f"systemctl {verb} {names}", f"systemctl start {names}", " ".join(units))

    return build


def database_restarted(host: Host, target: Target) -> Action:
    """With a row that is committed just before and has to be there just after."""
    found = service("postgresql@*", "restart")(host, target)
    start = (PSQL.format(ROW), found.start, ANSWERS, f'[ "$({PSQL.format(COUNT)})" = 1 ]', PSQL.format(GONE))
    undo = (found.undo, ANSWERS, PSQL.format(GONE))
    return Action("\n".join(start), "\n".join(undo), f"{found.note}; 1 of 1 committed rows kept")


def database_paused(host: Host, _target: Target) -> Action:
    """All processes at once; what they hold in memory stays."""
    units = host.units("postgresql@*")
    if not units:
        raise Unfit("postgresql@* does not run here")
    lines = [f"systemctl kill --kill-whom=all --signal={{}} {quote(unit)}" for unit in units]
    # A restart of the service meanwhile leaves nothing to continue.
    undo = "\n".join(line.format("CONT") + " || true" for line in lines)
    return Action("\n".join(line.format("STOP") for line in lines), undo, " ".join(units))


def redis_flushed(host: Host, _target: Target) -> Action:
    """The password is in a file that only root and Redis can read, and is given in the environment."""
    if not host.units("redis-server.service"):
        raise Unfit("redis-server.service does not run here")
    found = "sed -n 's/^requirepass \"\\(.*\\)\"$/\\1/p' /etc/redis/sluice-password.conf"
    start = f'REDISCLI_AUTH="$({found})"\nexport REDISCLI_AUTH\n[ "$(redis-cli FLUSHALL)" = OK ]'
    return Action(start, ":", "FLUSHALL")


def host_rebooted(host: Host, target: Target) -> Action:
    """A moment later, so that the answer still leaves."""
    if host.is_container() and not target["settings"]["reboot_containers"]:
        raise Unfit("a container is not started again by itself (app_chaos.reboot_containers says that these are)")
    return Action(
        "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot", ":", "reboot"
    )


# -- the network -------------------------------------------------------------------------------------------------------


def table(rules: Sequence[str], ssh_port: int) -> str:
    """A script that loads a table of its own, before all others: for packets of this host, and for those of its containers. SSH stays open."""
    ssh = f"tcp dport {ssh_port} accept; tcp sport {ssh_port} accept;"
    chains = (
        f"  chain {hook} {{ type filter hook {hook} priority -350; {ssh} {' '.join(f'{rule};' for rule in rules)} }}"
        for hook in ("prerouting", "output")
    )
    return "\n".join((UNCUT, "nft -f - <<'END'", f"table {TABLE} {{", *chains, "}", "END"))


def matching(direction: str, addresses: Sequence[str]) -> list[str]:
    """The beginning of a rule for each family among the addresses."""
    families: dict[int, list[str]] = {}
    for address in addresses:
        families.setdefault(ipaddress.ip_address(address).version, []).append(address)
    word = {4: "ip", 6: "ip6"}
    return [f"{word[family]} {direction} {{ {', '.join(found)} }}" for family, found in sorted(families.items())]


def network_cut(host: Host, target: Target) -> Action:
    """Both directions, so that what is open hangs as well: nobody is told."""
    named = {name: host.resolve(name) for name in target["peers"]}
    others = sorted({address for found in named.values() for address in found} - host.addresses())
    if not others:
        raise Unfit(f"{', '.join(target['peers']) or 'nobody'}: this is the same machine, there is no network to cut")
    ports = ", ".join(str(port) for port in target["ports"])
    ways = (
        ("saddr", f" tcp dport {{ {ports} }}" if ports else ""),
        ("daddr", f" tcp sport {{ {ports} }}" if ports else ""),
    )
    rules = [f"{match}{only} drop" for way, only in ways for match in matching(way, others)]
    what = f", port {ports}" if ports else ""
    return Action(table(rules, target["ssh_port"]), UNCUT, f"from and to {', '.join(others)}{what}")


def away(what: str) -> Callable[[Host, Target], Action]:
    """What is sent to some services elsewhere is dropped."""

    def build(host: Host, target: Target) -> Action:
        rules = []
        for end in target["endpoints"]:
            name, port = str(end["host"]), int(end["port"])
            found = [address for address in host.resolve(name) if address not in host.addresses()]
            rules += [f"{match} tcp dport {port} drop" for match in matching("daddr", found)]
        if not rules:
            raise Unfit(f"{what}: none is used here, or it is on this machine")
        return Action(
            table(rules, target["ssh_port"]),
            UNCUT,
            ", ".join(f"{end['host']}:{end['port']}" for end in target["endpoints"]),
        )

    return build


def dns_away(_host: Host, target: Target) -> Action:
    """Also what containers ask, through the engine or directly."""
    return Action(table(["meta l4proto { tcp, udp } th dport 53 drop"], target["ssh_port"]), UNCUT, "port 53")


def network_slow(host: Host, _target: Target) -> Action:
    """All that leaves the host's first device, SSH too."""
    if not host.can_delay():
        raise Unfit("its kernel has no netem")
    device, discipline = host.device()
    if not device:
        raise Unfit("it has no default route")
    if discipline not in ("noqueue", "pfifo_fast", "fq_codel", "mq", "fq"):
        raise Unfit(f"{device} has a queueing discipline of its own, {discipline}: to remove the delay would remove it")
    gone = f"if tc qdisc show dev {device} root | grep -q netem; then tc qdisc del dev {device} root; fi"
    return Action(f"tc qdisc replace dev {device} root netem delay {DELAY}", gone, f"{DELAY} on {device}")


# -- what a host has ---------------------------------------------------------------------------------------------------


def disk_full(host: Host, target: Target) -> Action:
    """One file that takes the space at once; nothing is written."""
    settings = target["settings"]
    path, margin, limit = settings["disk_path"], settings["disk_margin"], settings["disk_limit"]
    free, kind = host.free(path)
    # A volume is a directory of the machine's disk.
    if host.is_container() and kind != "tmpfs":
        raise Unfit(f"{path} is on a file system ({kind}) that this container shares with its machine")
    size = free - margin
    if size <= 0:
        raise Unfit(f"{path} has {free // MIB} MiB free, and app_chaos.disk_margin is {margin // MIB} MiB")
    if size > limit:
        raise Unfit(f"to fill {path} takes {size // MIB} MiB, and app_chaos.disk_limit is {limit // MIB} MiB")
    file = quote(f"{path.rstrip('/')}/{FILL}")
    return Action(f"fallocate -l {size} {file}", f"rm -f {file}", f"{path}: {margin // MIB} MiB left")


def _load(host: Host, target: Target, options: str, memory: int, note: str) -> Action:
    """Run stress-ng in a unit with limits of its own: it is what the kernel ends first, and it ends by itself."""
    if not host.has("stress-ng"):
        raise Unfit("stress-ng is not installed")
    seconds = max(1, round(float(target["seconds"])))
    limits = f"-p RuntimeMaxSec={seconds} -p MemoryMax={memory} -p MemorySwapMax=0 -p OOMScoreAdjust=1000"
    start = f"systemd-run --quiet --collect --unit={LOAD} {limits} stress-ng --quiet --timeout {seconds} {options}"
    return Action(f"{UNLOAD}\n{start}", UNLOAD, note)


def cpu_pressure(host: Host, target: Target) -> Action:
    """0 workers are one for each processor."""
    workers = int(target["settings"]["cpus"])
    return _load(host, target, f"--cpu {workers}", 256 * MIB, f"{workers or 'all'} processors")


def memory_pressure(host: Host, target: Target) -> Action:
    """What is available but the margin."""
    settings = target["settings"]
    size = min(host.available() - settings["memory_margin"], settings["memory_limit"])
    if size <= 0:
        raise Unfit(
            f"{host.available() // MIB} MiB of memory are available, and app_chaos.memory_margin is {settings['memory_margin'] // MIB} MiB"
        )
    return _load(host, target, f"--vm 1 --vm-bytes {size} --vm-keep", size + OVERHEAD, f"{size // MIB} MiB")


def clock_off(host: Host, _target: Target) -> Action:
    """By the clock that cannot be set: the time of day at an undo is what it would be by now, however often and however late it runs.

    After a boot only the service that keeps the time is started, which corrects it.
    """
    if host.is_container():
        raise Unfit("a container has its machine's clock")
    boot, since, now = host.clocks()
    keepers = [unit for name in ("systemd-timesyncd", "chrony", "ntpsec") for unit in host.units(f"{name}.service")]
    names = " ".join(map(quote, keepers))
    code = (
        "import time; boot = open('/proc/sys/kernel/random/boot_id').read().strip(); "
        f"boot == {boot!r} and time.clock_settime(time.CLOCK_REALTIME, {now!r} + time.clock_gettime(time.CLOCK_BOOTTIME) - {since!r})"
    )
    ahead = f"import time; time.clock_settime(time.CLOCK_REALTIME, time.time() + {CLOCK_SECONDS})"
    start = ([f"systemctl stop {names}"] if keepers else []) + [f"python3 -I -c {quote(ahead)}"]
    undo = [f"python3 -I -c {quote(code)}"] + ([f"systemctl start {names}"] if keepers else [])
    return Action("\n".join(start), "\n".join(undo), f"{CLOCK_SECONDS} s ahead")


ACTIONS: dict[str, Callable[[Host, Target], Action]] = {
    "container_killed": container_killed,
    "docker_restarted": service("docker.service", "restart"),
    "network_cut_app": network_cut,
    "network_cut_database": network_cut,
    "network_cut_cache": network_cut,
    "network_slow": network_slow,
    "edge_down": service("nginx.service", "stop"),
    "database_restarted": database_restarted,
    "database_paused": database_paused,
    "redis_restarted": service("redis-server.service", "restart"),
    "redis_flushed": redis_flushed,
    "disk_full": disk_full,
    "cpu_pressure": cpu_pressure,
    "memory_pressure": memory_pressure,
    "clock_off": clock_off,
    "registry_away": away("registries"),
    "object_store_away": away("object stores"),
    "acme_away": away("certificate authorities"),
    "secret_store_away": away("stores of secrets"),
    "dns_away": dns_away,
    "host_rebooted": host_rebooted,
}
