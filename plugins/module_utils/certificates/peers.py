# SPDX-License-Identifier: Apache-2.0
"""How edges share certificates and the account: each offers what it has, and gives what the other one asks for.

Over SSH, with a key that may do nothing else: see role edge_tls.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError

STATE = "/var/lib/sluice/certificates"
KEY = os.path.join(STATE, "ssh", "id_ed25519")
KNOWN_HOSTS = os.path.join(STATE, "ssh", "known_hosts")
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
USER = "sluice-tls"
SECONDS = 60

Offer = Mapping[str, Any]


def accepted(offer: Offer, mine: Offer, sources: Mapping[str, str]) -> dict[str, Any]:
    """Return what an edge takes of an offer: the names that it has nothing newer for, and whether the account.

    ``sources`` are this edge's own, by name: a certificate from files is not replaced by anyone's.
    """
    names = []
    for name, theirs in offer["names"].items():
        own = mine["names"].get(name)
        if sources.get(name) in ("files", "none"):
            continue
        # Of another origin: only when this edge has the same one in its settings.
        right = sources.get(name) in (None, theirs["origin"])
        if own is None or (right and (own["begins"] < theirs["begins"] or own["origin"] != theirs["origin"])):
            names.append(name)
    account, own_account = offer.get("account"), mine.get("account")
    # Two edges that each made one while they did not see each other keep the older one.
    take = account is not None and (own_account is None or account["made"] < own_account["made"])
    return {"names": sorted(names), "account": take}


def command(peer: Mapping[str, Any]) -> list[str]:
    """Return the command that talks to a peer."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": KNOWN_HOSTS,
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlgorithms": "ssh-ed25519",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "10",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-T", "-i", KEY, "-p", str(peer.get("port", 22)), *words, f"{USER}@{peer['address']}"]


def talk(peer: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Send a message to a peer; returns its answer. Raises CertificateError."""
    try:
        done = subprocess.run(
            command(peer), input=json.dumps(message), capture_output=True, text=True, check=False, timeout=SECONDS
        )
        answer = json.loads(done.stdout) if done.stdout.strip() else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise CertificateError(f"{peer['name']} takes no certificates: {error}") from error
    if done.returncode or "failed" in answer:
        why = answer.get("failed") or " ".join(done.stderr.split())[-200:] or f"ssh ended with {done.returncode}"
        raise CertificateError(f"{peer['name']} takes no certificates: {why}")
    return dict(answer)
