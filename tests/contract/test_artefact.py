# SPDX-License-Identifier: Apache-2.0
"""The artefact holds what runs and nothing else, depends on what is used, and works where there is no checkout."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.collection import ansible, build, install

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("changelogs", "docs", "meta", "playbooks", "plugins", "roles")
FILES = ("CHANGELOG.rst", "LICENSE", "README.md")
# What ansible-galaxy adds.
MADE = {"FILES.json", "MANIFEST.json"}
# For those who write fragments.
FOR_AUTHORS = re.compile(r"^changelogs/(config\.yaml|\.plugin-cache\.yaml|fragments/)")
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta" / "argument_specs.yml").exists())


def names(artefact: Path) -> set[str]:
    """The files in an artefact."""
    with tarfile.open(artefact) as archive:
        return {member.name for member in archive.getmembers() if not member.isdir()}


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("artefact"))


@pytest.fixture(scope="module")
def elsewhere(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of somebody who has installed the collection in ``collections``."""
    return install(artefact, tmp_path_factory.mktemp("elsewhere"))


# what is in it


def shipped() -> Iterator[str]:
    """The files of the checkout that belong into the artefact."""
    for top in FOLDERS:
        for path in (ROOT / top).rglob("*"):
            name = str(path.relative_to(ROOT))
            if path.is_file() and "__pycache__" not in path.parts and not FOR_AUTHORS.match(name):
                yield name
    yield from FILES


def test_it_holds_what_runs_and_nothing_else(artefact: Path) -> None:
    found = names(artefact)
    assert len(found) > 200
    assert found - MADE == set(shipped())


def test_what_only_a_checkout_has_stays_out_of_it(tmp_path: Path) -> None:
    """Also where it does not lie today; a file of the root that nobody listed is what the test before this finds."""
    source, target = tmp_path / "source", tmp_path / "target"
    target.mkdir()
    shutil.copytree(ROOT / "roles" / "redis", source / "roles" / "redis")
    shutil.copytree(ROOT / "meta", source / "meta")
    for name in ("galaxy.yml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    private = (
        "roles/redis/files/server.key",
        "roles/redis/files/server.pem",
        "roles/redis/vars/vault.yml",
        "roles/redis/__pycache__/any.pyc",
        "inventories/production/hosts.yml",
        "tests/unit/test_any.py",
        ".venv/bin/python",
        "deploy.yml",
    )
    planted = (*private, "surprise.yml")
    for name in planted:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("---\n")
    assert names(build(source, target)) & set(planted) == {"surprise.yml"}


# what it depends on


def metadata() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    return read


def test_dependencies_are_the_same_in_both_places() -> None:
    listed = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert {item["name"]: item["version"] for item in listed} == metadata()["dependencies"]


def test_dependencies_are_the_collections_that_are_used() -> None:
    used: set[str] = set()
    for top in ("playbooks", "roles"):
        for path in (ROOT / top).rglob("*.yml"):
            found = re.findall(r"^\s*(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_0-9]+:", path.read_text(), flags=re.MULTILINE)
            used |= {name for name in found if name not in ("ansible.builtin", "sluice.stack")}
    # Lookups that plugins call by name.
    for path in (ROOT / "plugins").rglob("*.py"):
        used |= set(re.findall(r'"([a-z_]+\.[a-z_]+)\.[a-z_0-9]+"', path.read_text())) & {
            "community.hashi_vault",
            "community.sops",
        }
    assert used == set(metadata()["dependencies"])


# where it is installed


def test_playbooks_of_the_installed_collection_run_with_any_inventory(elsewhere: Path) -> None:
    """An INI file, outside of any checkout, with another app's variables; nobody answers at its addresses."""
    (elsewhere / "hosts.ini").write_text(
        "[edge]\nweb1 ansible_host=127.0.0.1\n\n[app]\nweb1\n\n"
        "[all:vars]\nansible_port=1\nstack_address=127.0.0.1\n"
        "app_name=shop\n"
        "app_services={'web': {'image': 'registry.example.com/shop/web', 'port': 8080}}\n"
        "app_routes=[{'service': 'web'}]\n"
    )
    done = ansible(
        "ansible-playbook",
        "sluice.stack.deploy",
        "-i",
        "hosts.ini",
        "-e",
        "app_version=v1",
        "--check",
        folder=elsewhere,
    )
    output = done.stdout + done.stderr
    assert "deploy failed in step fence: web1: cannot be reached" in output, output
    # What is wrong in such a file is named with its place.
    done = ansible("ansible-playbook", "sluice.stack.deploy", "-i", "hosts.ini", "-e", "app_nmae=x", folder=elsewhere)
    assert "app_nmae is not a variable of the contract" in done.stdout + done.stderr


def test_a_groups_defaults_reach_every_module(elsewhere: Path) -> None:
    group = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["release"]
    assert group == MODULES
    tasks = [{f"sluice.stack.{name}": {}} for name in ("release_barrier", "release_ledger")]
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/sluice.stack.release": {"of_the_group": True}},
            "tasks": [{**task, "ignore_errors": True} for task in tasks],
        }
    ]
    (elsewhere / "defaults.yml").write_text(yaml.safe_dump(play))
    done = ansible("ansible-playbook", "defaults.yml", "-i", "localhost,", "-c", "local", folder=elsewhere)
    assert (done.stdout + done.stderr).count("of_the_group") >= len(tasks), done.stdout + done.stderr


def test_ansible_doc_shows_every_module_whole(elsewhere: Path) -> None:
    wanted = [f"sluice.stack.{name}" for name in MODULES]
    done = ansible("ansible-doc", "--type", "module", "--json", *wanted, folder=elsewhere)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == set(wanted) and len(wanted) > 20
    for name, parts in shown.items():
        documentation = parts["doc"]
        assert documentation["short_description"] and documentation["description"], name
        assert name in parts["examples"], name
        assert parts["return"] is not None, name
        attributes = documentation["attributes"]
        assert {"check_mode", "diff_mode", "action_group"} <= set(attributes), name
        assert attributes["action_group"]["membership"] == ["sluice.stack.release"], name


def test_ansible_doc_shows_every_filter_with_its_options(elsewhere: Path) -> None:
    package = "ansible_collections.sluice.stack.plugins.filter"
    files = [path.stem for path in (ROOT / "plugins" / "filter").glob("*.py")]
    filters = {
        f"sluice.stack.{name}": function
        for file in files
        for name, function in importlib.import_module(f"{package}.{file}").FilterModule().filters().items()
    }
    done = ansible("ansible-doc", "--type", "filter", "--json", *filters, folder=elsewhere)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == set(filters) and len(filters) > 5
    for name, function in filters.items():
        documentation = shown[name]["doc"]
        # The first argument is what is filtered.
        arguments = ["_input", *list(inspect.signature(function).parameters)[1:]]
        positional = re.split(r",\s*", documentation["positional"])
        assert positional == arguments[: len(positional)], name
        assert set(documentation["options"]) == set(arguments), name
        assert shown[name]["examples"] and shown[name]["return"], name


def test_ansible_doc_shows_every_role_with_its_options(elsewhere: Path) -> None:
    wanted = [f"sluice.stack.{name}" for name in ROLES]
    done = ansible("ansible-doc", "--type", "role", "--json", *wanted, folder=elsewhere)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == set(wanted)
    for name, role in shown.items():
        for entry in role["entry_points"].values():
            assert entry["short_description"], name
            assert all(option["description"] for option in entry["options"].values()), name
