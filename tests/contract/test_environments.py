# SPDX-License-Identifier: Apache-2.0
"""The example's inventories are as their matrix says, and the comparison sees what it should; no host is contacted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.environments import matrix, show

from tests.support.dry_run import REPOSITORY, Run, run
from tests.support.example import MARKETPLACE

INVENTORIES = REPOSITORY / "inventories"
RULES = matrix.read(yaml.safe_load((INVENTORIES / "matrix.yml").read_text()))
NAMES = ("postgres_app_password", "redis_password", "jwt_secret", "registry_password")
LONG = "0123456789abcdef" * 2


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    """The example's inventories, with secrets."""
    for name in RULES.environments:
        shutil.copytree(INVENTORIES / name, tmp_path / name)
        secrets(tmp_path, name, {one: f"hunter2-{name}-{one}-{LONG}" for one in NAMES})
    shutil.copy(INVENTORIES / "matrix.yml", tmp_path)
    return tmp_path


def secrets(folder: Path, environment: str, values: dict[str, str]) -> Path:
    """Give an environment its secrets."""
    file = folder / environment / "group_vars" / "all" / "vault.yml"
    file.write_text(yaml.safe_dump({f"vault_{name}": value for name, value in values.items()}))
    return file


def compared(folder: Path, *extra: str) -> Run:
    """Run the comparison. No secret may be in what it prints, at any verbosity."""
    done = run(
        "-vvv",
        "-e",
        f"environments_matrix={folder}/matrix.yml",
        "-e",
        f"environments_json={folder}/report.json",
        *extra,
        playbook="playbooks/checks/environments.yml",
    )
    assert "hunter2" not in done.output
    return done


def checks(folder: Path) -> dict[str, str]:
    """What it found: name → evidence."""
    text = (folder / "report.json").read_text()
    assert "hunter2" not in text
    return {one["name"]: one["evidence"] for one in json.loads(text)["checks"]}


def test_the_example_is_as_its_matrix_says(inventories: Path) -> None:
    done = compared(inventories)
    assert done.code == 0, done.output
    assert checks(inventories) == {}


def test_what_is_shared_missing_or_not_in_it_fails(inventories: Path) -> None:
    production = dict.fromkeys(NAMES, f"hunter2-production-{LONG}")
    del production["redis_password"]
    secrets(
        inventories,
        "production",
        {**production, "postgres_app_password": f"hunter2-staging-postgres_app_password-{LONG}"},
    )
    app = inventories / "staging" / "group_vars" / "all" / "app.yml"
    app.write_text(app.read_text().replace("LOG_LEVEL: info", "LOG_LEVEL: trace\n      DEBUG: 1"))
    done = compared(inventories)
    assert done.code != 0
    assert checks(inventories) == {
        # The URLs have different hosts, the password is one.
        "DATABASE_URL": "staging and production have the same",
        "REDIS_URL": "production cannot be read: 'vault_redis_password' is undefined",
        "LOG_LEVEL": "staging has 'trace', the matrix 'info'",
        "DEBUG": "staging has it, the matrix does not",
    }


def test_what_this_machine_has_no_key_for_is_unknown(inventories: Path, tmp_path: Path) -> None:
    file = inventories / "production" / "group_vars" / "all" / "vault.yml"
    key = tmp_path / "key"
    key.write_text("another\n")
    vault = Path(sys.executable).parent / "ansible-vault"
    subprocess.run(
        [vault, "encrypt", "--vault-id", f"production@{key}", file], cwd=tmp_path, check=True, capture_output=True
    )
    done = compared(inventories)
    assert done.code == 0, done.output
    assert set(checks(inventories)) == {"DATABASE_URL", "REDIS_URL", "JWT_SECRET"}
    # With the key it is compared.
    assert compared(inventories, "--vault-id", f"production@{key}").code == 0
    assert checks(inventories) == {}


@pytest.mark.parametrize("name", RULES.environments)
def test_each_inventory_goes_as_far_as_its_hosts(inventories: Path, name: str) -> None:
    for playbook in ("deploy.yml", "provision.yml"):
        done = run(
            *(
                "-e",
                "app_version=v1.0.0",
                "-e",
                f"confirm_environment={name}",
                "-e",
                "ansible_host=127.0.0.1",
                "-e",
                "ansible_port=1",
            ),
            playbook=playbook,
            inventory=str(inventories / name),
        )
        assert (
            "cannot be reached" in done.output or "UNREACHABLE" in done.output or "Connection refused" in done.output
        ), done.output


def test_a_matrix_that_is_not_there() -> None:
    done = run("-e", "environments_matrix=nothing.yml", playbook="playbooks/checks/environments.yml")
    assert done.errors == ["environments_matrix is 'nothing.yml': No such file or directory"]


@pytest.mark.parametrize("name", RULES.environments)
def test_the_examples_of_variables_are_up_to_date(name: str) -> None:
    made = show.env_example(RULES, name)
    assert (MARKETPLACE / f".env.{name}.example").read_text() == made, (
        "run: ansible-playbook playbooks/checks/environments.yml -e environments_examples=examples/marketplace"
    )


@pytest.mark.parametrize("name", RULES.environments)
def test_an_environment_has_the_same_files_and_its_own_key(name: str) -> None:
    assert {path.name for path in (INVENTORIES / name).rglob("*.yml")} - {"vault.yml"} == {
        "hosts.yml",
        "app.yml",
        "stack.yml",
    }
    assert f"{name}@scripts/vault-key-client" in (REPOSITORY / "ansible.cfg").read_text()
