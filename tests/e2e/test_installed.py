# SPDX-License-Identifier: Apache-2.0
"""The installed collection, in a folder of its own with an INI inventory: it sees the lab's app, and plans another app on the same hosts."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.support.collection import ansible, build, install
from tests.support.lab import INVENTORY, REGISTRY, Lab, ini_hosts
from tests.support.playbook import REPO


def inventory(folder: Path, name: str) -> Path:
    """A folder of an inventory whose hosts are in an INI file."""
    (folder / name / "group_vars").mkdir(parents=True)
    (folder / name / "hosts").write_text(ini_hosts())
    return folder / name


def test_playbooks_run_from_any_folder_by_the_collections_name(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    install(build(REPO, tmp_path / "dist"), tmp_path)
    before = lab.record()

    # The lab's own app: its variables, and no file of the checkout but the key of its vault.
    same = inventory(tmp_path, "same")
    shutil.copytree(REPO / INVENTORY / "group_vars" / "all", same / "group_vars" / "all")
    (same / "group_vars" / "all" / "lab.yml").write_text(
        yaml.safe_dump({"lab_subnet": REGISTRY.rpartition(".")[0], "lab_state": str(REPO / ".lab")})
    )
    vault = ("--vault-id", f"lab@{REPO / 'scripts' / 'vault-key-client'}")
    done = ansible("ansible-playbook", "sluice.stack.status", "-i", "same", *vault, folder=tmp_path)
    assert done.returncode == 0 and "marketplace: live, v1.0.0" in done.stdout, done.stdout + done.stderr
    deploy = ("sluice.stack.deploy", "--check", "-e")
    done = ansible("ansible-playbook", *deploy, "app_version=v1.1.0", "-i", "same", *vault, folder=tmp_path)
    assert done.returncode == 0 and "Deploy marketplace v1.1.0" in done.stdout, done.stdout + done.stderr

    # Another app of another team, in an inventory of its own.
    other = inventory(tmp_path, "other")
    app = {
        "app_name": "other",
        "app_services": {
            "web": {"image": f"{REGISTRY}/marketplace/frontend", "port": 8080, "health": {"path": "/health"}}
        },
        "app_routes": [{"host": "other.test", "service": "web", "verify": "/health"}],
        "stack_address": "{{ ansible_host }}",
    }
    (other / "group_vars" / "all.yml").write_text(yaml.safe_dump(app))
    done = ansible("ansible-playbook", *deploy, "app_version=v1.0.0", "-i", "other", folder=tmp_path)
    assert done.returncode == 0 and "Deploy other v1.0.0" in done.stdout, done.stdout + done.stderr
    assert "marketplace" not in done.stdout.replace("marketplace/frontend", "")

    assert lab.record() == before and not any(lab.leases().values())
