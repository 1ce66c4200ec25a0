#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Lab hosts: systemd containers with room for a Docker engine of their own, reached over SSH."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fcntl
import hashlib
import json
import pathlib
import socket
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: lab_hosts
short_description: Make or remove the hosts of one lab network
description:
  - Uses the docker command line. The options such a host needs are not all there in the engine's API clients.
  - A host whose definition, image and key are unchanged is kept and, if it is stopped, started.
options:
  scenario:
    description: Names the network and the containers, C(sluice-<scenario>) and C(sluice-<scenario>-<host>).
    type: str
    required: true
  beside:
    description: Another scenario, in whose network the hosts shall be and by whose name the containers go; its hosts must be there.
    type: str
  platforms:
    description: The hosts, each with name, address, image and publish (ports of the host shown on 127.0.0.1).
    type: list
    elements: dict
    default: []
  state:
    description: Whether the hosts shall be there.
    type: str
    choices: [present, absent]
    default: present
  public_key:
    description: What the user C(admin) lets in.
    type: path
  known_hosts:
    description: File kept equal to the hosts' own keys.
    type: path
  port_base:
    description: A published port takes the first free one from itself and this on.
    type: int
    default: 8000
  boot_seconds:
    description: How long a host may take to boot.
    type: int
    default: 90
"""

EXAMPLES = r"""
- lab_hosts:
    scenario: lab
    platforms: [{name: edge1, address: 10.213.7.11, image: "sluice-lab/host:trixie", publish: [80]}]
    public_key: .lab/id_ed25519.pub
    known_hosts: .lab/known_hosts
"""

RETURN = r"""
hosts:
  description: One line on what happened to each host.
  returned: state is present
  type: dict
"""

LABEL = "stack.sluice.lab"
DEFINITION = "stack.sluice.lab.definition"
POLL_SECONDS = 0.3

# What systemd and a nested engine need, and nothing is left to the engine's defaults. Not --privileged: that fails on
# machines which themselves lack CAP_SYS_RESOURCE. The volume keeps nested layers off the overlay file system.
HOST_OPTIONS = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--cgroupns=private",
    "--tmpfs=/run:exec",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp:exec",
    "--volume=/var/lib/docker",
]


class LabError(Exception):
    """Something a person can act on; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Host:
    """One host as its scenario describes it."""

    name: str
    address: str
    image: str
    publish: tuple[int, ...]

    @classmethod
    def of(cls, platform: dict[str, Any]) -> Host:
        """Read a platform entry; raises LabError for one that lacks something."""
        try:
            return cls(
                name=platform["name"],
                address=platform["address"],
                image=platform["image"],
                publish=tuple(int(port) for port in platform.get("publish") or ()),
            )
        except KeyError as exc:
            name = platform.get("name", "?")
            raise LabError(f"platform {name} has no {exc.args[0]!r}; set it in molecule.yml") from exc


def docker(
    *args: str, stdin: str | None = None, check: bool = True, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the docker command line; raises LabError with its last line when it fails."""
    done = subprocess.run(["docker", *args], input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise LabError(f"docker {args[0]} {args[1] if len(args) > 1 else ''}: {reason}")
    return done


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """Return what the engine knows of one object, None when there is none."""
    done = docker(kind, "inspect", name, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def subnet_of(hosts: list[Host]) -> str:
    """The /24 all hosts share."""
    nets = {host.address.rsplit(".", 1)[0] for host in hosts}
    if len(nets) != 1:
        raise LabError(f"the hosts' addresses are in {len(nets)} networks ({', '.join(sorted(nets))}); use one /24")
    return f"{nets.pop()}.0/24"


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on, on 127.0.0.1."""
    for port in range(first, first + 500):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError(f"no free port on 127.0.0.1 between {first} and {first + 499}")


class Lab:
    """The hosts of one scenario."""

    def __init__(self, scenario: str, params: dict[str, Any]) -> None:
        """Keep the names; nothing is done yet."""
        self.scenario = scenario
        self.beside = params["beside"] or None
        self.network = f"sluice-{self.beside or scenario}"
        self.params = params

    def container(self, host: Host) -> str:
        """Name of a host's container."""
        return f"{self.network}-{host.name}"

    # -- network ---------------------------------------------------------------------------------------------------

    def ensure_network(self, subnet: str) -> bool:
        """Make the network, a changed subnet anew; another scenario's has to be there."""
        known = inspect("network", self.network)
        if self.beside:
            have = known["IPAM"]["Config"][0]["Subnet"] if known else "not there"
            if have != subnet:
                raise LabError(
                    f"the hosts shall be in network {self.network} with {subnet}, and it is {have}: bring up {self.beside} first"
                )
            return False
        if known is not None:
            have = known["IPAM"]["Config"][0]["Subnet"]
            if have == subnet:
                return False
            self.remove_hosts()
            docker("network", "rm", self.network)
        docker("network", "create", "--subnet", subnet, "--label", f"{LABEL}={self.scenario}", self.network)
        return True

    # -- one host --------------------------------------------------------------------------------------------------

    def definition(self, host: Host, key: str) -> str:
        """Digest of all that makes a host what it is; another digest is another host."""
        image = inspect("image", host.image)
        if image is None:
            raise LabError(f"image {host.image} is missing; build it with scripts/lab-image")
        parts = [dataclasses.astuple(host), HOST_OPTIONS, image["Id"], key]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

    def ensure_host(self, host: Host, key: str, port_base: int) -> str:
        """Create, start or keep one host; returns what was done."""
        name, definition = self.container(host), self.definition(host, key)
        known = inspect("container", name)
        if known is not None and known["Config"]["Labels"].get(DEFINITION) == definition:
            if known["State"]["Running"]:
                return "kept"
            if docker("start", name, check=False).returncode == 0:
                return "started"
            # Its published port may have been taken meanwhile: only a new container can have another one.
        if known is not None:
            docker("rm", "--force", "--volumes", name)
        ports: list[str] = []
        for inside in host.publish:
            ports += ["--publish", f"127.0.0.1:{free_port(port_base + inside)}:{inside}"]
        docker(
            *("run", "--detach", "--name", name, "--hostname", host.name),
            *("--network", self.network, "--ip", host.address, *ports),
            *("--label", f"{LABEL}={self.scenario}", "--label", f"{DEFINITION}={definition}"),
            *HOST_OPTIONS,
            host.image,
        )
        return "created"

    def let_in(self, host: Host, key: str) -> None:
        """Make sure the key opens the host; also a kept one, whose creation may have been interrupted here."""
        add = 'umask 077; key=$(cat); cd ~/.ssh; grep -qsxF "$key" authorized_keys || echo "$key" >>authorized_keys'
        name = self.container(host)
        words = ("--interactive", "--user", "admin", "--env", "HOME=/home/admin", name, "sh", "-c", add)
        try:
            docker("exec", *words, stdin=key)
        except LabError:
            known = inspect("container", name)
            if known is None or known["State"]["Running"]:
                raise
            limit = pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="utf-8").strip()
            raise LabError(
                f"host {host.name} ended while it booted. Each host takes about 7 inotify instances, and this machine has {limit} "
                "(sysctl fs.inotify.max_user_instances): raise that, or remove other scenarios' hosts"
            ) from None

    def wait_for_boot(self, host: Host) -> str:
        """Wait until systemd has settled and sshd answers; returns the host's public key."""
        name, deadline = self.container(host), time.monotonic() + self.params["boot_seconds"]
        state = "no answer"
        while time.monotonic() < deadline:
            done = docker("exec", name, "systemctl", "is-system-running", check=False)
            state = done.stdout.strip() or done.stderr.strip() or state
            if state in {"running", "degraded"} and self.ssh_answers(host):
                return docker("exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.strip()
            time.sleep(POLL_SECONDS)
        raise LabError(
            f"host {host.name} did not boot within {self.params['boot_seconds']} s (systemd says: {state}); "
            f"see: docker exec {name} journalctl -b"
        )

    @staticmethod
    def ssh_answers(host: Host) -> bool:
        """Whether the SSH port greets."""
        try:
            with socket.create_connection((host.address, 22), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    # -- all hosts -------------------------------------------------------------------------------------------------

    def ensure(self, hosts: list[Host]) -> dict[str, str]:
        """Make all hosts; returns what was done to each."""
        key = pathlib.Path(self.params["public_key"]).read_text(encoding="utf-8")
        self.ensure_network(subnet_of(hosts))
        unwanted = set(self.containers()) - {self.container(host) for host in hosts}
        self.remove_hosts(unwanted)
        # One after the other: two at once could pick the same free port. Booting is what takes time, and that overlaps.
        done = {host.name: self.ensure_host(host, key, self.params["port_base"]) for host in hosts}
        for host in hosts:
            self.let_in(host, key)
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(hosts)) as pool:
            host_keys = list(pool.map(self.wait_for_boot, hosts))
        self.write_known_hosts({host.address: known for host, known in zip(hosts, host_keys, strict=True)})
        for host in hosts:
            if done[host.name] != "kept":
                self.forget_connections(host)
        return done

    def containers(self) -> list[str]:
        """Names of all containers of this scenario, stopped ones too."""
        mine = f"label={LABEL}={self.scenario}"
        return docker("ps", "--all", "--filter", mine, "--format", "{{.Names}}").stdout.split()

    def remove_hosts(self, names: set[str] | None = None) -> bool:
        """Remove these containers (all by default) with their volumes."""
        doomed = sorted(self.containers() if names is None else names)
        if doomed:
            docker("rm", "--force", "--volumes", *doomed)
        return bool(doomed)

    def remove(self) -> bool:
        """Remove all that `ensure` made."""
        changed = self.remove_hosts()
        if not self.beside and inspect("network", self.network) is not None:
            docker("network", "rm", self.network)
            changed = True
        return changed

    def write_known_hosts(self, keys: dict[str, str]) -> None:
        """Replace the lines of these addresses; other scenarios share the file."""
        path = pathlib.Path(self.params["known_hosts"])
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            kept = [line for line in file.read().splitlines() if line.split(" ", 1)[0] not in keys]
            file.truncate(0)
            lines = kept + [f"{address} {' '.join(key.split()[:2])}" for address, key in keys.items()]
            file.write("".join(f"{line}\n" for line in lines))

    @staticmethod
    def forget_connections(host: Host) -> None:
        """A new host at an old address: open SSH connections to the old one would hang."""
        for stale in (pathlib.Path.home() / ".ansible" / "cp").glob(f"sluice-{host.address}*"):
            stale.unlink(missing_ok=True)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "scenario": {"type": "str", "required": True},
            "beside": {"type": "str"},
            "platforms": {"type": "list", "elements": "dict", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "public_key": {"type": "path", "no_log": False},
            "known_hosts": {"type": "path"},
            "port_base": {"type": "int", "default": 8000},
            "boot_seconds": {"type": "int", "default": 90},
        },
        required_if=[("state", "present", ["platforms", "public_key", "known_hosts"])],
    )
    lab = Lab(module.params["scenario"], module.params)
    try:
        if module.params["state"] == "absent":
            module.exit_json(changed=lab.remove())
        done = lab.ensure([Host.of(platform) for platform in module.params["platforms"]])
    except (LabError, OSError, subprocess.TimeoutExpired) as exc:
        module.fail_json(msg=f"lab hosts: {exc}")
    module.exit_json(changed=any(what != "kept" for what in done.values()), hosts=done)


if __name__ == "__main__":
    main()
