#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deploy, or roll back, from a program: what a web service or a scheduler does that has no shell.

    python examples/runner/release.py INVENTORY deploy VERSION
    python examples/runner/release.py INVENTORY rollback [VERSION]

Exit codes: 0 done, 1 the run itself broke, 2 refused before any change, 3 failed and the release before serves, 4 failed and somebody has to
look. SIGTERM or Ctrl-C stop the run at once; the hosts keep serving, and the next run goes on.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import ansible_runner

HERE = Path(__file__).resolve().parent
BROKEN = 1


def run(inventory: Path, action: str, version: str) -> int:
    """Run the playbook; returns the kind of its ending."""
    cancelled = False

    def cancel(*_unused: Any) -> None:
        nonlocal cancelled
        cancelled = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, cancel)
    # The version is text that somebody wrote: a deploy takes it from the environment, a rollback as JSON. Neither templates it.
    extra = {"release_to": version} if action == "rollback" and version else {}
    # ansible-runner keeps what it is given in files of its folder, and the next run there would use those.
    with tempfile.TemporaryDirectory() as reports, tempfile.TemporaryDirectory() as private:
        shutil.copytree(HERE / "env", Path(private) / "env")
        os.environ.update(
            APP_VERSION=version, ANSIBLE_CALLBACKS_ENABLED="sluice.stack.report", SLUICE_REPORT_DIRECTORY=reports
        )
        result = ansible_runner.run(
            private_data_dir=private,
            artifact_dir=str(HERE / "artifacts"),
            playbook=f"sluice.stack.{action}",
            inventory=str(inventory.resolve()),
            cmdline=f"--extra-vars {shlex.quote(json.dumps(extra))}",
            cancel_callback=lambda: cancelled,
            rotate_artifacts=20,
        )
        written = sorted(Path(reports).glob("*.json"))
        if not written:
            # Stopped, or there was no run of the release engine.
            return 0 if result.status == "successful" else BROKEN
        report = json.loads(written[-1].read_text())
    print(
        f"{report['action']} {report['app']}: {report['outcome']} in {report['seconds']} s", *report["errors"], sep="\n"
    )
    return int(report["code"])


def main() -> None:
    """Parse, run, exit."""
    match sys.argv[1:]:
        case [inventory, "deploy", version] | [inventory, "rollback", version]:
            sys.exit(run(Path(inventory), sys.argv[2], version))
        case [inventory, "rollback"]:
            sys.exit(run(Path(inventory), "rollback", ""))
        case _unused:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
