# SPDX-License-Identifier: Apache-2.0
"""Roles keep the house's rules: typed inputs that agree with their defaults, small task files, no inventory groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1].name for path in (REPOSITORY / "roles").glob("*/meta/argument_specs.yml"))
GROUPS = ("edge", "app", "db", "cache", "monitors")
TASK_LINES = 150
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "path": str,
    "raw": object,
}
# Where a role would name a group: groups['db'], groups.db, group_names, or a loop over them.
GROUP_USE = re.compile(r"\bgroups\s*(\[|\.)|\bgroup_names\b")

# Keywords whose value is an expression without braces.
BARE = ("when", "that", "until", "changed_when", "failed_when")

pytestmark = pytest.mark.parametrize("role", ROLES)


def folder(role: str) -> Path:
    return REPOSITORY / "roles" / role


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def options(role: str) -> dict[str, dict[str, Any]]:
    """The inputs of a role, over all its entry points."""
    entries = read(folder(role) / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in entries.values() for name, option in entry["options"].items()}


def defaults(role: str) -> dict[str, Any]:
    path = folder(role) / "defaults" / "main.yml"
    return (read(path) or {}) if path.exists() else {}


def sources(role: str) -> Iterator[Path]:
    """All text of a role that Ansible renders."""
    for name in ("tasks", "handlers", "templates", "vars", "defaults"):
        yield from (path for path in (folder(role) / name).rglob("*") if path.is_file())


def below(where: str, option: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """An option and all options nested in it."""
    yield where, option
    for name, inner in option.get("options", {}).items():
        yield from below(f"{where}.{name}", inner)


def test_every_input_is_typed_and_described(role: str) -> None:
    for name, option in options(role).items():
        for where, inner in below(name, option):
            assert inner.get("type") in PYTHON_TYPES, f"{where} has no type"
            assert inner.get("description"), f"{where} has no description"
            assert inner["type"] != "list" or inner.get("elements"), f"{where} is a list of what?"
            assert not (inner.get("required") and "default" in inner), f"{where} is required and has a default"


def test_inputs_carry_the_roles_name(role: str) -> None:
    assert [name for name in options(role) if not f"{name}_".startswith(f"{role}_")] == []


def test_defaults_and_specs_agree(role: str) -> None:
    wanted = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert defaults(role) == wanted


def test_an_input_is_required_or_has_a_default(role: str) -> None:
    assert [n for n, option in options(role).items() if not option.get("required") and "default" not in option] == []


def test_defaults_have_the_type_they_are_said_to_have(role: str) -> None:
    for name, value in defaults(role).items():
        if isinstance(value, str) and "{{" in value:
            continue
        assert isinstance(value, PYTHON_TYPES[options(role)[name]["type"]]), name


def test_secrets_are_marked(role: str) -> None:
    for name, option in options(role).items():
        for where, inner in below(name, option):
            if inner["type"] == "str" and re.search(r"password|secret|token", where.rsplit(".")[-1]):
                assert inner.get("no_log"), f"{where} would be shown"


def expressions(node: Any, key: str = "") -> Iterator[str]:
    """Everything in a task file that Ansible renders, as templates."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from expressions(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value, key)
    elif isinstance(node, str):
        yield f"{{{{ {node} }}}}" if key in BARE and "{{" not in node else node


def names_in(template: str) -> set[str]:
    """The variables a template reads."""
    return {name.name for name in jinja2.Environment().parse(template).find_all(jinja2.nodes.Name)}


def test_what_is_used_is_an_input_or_internal(role: str) -> None:
    known = set(options(role))
    internal = {name for path in (folder(role) / "vars").glob("*.yml") for name in read(path)}
    assert [name for name in internal if not name.startswith(f"__{role}_")] == []
    for path in sources(role):
        text = path.read_text()
        templates = expressions(yaml.safe_load(text)) if path.suffix == ".yml" else [text]
        used = {name for template in templates for name in names_in(template) if name.startswith(f"{role}_")}
        assert used <= known, f"{path.relative_to(REPOSITORY)} uses {sorted(used - known)}"


def test_the_readme_lists_every_input(role: str) -> None:
    text = (folder(role) / "README.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    assert rows >= set(options(role))
    assert {row for row in rows if row.startswith(f"{role}_")} <= set(options(role))


def test_the_readme_shows_the_defaults(role: str) -> None:
    text = (folder(role) / "README.md").read_text()
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`|]*)` \|", text, re.M))
    for name, value in shown.items():
        if name in defaults(role):
            assert yaml.safe_load(value) == defaults(role)[name], f"{name}: the README says {value}"


def test_task_files_are_small(role: str) -> None:
    lengths = {p.name: len(p.read_text().splitlines()) for p in (folder(role) / "tasks").glob("*.yml")}
    assert {name: length for name, length in lengths.items() if length >= TASK_LINES} == {}


def test_a_role_names_no_inventory_group(role: str) -> None:
    for path in sources(role):
        assert not GROUP_USE.search(path.read_text()), path.relative_to(REPOSITORY)
        if path.suffix == ".yml" and path.parent.name in ("vars", "defaults"):
            strings = [value for value in (read(path) or {}).values() if isinstance(value, str)]
            assert not set(strings) & set(GROUPS), path.relative_to(REPOSITORY)


def test_no_injected_facts(role: str) -> None:
    for path in sources(role):
        found = re.findall(r"\bansible_(?:distribution|os_family|hostname|default_ipv4|processor)\w*", path.read_text())
        assert found == [], f"{path.relative_to(REPOSITORY)}: write ansible_facts['…']"


def test_a_dispatcher_only_includes(role: str) -> None:
    path = folder(role) / "tasks" / "main.yml"
    if not path.exists():
        assert role == "release", "only the steps of a release have their order in a playbook"
        return
    for task in read(path):
        actions = {key for key in task if "." in key}
        assert actions <= {"ansible.builtin.import_tasks", "ansible.builtin.include_tasks"}, task["name"]


# They change no host: one runs on the controller, the other ships releases to hosts that are provisioned.
NO_HOST_ROLES = ("bucket", "release")


def test_a_host_role_refuses_the_controller_first(role: str) -> None:
    if role in NO_HOST_ROLES:
        return
    assert read(folder(role) / "tasks" / "main.yml")[0]["ansible.builtin.import_tasks"] == "preflight.yml"
    first = read(folder(role) / "tasks" / "preflight.yml")[0]
    assert "sluice.stack.host_facts" in first
    assert (first["register"], first["when"]) == ("sluice_host", "sluice_host is undefined")
