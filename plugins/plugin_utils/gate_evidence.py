# SPDX-License-Identifier: Apache-2.0
"""Read what CI and people left for the gates, on the controller: files, signatures of approvals."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates import approval, evidence
from ansible_collections.sluice.stack.plugins.module_utils.gates.evidence import Unreadable, plain
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Evidence, Statement

ABOUT = "evidence.json"
# Where and by which ending: kind → (file endings, reader).
KINDS: dict[str, tuple[tuple[str, ...], Callable[[str, str], Any]]] = {
    "tests": ((".xml",), evidence.junit),
    "scans": ((".sarif", ".sarif.json"), evidence.sarif),
    "load_test": (("load-test.json",), evidence.load_test),
    "security": (("security.json",), evidence.security),
    "approval": ((".approval.json",), approval.statement),
    "migrations": ((".json",), evidence.rehearsal),  # what is none of the above may be the report of a run
}
FIELDS = {
    "tests": "suites",
    "scans": "scans",
    "load_test": "limits",
    "security": "findings",
    "approval": "statements",
    "migrations": "rehearsals",
}
LARGEST = 50 * 2**20  # bytes of a file
MOST_FILES = 5000
SECONDS = 10


def read(place: str, app: str, keys: Sequence[str]) -> Evidence:
    """Read the directory; ``keys`` are those of people who may approve."""
    if not place:
        return Evidence(fault="app_gate_evidence is not set")
    if not os.path.isdir(place):
        return Evidence(place, fault=f"app_gate_evidence {place} is not a directory of this controller")
    files = _files(place)
    if len(files) > MOST_FILES:
        # A part of them might leave out what failed.
        return Evidence(place, fault=f"app_gate_evidence {place} has more than {MOST_FILES} files")
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    unreadable: dict[str, list[str]] = {}
    head: dict[str, str] = {}
    for file in files:
        kind = next((kind for kind, (endings, _reader) in KINDS.items() if file.endswith(endings)), "")
        try:
            if file == ABOUT:
                head = evidence.about(_text(place, file))
            elif kind:
                text = _text(place, file)
                answer = KINDS[kind][1](plain(file), text)
                if isinstance(answer, Statement):
                    answer = _verified(answer, text, os.path.join(place, f"{file}.sig"), app, keys)
                found[kind] += answer if isinstance(answer, list) else [answer] if answer else []
        except (Unreadable, OSError, UnicodeDecodeError) as error:
            # Any JSON may lie there; only reports of runs are of interest.
            if kind != "migrations" or file == ABOUT:
                unreadable.setdefault(kind, []).append(f"{plain(file)}: {plain(error, 160)}")
    parts: dict[str, Any] = {**head, **{FIELDS[kind]: tuple(items) for kind, items in found.items()}}
    return Evidence(place=place, **parts, unreadable={kind: tuple(said) for kind, said in unreadable.items()})


def _files(place: str) -> list[str]:
    """Every file below the directory, by its path in it, sorted."""
    paths: list[str] = []
    for folder, _folders, names in os.walk(place):
        paths += [os.path.relpath(os.path.join(folder, name), place) for name in names]
        if len(paths) > MOST_FILES:
            break
    return sorted(paths)


def _text(place: str, file: str) -> str:
    path = os.path.join(place, file)
    if os.path.islink(path) or not os.path.isfile(path):
        raise Unreadable("it is a link, or no file")
    if os.path.getsize(path) > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST // 2**20} MiB")
    with open(path, encoding="utf-8", newline="") as handle:
        return handle.read()


def _verified(given: Statement, text: str, signature: str, app: str, keys: Sequence[str]) -> Statement:
    """The statement with the key that signed it, or with why its signature does not count."""
    if not os.path.isfile(signature):
        return dataclasses.replace(given, fault=f"it is not signed: there is no {plain(os.path.basename(signature))}")
    with tempfile.NamedTemporaryFile("w", prefix="sluice-signers-", encoding="utf-8") as signers:
        signers.write("".join(f"{key}\n" for key in keys))
        signers.flush()
        about = ["-I", given.approver, "-n", approval.namespace(app)]
        try:
            done = subprocess.run(
                ["ssh-keygen", "-Y", "verify", "-f", signers.name, "-s", signature, *about],
                input=text,
                capture_output=True,
                encoding="utf-8",
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError:
            return dataclasses.replace(given, fault="ssh-keygen is not installed on the controller")
        except (OSError, subprocess.TimeoutExpired) as error:
            return dataclasses.replace(given, fault=f"ssh-keygen failed ({error})")
    key = approval.key_of(done.stdout)
    if done.returncode or not key:
        reason = (done.stderr or done.stdout).strip().splitlines()
        return dataclasses.replace(
            given,
            fault=f"it is not signed by {plain(given.approver, 40)} with a key of app_gates.approval.keys ({plain((reason or ['no reason'])[0], 60)})",
        )
    return dataclasses.replace(given, key=key)
