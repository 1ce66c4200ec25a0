# SPDX-License-Identifier: Apache-2.0
"""Experiments that a container cannot do, in a machine with a kernel, a clock and a disk of its own: Debian's Linux as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import PREFIX
from tests.support.playbook import REPO

PROOF = "/root/chaos_proof.py"
UNIT = f"""\
[Unit]
After=systemd-timesyncd.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'python3 {PROOF} >/root/seen 2>/root/errors; systemctl poweroff --force'
"""
SECONDS = 400


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], dict[str, Any]]]:
    """What the machine saw, by experiment and whether its own timer undid it."""
    folder = tmp_path_factory.mktemp("machine")
    root = folder / "root"
    root.mkdir()
    try:
        linux = Path(subprocess.run([REPO / "scripts/uml"], check=True, capture_output=True, text=True).stdout.strip())
        fill(root, linux)
        disk = folder / "disk"
        subprocess.run(["truncate", "--size=64M", disk], check=True)
        subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        # All its processes, where it hangs.
        command = [
            "timeout",
            "--kill-after=5",
            str(SECONDS),
            linux / "usr/bin/linux.uml",
            "mem=512M",
            "rootfstype=hostfs",
            f"rootflags={root}",
            "rw",
            f"ubdb={disk}",
        ]
        command += ["con=null", "con0=null,fd:1", "con1=null", "init=/sbin/init", "systemd.unit=proof.service"]
        console = folder / "console"
        with console.open("w") as file:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "TMPDIR": str(folder)},
                check=False,
            )
        rows = [json.loads(line) for line in (root / "root/seen").read_text().splitlines()]
        print(*rows, (root / "root/errors").read_text(), sep="\n")
        yield {(row["name"], row["by_timer"]): row for row in rows}
    finally:
        shutil.rmtree(root)


def fill(root: Path, linux: Path) -> None:
    """A host of the lab, with the kernel's modules and Sluice's code."""
    made = subprocess.run(
        ["docker", "create", f"{PREFIX}/host:trixie"], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", made], stdout=subprocess.PIPE) as export:
            subprocess.run(["tar", "-x", "-C", root], stdin=export.stdout, check=True)
    finally:
        subprocess.run(["docker", "rm", made], check=True, capture_output=True)
    (root / ".dockerenv").unlink()
    shutil.copytree(linux / "usr/lib/uml/modules", root / "lib/modules", dirs_exist_ok=True)
    code = root / "usr/local/lib/sluice/ansible_collections/sluice/stack/plugins/module_utils"
    shutil.copytree(REPO / "plugins/module_utils", code, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "tests/support/chaos_proof.py", root / PROOF[1:])
    (root / "etc/systemd/system/proof.service").write_text(UNIT)


@pytest.mark.soak
@pytest.mark.parametrize("by_timer", [False, True], ids=["by the controller", "by its own timer"])
@pytest.mark.parametrize(
    ("name", "least", "most"),
    # Two ways there and back; 90 s; a disk of 64 MB of which 8 are left.
    [("network_slow", 0.4, 5.0), ("clock_off", 89.0, 91.0), ("disk_full", 7.0, 8.0)],
)
def test_it_is_done_and_undone(
    seen: dict[tuple[str, bool], dict[str, Any]], name: str, least: float, most: float, by_timer: bool
) -> None:
    row = seen[name, by_timer]
    assert "unfit" not in row["begun"] and least <= row["during"] <= most, row
    assert row["undone"] == ("" if by_timer else name) and row["active"] == "", row
    for moment in ("before", "after"):
        assert not least <= row[moment] <= most, f"{moment}: {row}"
