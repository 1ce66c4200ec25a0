# SPDX-License-Identifier: Apache-2.0
"""The documentation names variables, defaults, files, playbooks and make targets that exist."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract, gates, slo
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import REQUIRED, Kind, Problems
from ansible_collections.sluice.stack.plugins.module_utils.gates import registry

ROOT = Path(__file__).resolve().parents[2]
# What tools and the lab put into a checkout is not ours to check.
NOT_OURS = {".venv", ".lab", ".collections", ".git", "node_modules", ".ansible", ".pytest_cache", "dist", "build"}
CONTRACT = ROOT / "docs" / "contract.md"
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def rows(heading: str) -> dict[str, str]:
    """The table under a heading of the contract's reference: name → what its column of defaults says."""
    section = re.split(r"^## ", CONTRACT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"{heading}\n"))
    cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| `"))
    return {row[0].strip().strip("`"): row[2].strip() for row in cells}


def read(kind: Kind, value: Any) -> Any:
    """A value as the contract reads it."""
    problems = Problems()
    result = kind.read(value, "documented", problems)
    assert not problems.lines
    return result


LISTS = {"D": "pre-deploy", "P": "production", "A": "post-deploy"}
STRUCTS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "A service": (contract.SERVICE, {"image": "example/app"}),
    "Health": (contract.HEALTH, {}),
    "A route": (contract.ROUTE, {"service": "web"}),
    "Protection": (contract.VARIABLES["app_protection"], {}),
    "The canary": (contract.CANARY, {}),
    "The watch": (contract.WATCH, {}),
    "The migration": (contract.MIGRATION, {"engine": "prisma", "service": "web"}),
    "The backup": (contract.BACKUP, {}),
    "The rollback": (contract.VARIABLES["app_rollback"], {}),
    "The SLO": (slo.FIELDS, {}),
    "The chaos experiments": (contract.VARIABLES["app_chaos"], {}),
    "The seed": (contract.SEED, {"service": "web", "command": ["seed"]}),
    "The preview": (contract.VARIABLES["app_preview"], {}),
}


def test_every_variable_is_documented() -> None:
    assert list(rows("Variables")) == list(contract.VARIABLES)


@pytest.mark.parametrize("name", contract.VARIABLES)
def test_default_of_a_variable(name: str) -> None:
    kind, documented = contract.VARIABLES[name], rows("Variables")[name]
    if kind.default is REQUIRED:
        assert documented == "*required*"
    elif kind.default is None:
        assert documented == "*none*"
    else:
        assert read(kind, yaml.safe_load(documented.strip("`"))) == read(kind, kind.default)


@pytest.mark.parametrize("heading", STRUCTS)
def test_keys_and_defaults_of_a_part(heading: str) -> None:
    kind, least = STRUCTS[heading]
    documented, defaults = rows(heading), read(kind, least)
    assert list(documented) == list(defaults)
    for key, cell in documented.items():
        if key in least:
            assert cell == "*required*", key
        elif defaults[key] is None:
            assert cell == "*none*", key
        else:
            assert read(kind, {**least, key: yaml.safe_load(cell.strip("`"))}) == defaults, key


def test_gates_with_their_options_and_defaults() -> None:
    section = CONTRACT.read_text(encoding="utf-8").split("## The gates\n")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")
    ]
    table = {row[0].strip("`"): row[1:] for row in cells}
    assert list(table) == list(gates.GATES)
    for name, (options, default, _passes, lists) in table.items():
        assert lists.split() == [letter for letter, one in LISTS.items() if one in registry.GATES[name].checklists], (
            name
        )
        defaults = gates.default_options(name)
        if defaults is None:
            assert default == "*required*", name
            continue
        assert re.findall(r"`(\w+)`", options) == list(defaults), name
        assert read(gates.GATES[name], yaml.safe_load(default.strip("`"))) == defaults, name
        assert {*yaml.safe_load(default.strip("`"))} == {*defaults}, name


def anchors(text: str) -> set[str]:
    """The anchors GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> Iterator[str]:
    """The targets of a document's links and pictures."""
    yield from re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text))


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{link} names no heading"


def code(text: str) -> str:
    """What a document shows as code, a piece per line: commands and names, and no prose."""
    fenced = [block.split("\n", 1)[1] for block in FENCED.findall(text)]
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", FENCED.sub("", text))])


def named(pattern: str, exists: Callable[[str], bool]) -> list[str]:
    """What documents name in code that does not exist, each with its document."""
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in documents()
        for name in re.findall(pattern, code(path.read_text(encoding="utf-8")), flags=re.MULTILINE)
        if not exists(name)
    ]


def test_playbooks_exist() -> None:
    assert not named(r"ansible-playbook (?:-\S+ )*([\w./-]+\.yml)", lambda name: (ROOT / name).is_file())


def is_collection_playbook(name: str) -> bool:
    """Whether ``backup.status`` is a playbook of the collection: playbooks/backup/status.yml."""
    return (ROOT / "playbooks" / f"{name.replace('.', '/')}.yml").is_file()


def test_collection_playbooks_exist() -> None:
    assert is_collection_playbook("deploy") and not is_collection_playbook("deplyo")
    assert not named(r"ansible-playbook (?:-\S+ )*sluice\.stack\.([\w.]+)", is_collection_playbook)
    assert not named(r"sluice\.stack\.(\w+\.\w+)", is_collection_playbook)


def test_variables_of_a_run_exist() -> None:
    """What a command sets with ``-e release_…=`` is an input of the role."""
    specs = yaml.safe_load((ROOT / "roles" / "release" / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    inputs = specs["argument_specs"]["main"]["options"]
    assert "release_to" in inputs
    assert not named(r"-e (release_\w+)=", inputs.__contains__)


def test_make_targets_exist() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text, flags=re.MULTILINE))
    assert not named(r"^\s*(?:\$ )?make(?: -s)? ([a-z][a-z0-9-]*)", targets.__contains__)


def test_files_named_in_docs_exist() -> None:
    """Paths that begin in a directory of the repository; vaults are made by each installation."""
    places = "playbooks|roles|plugins|inventories|molecule|scripts|tests|examples|docs|requirements"
    assert not named(
        rf"(?<![\w./-])((?:{places})/[\w./-]+\w)(?![\w/<>*-])",
        lambda name: name.endswith("vault.yml") or (ROOT / name).exists(),
    )


def test_pages_named_in_code_exist() -> None:
    """Comments and messages of the code that send a reader to a page of docs/."""
    sources = [
        path
        for folder in ("playbooks", "plugins", "roles", "inventories", "molecule", "tests", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix in ("", ".py", ".yml", ".j2", ".js", ".sh")
        and "__pycache__" not in path.parts
    ]
    pages = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.md")
    found = {(path, page) for path in sources for page in pages.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 5
    assert not [f"{path.relative_to(ROOT)}: {page}" for path, page in found if not (ROOT / page).is_file()]


@pytest.mark.parametrize("name", ["runtime", "dev", "lab", "audit"])
def test_pins_are_the_locked_ones(name: str) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    section = page.split(f"(`requirements/{name}.in`)")[1].split("\n## ")[0]
    documented = {
        match[1].lower(): match[2] for match in re.finditer(r"^\| (\S+) \| ([^|]+) \|", section, flags=re.MULTILINE)
    }
    wanted = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8")
    lock = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    direct = re.findall(r"^([A-Za-z][\w-]*)", wanted, flags=re.MULTILINE)
    assert {item.lower() for item in direct} == documented.keys() - {"package"}
    for item in direct:
        for version in re.findall(rf"^{item}==([^\s;]+)", lock, flags=re.MULTILINE | re.IGNORECASE):
            assert version in documented[item.lower()], f"{item} is locked at {version}"
