# SPDX-License-Identifier: Apache-2.0
"""A runner of the example's pipeline: a container with a Docker engine of its own on the lab's network, and act in GitHub's place.

In it stands a clone of the marketplace, as a repository of its own, with inventories of the lab. tests/act/README.md says what
stands in for what.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.example import MARKETPLACE
from tests.support.lab import INVENTORY, PREFIX, REGISTRY, Lab, until
from tests.support.playbook import REPO

NAME = f"{PREFIX}-runner1"
ADDRESS = f"{REGISTRY.rpartition('.')[0]}.61"
HERE = "/root/marketplace"
# A repository beside the lab's own images.
IMAGES = f"{REGISTRY}/pipeline"
# As the lab's hosts: see molecule/shared/library/lab_hosts.py.
OPTIONS = (
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--cgroupns=private",
    "--tmpfs=/run:exec",
    "--tmpfs=/tmp:exec",
    "--volume=/var/lib/docker",
    "--volume=/var/lib/containerd",
)
MADE = {"node_modules", "dist", "generated", ".test-build", "__pycache__", "results", "report"}


@dataclass(frozen=True)
class Workflow:
    """A run of a workflow that ended."""

    code: int
    output: str

    def __str__(self) -> str:
        return f"{self.output}\n(exit code {self.code})"

    __repr__ = __str__

    def steps(self, result: str) -> set[str]:
        """The steps with a result, Success or Failure, as ``job: step``."""
        found = re.findall(
            rf"^\[[^\]]*?([^/\]]+?) *\] +\S+ +{result} - Main (.*?)(?: \[[\d.a-zµ]+\])?$", self.output, re.MULTILINE
        )
        return {f"{job.strip()}: {step}" for job, step in found}

    def good(self) -> Workflow:
        """This run; fails the test when a job failed."""
        assert self.code == 0, self.tail()
        return self

    def failed(self, *steps: str) -> Workflow:
        """This run; fails the test unless exactly these steps failed."""
        assert self.code != 0 and self.steps("Failure") == set(steps), f"{self.steps('Failure')}\n{self.tail()}"
        return self

    def tail(self) -> str:
        """Its last words."""
        return "\n".join(self.output.splitlines()[-80:])


class Runner:
    """The running runner."""

    def __init__(self, lab: Lab) -> None:
        """For the running lab, whose hosts it deploys to."""
        self.lab = lab
        self.secrets: dict[str, str] = {}
        self.variables: dict[str, str] = {}

    def shell(self, script: str, check: bool = True, stdin: bytes | None = None, timeout: float = 60) -> str:
        """The output of a script in the runner, in the repository once that is there."""
        done = subprocess.run(
            ["docker", "exec", "--interactive", NAME, "bash", "-c", f"cd {HERE} 2>/dev/null; {script}"],
            input=stdin or b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert not check or done.returncode == 0, f"runner: {script}: exit code {done.returncode}\n{output}"
        return output

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files of the runner, by their absolute or relative path."""
        for path, text in files.items():
            self.shell(
                f"mkdir -p \"$(dirname '{path}')\" && cat >'{path}'",
                stdin=text if isinstance(text, bytes) else text.encode(),
            )

    def copy(self, folder: Path, target: str) -> None:
        """Copy a folder's files into one of the runner, without what tools made in it."""
        with tempfile.TemporaryFile() as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(folder, ".", filter=lambda item: None if Path(item.name).name in MADE else item)
            archive.seek(0)
            subprocess.run(
                [
                    "docker",
                    "exec",
                    "--interactive",
                    NAME,
                    "sh",
                    "-c",
                    f"mkdir -p {target} && tar -C {target} --no-same-owner -xf -",
                ],
                stdin=archive,
                check=True,
            )

    def act(
        self, ref: str, workflow: str, *options: str, event: str = "push", timeout: float = 900, **payload: Any
    ) -> Workflow:
        """Have act run a workflow for an event on a ref."""
        as_env = lambda values: "".join(f"{name}={json.dumps(value)}\n" for name, value in values.items())  # noqa: E731
        self.write(
            {
                "/root/event.json": json.dumps({"ref": ref, **payload}),
                "/run/secrets.env": as_env(self.secrets),
                "/run/vars.env": as_env(self.variables),
            }
        )
        command = [
            # Its time is up in the runner too: what goes on there would deploy.
            *("timeout", "--kill-after=20", str(timeout)),
            *("act", event, "--eventpath", "/root/event.json", "--workflows", f".github/workflows/{workflow}.yml"),
            *("--platform", "ubuntu-24.04=-self-hosted", "--concurrent-jobs", "2"),
            *("--secret-file", "/run/secrets.env", "--var-file", "/run/vars.env"),
            *(f"--local-repository={action}" for action in stand_ins()),
            *options,
        ]
        done = subprocess.run(
            ["docker", "exec", "--workdir", HERE, NAME, *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout + 30,
            check=False,
        )
        return Workflow(done.returncode, done.stdout + done.stderr)

    def commit(self, message: str, files: Mapping[str, str] | None = None, tag: str = "") -> str:
        """Commit what the repository holds, with other contents of files, and perhaps tag it; the commit."""
        self.write(files or {})
        self.shell(f"git add --all && git commit --quiet --allow-empty --message '{message}'")
        if tag:
            self.write({"/root/tag": tag})
            self.shell('git tag --force "$(cat /root/tag)"')
        return self.shell("git rev-parse HEAD").strip()

    def registry(self, service: str, path: str) -> Any:
        """What the registry holds under a path of a service, None where it holds nothing."""
        host, _, name = IMAGES.partition("/")
        login = base64.b64encode(f"marketplace:{self.secrets['REGISTRY_PASSWORD']}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Accept": "application/vnd.oci.image.index.v1+json"}
        request = urllib.request.Request(f"https://{host}/v2/{name}/{service}/{path}", headers=headers)
        trust = ssl.create_default_context(cafile=REPO / ".lab/ca/ca.pem")
        try:
            with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def tags(self, service: str) -> set[str]:
        """The tags of a service's images."""
        found = self.registry(service, "tags/list")
        return set(found["tags"] or []) if found else set()


def stand_ins() -> list[str]:
    """Every action the workflows use, at the very commit they name, and what stands in for it."""
    text = "\n".join(path.read_text() for path in sorted((MARKETPLACE / ".github/workflows").glob("*.yml")))
    used = sorted(set(re.findall(r"uses: ([\w.-]+/([\w.-]+))(?:/[\w-]+)*@([0-9a-f]{40})", text)))
    # act itself copies the repository in place of the one checkout.
    return [f"{action}@{sha}=/opt/act/actions/{name}" for action, name, sha in used if action != "actions/checkout"]


@contextlib.contextmanager
def running(lab: Lab) -> Iterator[Runner]:
    """A runner with the marketplace on branch develop, its images' bases and all secrets; it goes away afterwards."""
    image = subprocess.run(
        [REPO / "scripts/lab-image", "runner"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["docker", "rm", "--force", "--volumes", NAME], capture_output=True, check=False)
    place = (
        "--name",
        NAME,
        "--hostname",
        "runner1",
        "--network",
        PREFIX,
        "--ip",
        ADDRESS,
        "--label",
        "stack.sluice.lab=runner",
    )
    subprocess.run(["docker", "run", "--detach", "--init", *place, *OPTIONS, image], capture_output=True, check=True)
    try:
        runner = Runner(lab)
        _engine(runner)
        _repository(runner)
        yield runner
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", NAME], capture_output=True, check=True)


def _engine(runner: Runner) -> None:
    # containerd's image store can do what GitHub's builder does: provenance, and a cache in a registry.
    runner.write(
        {
            "/etc/docker/daemon.json": json.dumps({"features": {"containerd-snapshotter": True}}),
            f"/etc/docker/certs.d/{REGISTRY}/ca.crt": (REPO / ".lab/ca/ca.pem").read_text(),
        }
    )
    runner.shell(
        "mount -o remount,rw /sys/fs/cgroup; mount -o remount,rw /sys; setsid dockerd >/var/log/dockerd.log 2>&1 &"
    )
    until(lambda: runner.shell("docker info"), 30, "the runner's Docker engine answers")
    bases = {
        name: subprocess.run(
            [REPO / "scripts/lab-image", kind], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, kind in (("NODE_IMAGE", "node"), ("NGINX_IMAGE", "nginx"))
    }
    saved = subprocess.run(["docker", "save", *bases.values()], capture_output=True, check=True).stdout
    runner.shell("docker load", stdin=saved, timeout=120)
    # A scanner for bills of materials is an image of its own, which cannot be had here.
    runner.variables |= {**bases, "SBOM": "false", "REGISTRY": IMAGES, "REGISTRY_USER": "marketplace"}


def _repository(runner: Runner) -> None:
    secrets = runner.lab.secrets()
    with tempfile.TemporaryDirectory() as folder:
        from tests.support.collection import build  # noqa: PLC0415

        runner.write({"/root/sluice-stack.tar.gz": build(REPO, Path(folder)).read_bytes()})
    runner.copy(MARKETPLACE, HERE)
    runner.copy(REPO / "tests/act", "/opt/act")
    runner.write({"/opt/act/support_cosign.py": (REPO / "tests/support/cosign.py").read_text()})
    app = yaml.safe_load((REPO / INVENTORY / "group_vars/all/app.yml").read_text())
    for name, service in app["app_services"].items():
        service["image"] = f"{IMAGES}/{name}"
    app["app_drain_seconds"] = 1
    hosts = yaml.safe_load((REPO / INVENTORY / "hosts.yml").read_text())
    hosts["all"]["vars"] = {"lab_subnet": REGISTRY.rpartition(".")[0], "lab_state": "{{ inventory_dir }}/../lab"}
    hosts["all"]["children"]["lab"]["vars"] = {"ansible_user": "admin"}
    for name in ("staging", "production"):
        runner.write(
            {
                f"inventories/{name}/hosts.yml": yaml.safe_dump(hosts),
                f"inventories/{name}/group_vars/all/app.yml": yaml.safe_dump({**app, "app_environment": name}),
            }
        )
        for file in ("stack.yml", "vault.yml"):
            runner.write(
                {f"inventories/{name}/group_vars/all/{file}": (REPO / INVENTORY / "group_vars/all" / file).read_text()}
            )
    runner.write({"inventories/lab/ca/ca.pem": (REPO / ".lab/ca/ca.pem").read_text()})
    runner.shell(
        "git init --quiet --initial-branch develop && git config user.name Somebody && git config user.email somebody@example.com "
        "&& git remote add origin https://github.com/example/marketplace.git"
    )
    runner.commit("Begin")
    runner.secrets |= {
        "SLUICE_SSH_KEY": (REPO / ".lab/id_ed25519").read_text(),
        "SLUICE_KNOWN_HOSTS": (REPO / ".lab/known_hosts").read_text(),
        "SLUICE_VAULT_KEY": (REPO / ".lab/vault.key").read_text().strip(),
        "REGISTRY_PASSWORD": secrets["vault_registry_password"],
    }
    runner.variables |= {"SLUICE": "/root/sluice-stack.tar.gz", "APP_URL": f"http://{runner.lab.address('edge1')}"}
