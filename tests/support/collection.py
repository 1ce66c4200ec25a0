# SPDX-License-Identifier: Apache-2.0
"""The collection as others have it: built, installed, and used where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def tool(name: str, *arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs as a person does who has no checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "APP_"))}
    return subprocess.run(
        [BIN / name, *arguments],
        cwd=folder,
        env={**environment, "ANSIBLE_NOCOLOR": "1", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def build(folder: Path, target: Path) -> Path:
    """The artefact of a collection's folder."""
    done = tool("ansible-galaxy", "collection", "build", "--output-path", str(target), str(folder), folder=target)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = target.glob("*.tar.gz")
    return found


def install(artefact: Path, folder: Path) -> Path:
    """Install an artefact into ``collections`` of a folder; the folder."""
    done = tool(
        "ansible-galaxy",
        *("collection", "install", str(artefact), "--no-deps", "--offline", "-p", str(folder / "collections")),
        folder=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def ansible(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs with the collection that is installed in a folder."""
    return tool(name, *arguments, folder=folder, ANSIBLE_COLLECTIONS_PATH=str(folder / "collections"))
