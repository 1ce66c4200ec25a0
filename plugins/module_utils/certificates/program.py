# SPDX-License-Identifier: Apache-2.0
"""The program of an edge's certificates: what a timer and deploys start, and people run. See docs/tls.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates import peers, precheck, store
from ansible_collections.sluice.stack.plugins.module_utils.certificates.edge import Edge, account, read_text
from ansible_collections.sluice.stack.plugins.module_utils.certificates.settings import Desired
from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError
from ansible_collections.sluice.stack.plugins.module_utils.files import locked

LOCK = os.path.join(peers.STATE, "lock")

Answer = tuple[int, dict[str, Any]]  # an exit code; data, of which ``lines`` are for people


def _renew(asked: argparse.Namespace) -> Answer:
    with locked(LOCK):
        edge = Edge()
        unknown = sorted(set(asked.names) - {one.name for one in edge.desired})
        if unknown:
            raise CertificateError(
                f"edge_tls and the deployed apps have no TLS for {', '.join(unknown)}: set edge_tls, or deploy an app that has it"
            )
        store.placeholder()
        for one in edge.desired:
            if not asked.names or one.name in asked.names:
                edge.ensure(one, time.time(), asked.force, bool(asked.names))
        if not asked.names:
            edge.forget(time.time())
        edge.spread()
        found = edge.save()
    found["lines"] = [*edge.lines, *(f"PROBLEM {line}" for line in found["problems"])] or ["nothing is due"]
    return int(bool(found["problems"])), {**found, "changed": bool(edge.lines)}


def _status(_unused: argparse.Namespace) -> Answer:
    found = Edge().status()
    return int(bool(found["problems"])), found


def _check(asked: argparse.Namespace) -> Answer:
    one = _one(Edge().desired, asked.name)
    if one.settings.get("dns_plugin"):
        return 0, {"lines": [f"{one.name} is proved by DNS: it may lead anywhere"]}
    have = account(one.settings) if one.settings["source"] == "acme" else None
    if not have:
        raise CertificateError(
            f"{one.name} is from {one.settings['source']}, or has no account yet: there is nothing to check"
        )
    precheck.run(one.name, have["thumbprint"])
    return 0, {"lines": [f"{one.name} leads to these edges, and they answer the challenge"]}


def _install(asked: argparse.Namespace) -> Answer:
    with locked(LOCK):
        edge = Edge()
        one = _one(edge.desired, asked.name)
        bundle = "\n".join(read_text(path).strip() for path in (asked.key, asked.fullchain)) + "\n"
        done = store.install(one.name, bundle, "manual", one.names, edge.fleet.https_port)
        edge.save()
    return 0, {"lines": [f"{one.name}: {'in use now' if done else 'was in use already'}"]}


def _one(desired: Iterable[Desired], name: str) -> Desired:
    for one in desired:
        if one.name == name:
            return one
    raise CertificateError(
        f"edge_tls and the deployed apps have no TLS for {name}: set edge_tls, or deploy an app that has it"
    )


def _receive(_unused: argparse.Namespace) -> Answer:
    message = json.load(sys.stdin)
    # Not while it renews, which may be a while, and in which it may be talking to the one that asks: that one comes again.
    try:
        with locked(LOCK, seconds=0 if "offer" in message else 10):
            return 0, Edge().receive(message)
    except TimeoutError:
        if "offer" in message:
            return 0, Edge().receive(message)
        raise CertificateError("it is renewing itself now") from None


def _identity(_unused: argparse.Namespace) -> Answer:
    made = not os.path.exists(peers.KEY)
    if made:
        os.makedirs(os.path.dirname(peers.KEY), mode=0o700, exist_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sluice-certificates", "-f", peers.KEY], check=True
        )
    keys = {"key": read_text(f"{peers.KEY}.pub").strip(), "host_key": " ".join(read_text(peers.HOST_KEY).split()[:2])}
    return 0, {**keys, "changed": made, "lines": list(keys.values())}


COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace], Answer], str]] = {
    "renew": (
        _renew,
        "obtain and renew what is due, and share it with the other edges; exit code 1 when there is a problem",
    ),
    "status": (_status, "show certificates and problems; exit code 1 when there is a problem"),
    "check": (_check, "see whether a CA would find this fleet under a name, without asking it"),
    "install": (_install, "use a certificate of yours for a name, until its source gives one"),
    "receive": (_receive, "take part in an exchange with another edge, on standard input"),
    "identity": (_identity, "show the keys by which other edges know this one"),
}


def main(words: Sequence[str]) -> int:
    """Run a command and print its answer; its exit code: 0 healthy or done, 1 not healthy, 2 it could not be done."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="sluice-certificates", description="The TLS certificates of this edge.")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    parts = {name: commands.add_parser(name, help=text) for name, (_unused, text) in COMMANDS.items()}
    parts["renew"].add_argument("names", nargs="*", help="only these, without waiting after a failure")
    parts["renew"].add_argument("--force", action="store_true", help="although nothing is due")
    parts["check"].add_argument("name")
    for argument in ("name", "fullchain", "key"):
        parts["install"].add_argument(argument)
    asked = parser.parse_args(words)
    try:
        code, found = COMMANDS[asked.command][0](asked)
    except (CertificateError, OSError, subprocess.CalledProcessError, ValueError) as error:
        code, found = 2, {"failed": str(error), "lines": [str(error)]}
    if asked.json or asked.command == "receive":
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        (sys.stderr if code == 2 else sys.stdout).write("\n".join(found["lines"]) + "\n")
    return code
