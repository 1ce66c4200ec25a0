# SPDX-License-Identifier: Apache-2.0
"""The logs of stores as events: OpenBao's and HashiCorp Vault's file audit device, and AWS CloudTrail. Pure.

https://openbao.org/docs/audit/ and
https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.rotation.audit import DENIED, READ, WRITE, Event

_VAULT_ACTIONS = {"read": READ, "create": WRITE, "update": WRITE, "patch": WRITE, "delete": WRITE}
_AWS_ACTIONS = {
    "GetSecretValue": READ,
    "BatchGetSecretValue": READ,
    "PutSecretValue": WRITE,
    "UpdateSecret": WRITE,
    "DeleteSecret": WRITE,
    "RestoreSecret": WRITE,
}


class LogError(Exception):
    """A log cannot be read; the message says where it is wrong."""


def vault(lines: Iterable[str], paths: Mapping[str, Iterable[str]]) -> list[Event]:
    """Return the events of an audit file. ``paths``: the path of a request → how the inventory may call the secret."""
    found = []
    for number, line in enumerate(lines, 1):
        if not any(path in line for path in paths):
            continue
        try:
            item = json.loads(line)
        except ValueError:
            raise LogError(f"line {number} of the audit log is no JSON") from None
        # Each request has two lines; the one of the answer knows whether it was granted.
        request, auth = item.get("request") or {}, item.get("auth") or {}
        action = _VAULT_ACTIONS.get(request.get("operation", ""))
        if item.get("type") != "response" or request.get("path") not in paths or not action:
            continue
        data = (item.get("response") or {}).get("data") or {}
        version = (data.get("metadata") or data).get("version", "")
        role = (auth.get("metadata") or {}).get("role_name") or (auth.get("metadata") or {}).get("role")
        found.append(
            Event(
                _moment(item["time"]),
                "vault",
                str(auth.get("display_name") or "nobody") + (f" ({role})" if role else ""),
                str(request.get("remote_address", "")),
                DENIED if item.get("error") else action,
                frozenset(paths[request["path"]]),
                str(version or ""),
            )
        )
    return found


def cloudtrail(text: str, places: Mapping[str, Iterable[str]]) -> list[Event]:
    """Return the events of a CloudTrail file: ``Records`` of a delivered log, or what ``aws cloudtrail lookup-events`` prints.

    ``places``: the name of a secret → how the inventory may call it. A request may name it by its ARN.
    """
    try:
        given = json.loads(text)
        records = (
            given["Records"] if "Records" in given else [json.loads(one["CloudTrailEvent"]) for one in given["Events"]]
        )
    except (ValueError, KeyError, TypeError):
        raise LogError("it is no CloudTrail log: neither Records nor Events are in it") from None
    found = []
    for item in records:
        action = _AWS_ACTIONS.get(item.get("eventName", ""))
        if item.get("eventSource") != "secretsmanager.amazonaws.com" or not action:
            continue
        asked, answered = item.get("requestParameters") or {}, item.get("responseElements") or {}
        name = _name(str(asked.get("secretId", "")), places)
        if name is None:
            continue
        identity = item.get("userIdentity") or {}
        found.append(
            Event(
                _moment(item["eventTime"]),
                "aws",
                str(identity.get("arn") or identity.get("principalId") or identity.get("type") or "nobody"),
                str(item.get("sourceIPAddress", "")),
                DENIED if item.get("errorCode") else action,
                frozenset(places[name]),
                str(answered.get("versionId") or asked.get("versionId") or ""),
            )
        )
    return found


def _name(asked: str, places: Mapping[str, Any]) -> str | None:
    """Return the secret that a request means; an ARN ends in its name, '-' and six characters."""
    plain = asked.rpartition(":secret:")[2] if asked.startswith("arn:") else asked
    return next((name for name in (asked, plain, plain[:-7]) if name in places), None)


def _moment(text: str) -> datetime:
    """Return a moment; Go writes nanoseconds."""
    head, dot, rest = text.replace("Z", "+00:00").partition(".")
    if not dot:
        return datetime.fromisoformat(head)
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{rest[len(digits) :]}")


def places(references: Mapping[str, Mapping[str, Any]], mount: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return for OpenBao the paths, and for AWS the names of an app's secrets, each with how the inventory may call it."""
    paths: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {}
    for reference in references.values():
        if "vault" in reference:
            own, path = reference.get("mount") or mount, reference["vault"]
            called = {f"vault {own}/{path}"} | ({f"vault {path}"} if own == mount else set())
            paths.setdefault(f"{own}/data/{path}", set()).update(called)
        for role in reference.get("vault_roles", ()):
            path = f"{reference['mount']}/static-creds/{role}"
            paths.setdefault(path, set()).add(f"vault {path}")
        if "aws" in reference:
            names.setdefault(reference["aws"], set()).add(f"aws {reference['aws']}")
    return paths, names
