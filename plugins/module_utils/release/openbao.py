# SPDX-License-Identifier: Apache-2.0
"""What an app host asks OpenBao or HashiCorp Vault, with Python's own library: its login, once, and versions of secrets.

https://openbao.org/api-docs/auth/approle/ and https://openbao.org/api-docs/secret/kv/kv-v2/
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class StoreError(Exception):
    """The store did not give what was asked; the message says why, without a value."""


@dataclass(frozen=True)
class Store:
    """Where the store is, and how this host knows it."""

    url: str
    timeout: float
    ca: str | None = None  # the authority's certificate; without, those of the system
    namespace: str | None = None
    auth_mount: str = "approle"

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> dict[str, Any]:
        """Send a request to its API. Raises StoreError."""
        headers = {"X-Vault-Token": token, "X-Vault-Namespace": self.namespace or ""}
        request = urllib.request.Request(  # noqa: S310 - the contract lets https, and http on loopback only
            f"{self.url.rstrip('/')}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={name: value for name, value in headers.items() if value},
        )
        trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=self.ca))
        try:
            with urllib.request.build_opener(trust).open(request, timeout=self.timeout) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise StoreError(f"{path}: {_refusal(error)} (at {self.url})") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: {_reason(error)} (at {self.url})") from None
        return found

    def login(self, role_id: str, wrapped: str) -> str:
        """Take the secret id out of its wrapping, which only the first can, and log in with it; returns a token. Raises StoreError."""
        secret_id = self.call("POST", "sys/wrapping/unwrap", token=wrapped)["data"]["secret_id"]
        given = {"role_id": role_id, "secret_id": secret_id}
        return str(self.call("POST", f"auth/{self.auth_mount}/login", given)["auth"]["client_token"])

    def read(self, token: str, place: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        """Return the fields of one version of a secret, and when it was written. Raises StoreError."""
        path = f"{place['mount']}/data/{place['vault']}?version={place['version']}"
        data = self.call("GET", path, token=token)["data"]
        return data["data"], str(data["metadata"]["created_time"])


def _refusal(error: urllib.error.HTTPError) -> str:
    """Return why the store refused, in a few words."""
    try:
        said = " ".join(map(str, json.loads(error.read()).get("errors") or []))
    except (OSError, ValueError):
        said = ""
    for pattern, reason in (
        (
            r"wrapping token is not valid",
            "the login for this host was used already, or is too old: run the command again",
        ),
        (r"invalid role or secret ID|invalid secret id", "the role id or the secret id is wrong"),
        (r"CIDR|unauthorized", "this host's address is not one that the role lets in"),
        (r"permission denied", "permission denied"),
        (r"[Ss]ealed", "the store is sealed"),
    ):
        if re.search(pattern, said):
            return reason
    # The answer to a deleted version, and to a path without a secret.
    if error.code == 404:
        return "it is not there any more, or was never"
    return said[:200] or f"status {error.code}"


def _reason(error: Exception) -> str:
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return "its certificate is not trusted: set app_secret_sources.vault.ca"
    if isinstance(error, TimeoutError) or "timed out" in said:
        return "it did not answer in time (app_secret_sources.vault.timeout)"
    return f"it cannot be reached ({said})"
