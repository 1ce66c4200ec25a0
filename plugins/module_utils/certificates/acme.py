# SPDX-License-Identifier: Apache-2.0
"""Certbot: its commands, its account and its errors. Pure, but for ``accounts``."""

from __future__ import annotations

import base64
import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

PACKAGE = "certbot"


def thumbprint(key: Mapping[str, str]) -> str:
    """Return the thumbprint of an account's key, a JWK: RFC 7638, and RFC 8555, 8.1."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}[key["kty"]]
    text = json.dumps({name: key[name] for name in members}, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def origin(settings: Mapping[str, Any]) -> str:
    """Return a word for where a name's certificate comes from: another one means that it is obtained anew."""
    if settings["source"] != "acme":
        return str(settings["source"])
    return f"acme-{hashlib.sha256(settings['directory'].encode()).hexdigest()[:8]}"


def common(folder: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the arguments that all of Certbot's commands have."""
    places = [f"--config-dir={folder}", f"--work-dir={folder}/work", f"--logs-dir={folder}/log"]
    return [*places, f"--server={settings['directory']}", "--non-interactive", "--agree-tos"]


def register(folder: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the command that makes an account."""
    email = settings.get("email")
    who = [f"--email={email}", "--no-eff-email"] if email else ["--register-unsafely-without-email"]
    return [PACKAGE, "register", *common(folder, settings), *who]


def certonly(folder: str, name: str, settings: Mapping[str, Any], account: str) -> list[str]:
    """Return the command that obtains a certificate. The challenge of HTTP-01 is answered by Nginx, without anything prepared."""
    plugin = settings.get("dns_plugin")
    proof = ["--manual", "--preferred-challenges=http", "--manual-auth-hook=/bin/true"]
    if plugin:
        proof = [f"--dns-{plugin}"]
        if settings.get("dns_credentials"):
            proof.append(f"--dns-{plugin}-credentials={settings['dns_credentials']}")
        proof.append(f"--dns-{plugin}-propagation-seconds={settings['dns_seconds']}")
    return [
        PACKAGE,
        "certonly",
        *common(folder, settings),
        *proof,
        f"--account={account}",
        f"--cert-name={lineage(name)}",
        f"--domain={name}",
        "--force-renewal",
        f"--key-type={settings['key_type']}",
        *([f"--preferred-profile={settings['profile']}"] if settings.get("profile") else []),
    ]


def lineage(name: str) -> str:
    """Return Certbot's own name of a certificate, also that of its folder."""
    return name.replace("*", "_")


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what Certbot's environment needs: the authority of a private CA."""
    return {"REQUESTS_CA_BUNDLE": settings["ca"]} if settings.get("ca") else {}


# What Certbot prints besides the reason.
_NOISE = re.compile(
    r"^(Saving debug log|Requesting a certificate|Renewing an existing|Ask for help|Some challenges have failed|Hint:|Account registered|"
    r"Certbot failed to authenticate|Unsafe permissions|Waiting \d+ seconds|- - -|Domain:|The Certificate Authority failed)",
)


def reason(output: str) -> str:
    """Return why Certbot failed, in one line."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    kinds = {
        line.partition(": ")[0]: line.partition(": ")[2] for line in lines if line.startswith(("Type:", "Detail:"))
    }
    if "Detail" in kinds:
        return f"{kinds.get('Type', 'refused')}: {kinds['Detail']}"
    kept = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept)[-400:] or "certbot said nothing"


def accounts(folder: str, directory: str) -> list[str]:
    """Return the folders of the accounts at a CA, the oldest first."""
    parts = urlsplit(directory)
    base = os.path.join(folder, "accounts", f"{parts.netloc}{parts.path}".rstrip("/"))
    found = [os.path.dirname(path) for path in glob.glob(f"{glob.escape(base)}/*/private_key.json")]
    return sorted(found, key=_made)


def _made(folder: str) -> tuple[str, str]:
    try:
        with open(os.path.join(folder, "meta.json"), encoding="utf-8") as handle:
            return str(json.load(handle).get("creation_dt", "")), folder
    except (OSError, ValueError):
        return "9999", folder
