# SPDX-License-Identifier: Apache-2.0
"""Read secrets from where they are kept, on the controller: once a run, side by side; and write a new value of one that is rotated.

Each source is a class with the function ``read``, and ``write`` where it can be written to.
The ecosystem's clients do the work: community.hashi_vault (hvac), boto3, community.sops.
A message names the secret, its place and what was denied, never a value.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import quote

from ansible.plugins.loader import lookup_loader
from ansible_collections.sluice.stack.plugins.module_utils.contract.secret_reference import (
    CREDENTIALS,
    Reference,
    by_host,
    settings_of,
    source_of,
)
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import SecretError, field, fits

__all__ = ["SOURCES", "Secret", "SecretError", "Surroundings", "read", "write"]

AT_ONCE = 8
GONE = "there is no such secret, or its version was deleted"
# So long a host has to take what it logs in with.
WRAPPED = "120s"
# Two threads that load a plugin for the first time find its documentation half imported.
_LOADING = Lock()


@dataclass(frozen=True)
class Secret:
    """A secret that was read; of one that only hosts read the value is empty."""

    value: str
    version: str = ""  # by the source's own count; empty where it has none
    created: str = ""  # when this version was written, ISO 8601, where the source knows


@dataclass(frozen=True)
class Surroundings:
    """What the lookups of Ansible need, and where relative paths begin."""

    loader: Any
    templar: Any
    folder: str

    def lookup(self, name: str, term: str | None, **options: Any) -> Any:
        """Run a lookup plugin with options of its own, and return its one answer."""
        with _LOADING:
            plugin = lookup_loader.get(name, loader=self.loader, templar=self.templar)
        if plugin is None:
            collection = name.rpartition(".")[0]
            raise SecretError(f"the collection {collection} is missing: ansible-galaxy collection install {collection}")
        given = {key: value for key, value in options.items() if value is not None}
        return plugin.run([] if term is None else [term], {}, **given)[0]

    def path(self, given: str) -> str:
        """Return a path of the inventory; a relative one begins at the inventory's folder."""
        return os.path.join(self.folder, os.path.expanduser(given))


class Vault:
    """OpenBao and HashiCorp Vault, the key-value engine version 2. It logs in once."""

    def __init__(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        self.settings, self.around = settings, around
        # Asked here and not in the contract: what needs no store, such as a rollback, must not need its login either.
        missing = [key for key in CREDENTIALS[settings["auth"]] if not settings[key]]
        if missing:
            raise SecretError(
                f"app_secret_sources.vault logs in by {settings['auth']}, which needs {' and '.join(missing)}"
            )
        self.connection = {
            "url": settings["url"],
            "namespace": settings["namespace"],
            "ca_cert": around.path(settings["ca"]) if settings["ca"] else None,
            "timeout": int(settings["timeout"]),
        }
        self.token = settings["token"] if settings["auth"] == "token" else self._login()

    def _login(self) -> str:
        settings = self.settings
        given = {key: settings[key] for key in ("role_id", "secret_id", "jwt")}
        if settings["auth"] == "jwt":
            given["role_id"] = settings["role"]
        answer = self._call(
            f"login by {settings['auth']}",
            lambda: self.around.lookup(
                "community.hashi_vault.vault_login",
                None,
                auth_method=settings["auth"],
                mount_point=settings["auth_mount"],
                **given,
                **self.connection,
            ),
        )
        return str(answer["auth"]["client_token"])

    def read(self, reference: Reference) -> Secret:
        """Read one field of one version."""
        answer = self._read(reference["mount"] or self.settings["mount"], reference)
        about = answer["metadata"]
        return Secret(
            field(answer["secret"], reference["key"]), str(about["version"]), str(about.get("created_time") or "")
        )

    def look(self, reference: Reference) -> Secret:
        """Return the version that a host would read, without its value."""
        mount = reference["mount"] or self.settings["mount"]
        answer = self._asked(f"{mount}/metadata/{reference['vault']}")
        about = answer.get("data") or {}
        version = str(reference["version"] or about.get("current_version") or "")
        one = (about.get("versions") or {}).get(version)
        if not one or one["destroyed"] or one["deletion_time"]:
            raise SecretError(f"{mount}/{reference['vault']}: {GONE} (at {self.settings['url']})")
        return Secret("", version, str(one["created_time"]))

    def host_login(self, about: Mapping[str, str]) -> dict[str, str]:
        """Return how a host logs in once: the role's id, and a token by which it alone fetches the secret id; ``about`` is for the store's log."""
        settings = self.settings
        role = f"auth/{settings['host_auth_mount']}/role/{settings['host_role']}"
        role_id = self._asked(f"{role}/role-id")["data"]["role_id"]
        wrapped = self._call(
            f"{role}/secret-id",
            lambda: self.around.lookup(
                "community.hashi_vault.vault_write",
                f"{role}/secret-id",
                data={"metadata": json.dumps(about)},
                wrap_ttl=WRAPPED,
                auth_method="token",
                token=self.token,
                **self.connection,
            ),
        )
        return {"role_id": str(role_id), "wrapped": str(wrapped["wrap_info"]["token"])}

    def _asked(self, path: str) -> Any:
        return self._call(
            path,
            lambda: self.around.lookup(
                "community.hashi_vault.vault_read", path, auth_method="token", token=self.token, **self.connection
            ),
        )

    def _read(self, mount: str, reference: Reference) -> Any:
        return self._call(
            f"{mount}/{reference['vault']}",
            lambda: self.around.lookup(
                "community.hashi_vault.vault_kv2_get",
                reference["vault"],
                engine_mount_point=mount,
                version=reference["version"],
                auth_method="token",
                token=self.token,
                **self.connection,
            ),
        )

    def write(self, reference: Reference, value: str, expected: str) -> str:
        """Write a version with one field changed; the store refuses it when ``expected`` is not the newest version any more."""
        mount = reference["mount"] or self.settings["mount"]
        held = self._read(mount, reference)["secret"]
        answer = self._call(
            f"{mount}/{reference['vault']}",
            lambda: self.around.lookup(
                "community.hashi_vault.vault_write",
                f"{mount}/data/{reference['vault']}",
                data={"data": _with_field(held, reference["key"], value), "options": {"cas": int(expected)}},
                auth_method="token",
                token=self.token,
                **self.connection,
            ),
        )
        return str(answer["data"]["version"])

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # hvac, requests and Ansible each have errors of their own
            raise SecretError(f"{what}: {_vault_reason(error)} (at {self.settings['url']})") from None


class VaultRoles(Vault):
    """Two static roles of OpenBao's database engine: the store gives each a new password in turn, and the one that got its last is read."""

    def read(self, reference: Reference) -> Secret:
        """Return the URL with the login of the role whose password is the younger one."""
        mount = reference["mount"]
        since = {
            role: str(self._asked(f"{mount}/static-roles/{role}")["data"]["last_vault_rotation"])
            for role in reference["vault_roles"]
        }
        # Go leaves out the zeros at the end of a fraction.
        role = max(since, key=lambda one: since[one].rstrip("Z"))
        login = self._asked(f"{mount}/static-creds/{role}")["data"]
        url = reference["url"]
        for part in ("username", "password"):
            url = url.replace(f"{{{part}}}", quote(str(login[part]), safe=""))
        return Secret(url, f"{role} {since[role]}", since[role])


def _vault_reason(error: BaseException) -> str:
    """Return why the store did not answer, in a few words: its own messages repeat the request."""
    said = f"{type(error).__name__}: {error}"
    for pattern, reason in (
        (r"Forbidden|[Pp]ermission denied", "permission denied"),
        (r"check-and-set", "somebody else changed it meanwhile: run the command again"),
        (r"InvalidPath|[Ii]nvalid or missing path|seem to exist", GONE),
        (r"VaultDown|[Ss]ealed", "the store is sealed"),
        (r"invalid role or secret ID|invalid secret id|invalid role ID", "the role id or the secret id is wrong"),
        (r"CERTIFICATE_VERIFY_FAILED|SSLError", "its certificate is not trusted: set app_secret_sources.vault.ca"),
        (r"[Tt]imeout|timed out", "it did not answer in time (app_secret_sources.vault.timeout)"),
        (r"ConnectionError|refused|NewConnectionError|resolve", "it cannot be reached"),
        (r"hvac", "the Python package hvac is missing on the controller: pip install hvac"),
    ):
        if re.search(pattern, said):
            return reason
    return re.sub(r"\s+", " ", said)[:200]


class Aws:
    """AWS Secrets Manager, by boto3 itself: the lookup of amazon.aws does not tell the version it read."""

    def __init__(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        try:
            import boto3  # noqa: PLC0415 - takes a third of a second, and only who uses it has it
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise SecretError("the Python package boto3 is missing on the controller: pip install boto3") from None
        options = {
            "endpoint_url": settings["endpoint"],
            "verify": around.path(settings["ca"]) if settings["ca"] else None,
            "config": Config(
                connect_timeout=settings["timeout"], read_timeout=settings["timeout"], retries={"total_max_attempts": 2}
            ),
        }
        try:
            session = boto3.Session(region_name=settings["region"], profile_name=settings["profile"])
            if settings["role"]:
                held = session.client("sts", **options).assume_role(RoleArn=settings["role"], RoleSessionName="sluice")
                keys = held["Credentials"]
                session = boto3.Session(
                    aws_access_key_id=keys["AccessKeyId"],
                    aws_secret_access_key=keys["SecretAccessKey"],
                    aws_session_token=keys["SessionToken"],
                    region_name=settings["region"],
                )
            self.client = session.client("secretsmanager", **options)
        except Exception as error:
            raise SecretError(_aws_reason(error)) from None

    def read(self, reference: Reference) -> Secret:
        """Read a secret whole, or one key of its JSON."""
        try:
            which = (
                {"VersionId": reference["version"]}
                if reference.get("version")
                else {"VersionStage": reference["stage"]}
            )
            answer = self.client.get_secret_value(SecretId=reference["aws"], **which)
        except Exception as error:
            raise SecretError(f"{reference['aws']}: {_aws_reason(error)}") from None
        if "SecretString" not in answer:
            raise SecretError(f"{reference['aws']}: it is binary; an environment variable holds text")
        text = answer["SecretString"]
        if reference["key"]:
            try:
                fields = json.loads(text)
            except ValueError:
                fields = None
            if not isinstance(fields, Mapping):
                raise SecretError(f"{reference['aws']}: it is no JSON object, so it has no key {reference['key']!r}")
            text = field(fields, reference["key"])
        return Secret(text, answer["VersionId"], answer["CreatedDate"].isoformat())

    def write(self, reference: Reference, value: str, expected: str) -> str:
        """Store a version and make it the current one; AWS refuses that when ``expected`` is not the current version any more."""
        name = reference["aws"]
        try:
            held = self.client.get_secret_value(SecretId=name)["SecretString"]
            text = json.dumps(_with_field(json.loads(held), reference["key"], value)) if reference["key"] else value
            made = self.client.put_secret_value(SecretId=name, SecretString=text, VersionStages=["AWSPENDING"])
            version = str(made["VersionId"])
            self.client.update_secret_version_stage(
                SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=expected
            )
        except Exception as error:
            raise SecretError(f"{name}: {_aws_reason(error, 'PutSecretValue, UpdateSecretVersionStage')}") from None
        return version


def _aws_reason(error: BaseException, needs: str = "GetSecretValue") -> str:
    """Return AWS's error code and what it means here."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    known = {
        "AccessDeniedException": f"permission denied (secretsmanager:{needs})",
        "ResourceNotFoundException": "there is no such secret, or it has no version at this stage",
        "InvalidRequestException": "it is scheduled for deletion",
        "InvalidParameterException": "somebody else changed it meanwhile: run the command again",
        "UnrecognizedClientException": "the access key is not valid",
        "ExpiredTokenException": "the credentials have expired",
    }
    return known.get(code) or code or re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:200]


class Sops:
    """Files encrypted by SOPS, by community.sops; each file is decrypted once."""

    def __init__(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        self.settings, self.around = settings, around
        self.files: dict[str, Any] = {}

    def read(self, reference: Reference) -> Secret:
        """Read one value; ``a.b`` is key b of the map a."""
        path = self.around.path(reference["sops"])
        if path not in self.files:
            self.files[path] = self._decrypted(path)
        return Secret(field(self.files[path], reference["key"]))

    def write(self, reference: Reference, value: str, expected: str) -> str:  # noqa: ARG002 - nothing to compare it with
        """Change one value of the file. A file has no versions but those of git."""
        path = self.around.path(reference["sops"])
        names = [reference["key"]] if reference["key"] in self._decrypted(path) else reference["key"].split(".")
        key_file = self.settings["age_key_file"]
        own = {"SOPS_AGE_KEY_FILE": self.around.path(key_file)} if key_file else {}
        index = "".join(f"[{json.dumps(name)}]" for name in names)
        try:
            done = subprocess.run(
                ["sops", "set", "--value-stdin", path, index],
                input=json.dumps(value),
                env={**os.environ, **own},
                text=True,
                capture_output=True,
                check=False,
            )
        except OSError:
            raise SecretError("the program sops is missing on the controller") from None
        if done.returncode:
            raise SecretError(f"{path}: {' '.join(done.stderr.split())[-200:]}")
        return ""

    def _decrypted(self, path: str) -> Any:
        if not os.path.isfile(path):
            raise SecretError(f"{path}: there is no such file")
        key_file = self.settings["age_key_file"]
        try:
            text = self.around.lookup(
                "community.sops.sops",
                path,
                output_type="json",
                age_keyfile=self.around.path(key_file) if key_file else None,
                empty_on_not_exist=False,
            )
            return json.loads(text)
        except SecretError:
            raise
        except Exception as error:
            said = re.sub(r"\s+", " ", str(error))
            if "No such file or directory" in said and "sops" in said:
                raise SecretError("the program sops is missing on the controller") from None
            reason = "none of this machine's keys opens it" if "data key" in said else said[-200:]
            raise SecretError(f"{path}: {reason}") from None


class Environment:
    """Variables of the controller's environment, as a CI sets them."""

    def __init__(self, settings: Mapping[str, Any] | None, around: Surroundings) -> None:
        pass

    def read(self, reference: Reference) -> Secret:
        """Read a variable."""
        value = os.environ.get(reference["env"])
        if not value:
            raise SecretError(f"{reference['env']}: it is not set in the environment of this run")
        return Secret(value)


SOURCES: dict[str, Any] = {"vault": Vault, "vault_roles": VaultRoles, "aws": Aws, "sops": Sops, "env": Environment}


def read(
    references: Mapping[str, Reference], settings: Mapping[str, Any], around: Surroundings
) -> tuple[dict[str, Secret], list[str]]:
    """Read every secret, by name; of one that hosts read, only which version they would.

    The second result has a line for each that cannot be read.
    """
    secrets: dict[str, Secret] = {}
    problems: list[str] = []
    opened: dict[str, Any] = {}
    for source in sorted({source_of(reference) for reference in references.values()}):
        try:
            opened[source] = SOURCES[source](settings.get(settings_of({source: ""})), around)
        except SecretError as error:
            names = [name for name, reference in references.items() if source_of(reference) == source]
            problems.append(f"{', '.join(sorted(names))} cannot be read from {source}: {error}")

    def one(name: str) -> Secret | str:
        reference = references[name]
        try:
            if by_host(reference, settings):
                known: Secret = opened["vault"].look(reference)
                return known
            secret: Secret = opened[source_of(reference)].read(reference)
            fits(secret.value)
        except SecretError as error:
            return f"{name} cannot be read from {source_of(reference)}: {error}"
        return secret

    names = sorted(name for name, reference in references.items() if source_of(reference) in opened)
    # SOPS files are few and local, and are kept once decrypted: no two threads at the same one.
    apart = [name for name in names if source_of(references[name]) != "sops"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(apart, pool.map(one, apart), strict=True))
    answers |= {name: one(name) for name in names if name not in answers}
    for name, answer in sorted(answers.items()):
        if isinstance(answer, Secret):
            secrets[name] = answer
        else:
            problems.append(answer)
    return secrets, problems


def write(reference: Reference, settings: Mapping[str, Any], around: Surroundings, value: str, expected: str) -> str:
    """Write a new value of one secret, if its newest version is ``expected``; returns the new version. Raises SecretError."""
    source = source_of(reference)
    fits(value)
    return str(SOURCES[source](settings.get(source), around).write(reference, value, expected))


def _with_field(fields: Mapping[str, Any], key: str | None, value: str) -> dict[str, Any]:
    """Return a map with one value changed, as ``field`` finds it."""
    field(fields, key)
    if key is None:
        return dict.fromkeys(fields, value)
    if key in fields:
        return {**fields, key: value}
    head, _unused, rest = key.partition(".")
    return {**fields, head: _with_field(fields[head], rest, value)}
