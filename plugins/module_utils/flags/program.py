# SPDX-License-Identifier: Apache-2.0
"""The program of an app host that keeps what Unleash last said, for containers that start while it is away."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import locked, private_folder, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.flags import switches
from ansible_collections.sluice.stack.plugins.module_utils.flags.unleash import Unleash, UnleashError
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, app_folder

SETTINGS = "/etc/sluice/flags"


def refresh(settings: Mapping[str, Any], root: str = STATE_ROOT) -> bool:
    """Keep what Unleash says now; returns whether it is new. Raises UnleashError, and what was kept stays."""
    unleash = Unleash(settings["url"], settings["token"], ca=settings["ca"], timeout=settings["timeout"])
    features = unleash.features()
    app = settings["app"]
    private_folder(app_folder(app, root))
    path = os.path.join(switches.folder(app, root), "features.json")
    text = json.dumps(features, sort_keys=True, separators=(",", ":")) + "\n"
    # The timer and a playbook may do it at once.
    with locked(os.path.join(app_folder(app, root), "features.lock")):
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError), open(path, encoding="utf-8") as handle:
            if handle.read() == text:
                return False
        write_atomic(path, text, 0o644)
    return True


def metrics(settings: Mapping[str, Any], ok: bool, now: float, root: str = STATE_ROOT) -> str:
    """Return what a node exporter may tell: whether Unleash answered, and which flags are switched off here."""
    app = settings["app"]
    lines = [f'sluice_flag_refresh_failed{{app="{app}"}} {int(not ok)}']
    lines += [f'sluice_flag_refresh_timestamp_seconds{{app="{app}"}} {now:.0f}']
    off = switches.killed(switches.latest([switches.read(app, root)]))
    lines += [f'sluice_flag_killed{{app="{app}",flag="{name}"}} 1' for name in off]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code: 0 done, 1 Unleash did not answer and what was kept stays, 2 it could not be done."""
    parser = argparse.ArgumentParser(prog="sluice-flags", description="What Unleash last said, kept for its absence.")
    parser.add_argument("--settings", default=SETTINGS, help="directory of the settings")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("refresh", help="ask Unleash, and keep what it says").add_argument("app")
    asked = parser.parse_args(words)
    try:
        with open(os.path.join(asked.settings, f"{asked.app}.json"), encoding="utf-8") as handle:
            settings = json.load(handle)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{asked.settings}: {error}\n")
        return 2
    try:
        sys.stdout.write("kept what is new\n" if refresh(settings) else "nothing new\n")
        failure = ""
    except UnleashError as error:
        failure = str(error)
        sys.stderr.write(f"{failure}; what was kept before stays\n")
    if settings["textfile"]:
        with contextlib.suppress(OSError):
            text = metrics(settings, not failure, time.time())
            write_atomic(os.path.join(settings["textfile"], f"sluice-flags-{settings['app']}.prom"), text, 0o644)
    return 1 if failure else 0
