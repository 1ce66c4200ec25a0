# SPDX-License-Identifier: Apache-2.0
"""The tables of inputs in the roles' READMEs are what scripts/role-docs writes from the argument specs."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    """The script as a module. It is compiled here, because an import would leave byte code among the scripts."""
    path = ROOT / "scripts" / "role-docs"
    module = ModuleType("role_docs")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module


role_docs = load()
ROLES = role_docs.roles()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one role, which the script takes for all roles there are."""
    role = tmp_path / "roles" / "redis"
    (role / "meta").mkdir(parents=True)
    for name in ("README.md", "meta/argument_specs.yml"):
        shutil.copy(ROOT / "roles" / "redis" / name, role / name)
    monkeypatch.setattr(role_docs, "roles", lambda: [role])
    return role


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_table_of_a_readme_is_current(role: Path) -> None:
    assert (role / "README.md").read_text(encoding="utf-8") == role_docs.rendered(role), "run scripts/role-docs"


def test_every_role_has_typed_inputs() -> None:
    assert {path.name for path in (ROOT / "roles").iterdir()} == {role.name for role in ROLES}


def test_a_changed_spec_makes_the_readme_stale_until_it_is_written(copy: Path) -> None:
    assert role_docs.main(["--check"]) == 0
    specs = copy / "meta" / "argument_specs.yml"
    specs.write_text(specs.read_text().replace("default: 6379", "default: 6380"))
    before = (copy / "README.md").read_text()
    assert role_docs.main(["--check"]) == 1
    assert (copy / "README.md").read_text() == before
    assert role_docs.main([]) == 0
    assert "| `redis_port` | `6380` | int |" in (copy / "README.md").read_text()
    assert role_docs.main(["--check"]) == 0


def test_a_readme_without_a_place_for_the_table_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "README.md").write_text("# Role `redis`\n")
    assert role_docs.main([]) == 1
    assert "redis/README.md" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ({"required": True}, "*required*"),
        ({}, "*none*"),
        ({"default": ""}, '`""`'),
        ({"default": "main"}, "`main`"),
        ({"default": "*:0/5"}, '`"*:0/5"`'),
        ({"default": "true"}, '`"true"`'),
        ({"default": True}, "`true`"),
        ({"default": {}}, "`{}`"),
    ],
)
def test_a_default_is_shown_as_yaml(option: dict[str, object], shown: str) -> None:
    assert role_docs.default(option) == shown


def test_markup_of_ansible_becomes_markdown() -> None:
    assert role_docs.plain("With O(x=y), C(a|b)\n and I(so).") == "With `x=y`, `a\\|b` and *so*."
