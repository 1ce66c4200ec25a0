# SPDX-License-Identifier: Apache-2.0
"""What the documentation puts into an inventory's folder is no inventory."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.dry_run import REPOSITORY


def test_programs_there_do_not_run_and_secrets_are_no_groups(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {app1: {ansible_host: 10.0.0.1}}}\n")
    (tmp_path / "files").mkdir()
    for name in ("files/payment-key", "hosts-by-program"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {program}.ran\necho '{{}}'\n")
        program.chmod(0o755)
    (tmp_path / "secrets.sops.yaml").write_text("redis:\n  hosts: {stranger: {}}\n")
    (tmp_path / "preview.sql").write_text("update users set email = 'x';\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    done = subprocess.run(
        ["ansible-inventory", "-i", str(tmp_path), "--list"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert set(found["_meta"]["hostvars"]) == {"app1"} and "redis" not in found, done.stdout
    assert not (tmp_path / "files" / "payment-key.ran").exists()
    assert (tmp_path / "hosts-by-program.ran").exists(), "the control: a program elsewhere is an inventory"
    assert "preview.sql" not in done.stderr and "ca.pem" not in done.stderr
