# SPDX-License-Identifier: Apache-2.0
"""The packages of module_utils use each other as docs/architecture.md says, and never in a circle."""

from __future__ import annotations

import graphlib
import re
from pathlib import Path

from ansible_collections.sluice.stack.plugins.plugin_utils import host_program

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"


def documented() -> dict[str, set[str]]:
    """Package → the packages it uses, from the table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    return {package: set(re.findall(r"`(\w+)`", uses)) for package, uses in rows}


def used(package: str) -> set[str]:
    """The packages that files of a package import from."""
    names = {name for path in (UTILS / package).glob("*.py") for name in host_program.imported(path.read_text())}
    return {name.split(".")[0] for name in names if "." in name} - {package}


def test_packages_use_what_the_documentation_says() -> None:
    found = {path.name: used(path.name) for path in UTILS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert len(found) > 5 and any(found.values())
    assert found == documented()


def test_no_package_uses_itself_in_a_circle() -> None:
    order = list(graphlib.TopologicalSorter(documented()).static_order())
    assert order.index("release") < order.index("docker") < order.index("migration")


def test_what_all_packages_share_uses_none_of_them() -> None:
    names = {name for path in UTILS.glob("*.py") for name in host_program.imported(path.read_text())}
    assert not [name for name in names if "." in name]
