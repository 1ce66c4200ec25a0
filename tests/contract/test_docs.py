# SPDX-License-Identifier: Apache-2.0
"""Every plugin is documented, and the documentation is what the code does."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PACKAGE = "ansible_collections.sluice.stack.plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py") if path.stem != "__init__")
# Those of host modules are all the same one, which sends the module.
SENT = {path.stem for path in (PLUGINS / "action").glob("*.py") if "host_module import Host" in path.read_text()}
BLOCKS = ("DOCUMENTATION", "EXAMPLES", "RETURN")
ACTIONS = sorted(path.stem for path in (PLUGINS / "action").glob("*.py") if path.stem not in SENT)


def documents(name: str) -> dict[str, Any]:
    """A module's DOCUMENTATION, EXAMPLES and RETURN, read without running it."""
    tree = ast.parse((PLUGINS / "modules" / f"{name}.py").read_text())
    return {
        node.targets[0].id: yaml.safe_load(ast.literal_eval(node.value))
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in BLOCKS
    }


def fragments(name: str) -> list[dict[str, Any]]:
    """What the fragments say that a module names."""
    modules = [
        importlib.import_module(f"{PACKAGE}.doc_fragments.{fragment.rpartition('.')[2]}")
        for fragment in documents(name)["DOCUMENTATION"].get("extends_documentation_fragment", [])
    ]
    return [yaml.safe_load(module.ModuleDocFragment.DOCUMENTATION) for module in modules]


def documented(name: str, part: str) -> dict[str, dict[str, Any]]:
    """The options or attributes of a module, with those of the fragments it names."""
    found: dict[str, dict[str, Any]] = {}
    for one in (*fragments(name), documents(name)["DOCUMENTATION"]):
        found |= one.get(part) or {}
    return found


def options(name: str) -> dict[str, dict[str, Any]]:
    """The documented options of a module."""
    return documented(name, "options")


class Stop(Exception):
    """The module asked for its arguments; more of it need not run."""


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a module gives to AnsibleModule."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    seen: dict[str, Any] = {}

    def record(*args: Any, **kwargs: Any) -> None:
        seen.update(kwargs)
        raise Stop

    monkeypatch.setattr(basic, "AnsibleModule", record)
    monkeypatch.setattr(module, "AnsibleModule", record)
    with pytest.raises(Stop):
        module.main()
    return seen


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_documentation_examples_and_return(name: str) -> None:
    found = documents(name)
    assert set(found) == {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    documentation = found["DOCUMENTATION"]
    assert documentation["module"] == name
    assert not documentation["short_description"].endswith(".")
    assert documentation["description"]
    assert documentation["version_added"]
    attributes = documented(name, "attributes")
    assert {"check_mode", "diff_mode"} <= set(attributes)
    for attribute in attributes.values():
        assert attribute["support"] in ("full", "partial", "none")
        assert attribute["description"]
    assert found["RETURN"] is None or all(
        "description" in value and "type" in value for value in found["RETURN"].values()
    )


def returned_names() -> set[str]:
    """Every string and keyword in the code of the plugins, documentation left out."""
    found: set[str] = set()
    for path in PLUGINS.rglob("*.py"):
        tree = ast.parse(path.read_text())
        blocks = [
            node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in BLOCKS
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in blocks:
                found.add(node.value)
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
    return found


@pytest.mark.parametrize("path", sorted((PLUGINS / "callback").glob("*.py")), ids=lambda path: path.stem)
def test_a_callbacks_documentation_is_yaml_with_a_description_of_each_option(path: Path) -> None:
    """Ansible reads the options from it: one that does not parse has none."""
    tree = ast.parse(path.read_text())
    text = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION"
    )
    found = yaml.safe_load(text)
    assert found["name"] == path.stem and found["type"] in ("stdout", "notification")
    assert all(isinstance(line, str) for line in found["description"])
    assert all(option["description"] and option["type"] for option in found.get("options", {}).values())


def test_what_a_module_documents_to_return_is_in_the_code() -> None:
    """A renamed result whose documentation was forgotten."""
    known = returned_names()
    missing = {name: gone for name in MODULES if (gone := sorted(set(documents(name)["RETURN"] or {}) - known))}
    assert not missing
    assert "silent" not in known, "the control: a name no module returns"


@pytest.mark.parametrize("name", MODULES)
def test_every_example_is_a_task_of_the_module_with_options_it_has(name: str) -> None:
    full_name = f"sluice.stack.{name}"
    tasks = documents(name)["EXAMPLES"]
    mine = [task for task in tasks if full_name in task]
    assert mine, "an example uses the module by its full name"
    required = {option for option, details in options(name).items() if details.get("required")}
    for task in mine:
        assert re.match(r"^[A-Z][a-z ]+ \| [A-Z]", task["name"]), "named as tasks are named here: Area | Verb object"
        assert set(task[full_name]) <= set(options(name))
        assert required <= set(task[full_name])


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ACTIONS])
def test_a_modules_arguments_are_the_documented_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = spec_of(name, monkeypatch)
    told_options, spec = options(name), given["argument_spec"]
    assert set(spec) == set(told_options)
    for option, details in spec.items():
        told = told_options[option]
        assert told["description"]
        for key in ("type", "elements", "choices", "default"):
            assert told.get(key) == details.get(key), f"{option}: {key}"
        assert bool(told.get("required")) == bool(details.get("required")), option
    support = documented(name, "attributes")["check_mode"]["support"]
    assert (support != "none") == bool(given.get("supports_check_mode"))


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ACTIONS])
def test_secrets_are_marked_so_that_no_log_shows_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for option, details in spec_of(name, monkeypatch)["argument_spec"].items():
        if re.search(r"secret|password|passphrase|credential", option):
            assert details.get("no_log") is True, option


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_plugin_is_documented_by_a_module_file_and_takes_what_is_documented(name: str) -> None:
    plugin = importlib.import_module(f"{PACKAGE}.action.{name}").ActionModule
    assert set(options(name)) == set(plugin._VALID_ARGS)
    assert documented(name, "attributes")["action"]["support"] == "full"


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ACTIONS])
def test_a_host_module_is_sent_without_the_wrapper_and_gives_its_arguments_for_that(name: str) -> None:
    assert name in SENT
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    assert "argument_spec" in module.ARGUMENTS


@pytest.mark.parametrize("kind", ["modules", "action", "module_utils", "plugin_utils", "doc_fragments"])
def test_every_file_of_the_code_says_what_it_is_and_its_licence(kind: str) -> None:
    for path in (PLUGINS / kind).rglob("*.py"):
        text = path.read_text()
        assert "# SPDX-License-Identifier: Apache-2.0" in text.splitlines()[:2], path.name
        assert ast.get_docstring(ast.parse(text)), path.name
