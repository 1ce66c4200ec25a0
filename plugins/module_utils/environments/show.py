# SPDX-License-Identifier: Apache-2.0
"""The environments as a table, as data, and as a file of variables to start from. No secret's value is in any of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.environments.compare import Environment, Held, differences
from ansible_collections.sluice.stack.plugins.module_utils.environments.matrix import Matrix, Variable
from ansible_collections.sluice.stack.plugins.module_utils.gates import registry
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result

WIDEST = 34
PLACES = {
    "inventory": "Ansible Vault",
    "vault": "OpenBao or HashiCorp Vault",
    "aws": "AWS Secrets Manager",
    "sops": "a file encrypted by SOPS",
    "env": "the environment of CI",
}


def lines(matrix: Matrix, environments: Sequence[Environment], results: Sequence[Result]) -> list[str]:
    """The variables, then the settings that differ, then what is wrong."""
    names = [one.name for one in matrix.variables]
    names += sorted({name for one in environments for name in one.variables} - {*names})
    rows = [["", *(one.name for one in environments)]]
    rows += [[name, *(_cell(one, name) for one in environments)] for name in names]
    shown = _table(rows)
    different = differences([one for one in environments if not one.problem])
    if different:
        shown += ["", "settings that differ"]
        shown += _table(
            [[path, *(values.get(one.name, "?") for one in environments)] for path, values in different.items()]
        )
    return [*shown, "", *registry.lines(results)] if results else shown


def _cell(environment: Environment, name: str) -> str:
    held = environment.variables.get(name)
    if held is None:
        return "?" if environment.problem else "-"
    if not held.secret:
        return held.value or '""'
    if held.problem:
        return "locked" if held.locked else "missing"
    return f"{held.place} {_short(held)}".strip()


def _short(held: Held) -> str:
    return f"#{held.fingerprint[:6]}" if held.fingerprint and not held.fingerprint.startswith("at:") else ""


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    cut = [[cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…" for cell in row[1:]] for row in rows]
    first = max(len(row[0]) for row in rows)
    wide = [max(len(row[column]) for row in cut) for column in range(len(cut[0]))]
    return [
        "  ".join(
            [f"{row[0]:<{first}}", *(f"{cell:<{width}}" for cell, width in zip(cells, wide, strict=True))]
        ).rstrip()
        for row, cells in zip(rows, cut, strict=True)
    ]


def data(environments: Sequence[Environment], results: Sequence[Result]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "schema": 1,
        "environments": {
            one.name: {
                "problem": one.problem,
                "variables": {name: asdict(held) for name, held in one.variables.items()},
            }
            for one in environments
        },
        "differences": differences([one for one in environments if not one.problem]),
        "checks": [asdict(one) for one in results],
    }


def env_example(matrix: Matrix, environment: str) -> str:
    """Return a file of variables for running a service by hand as in one environment; a secret has its example."""
    text = [
        f"# What the app is told in {environment}; made from the matrix by playbooks/checks/environments.yml.",
        "# Copy it to .env, which is not committed.",
    ]
    for variable in matrix.variables:
        text += ["", *_comment(variable, environment), _assignment(variable, environment)]
    return "\n".join(text) + "\n"


def _comment(variable: Variable, environment: str) -> list[str]:
    kind = []
    if variable.secret:
        source = variable.sources.get(environment)
        kind.append(f"Secret, from {PLACES[source]}." if source else "Secret.")
    if environment not in variable.required:
        kind.append("Optional.")
    said = " ".join([variable.about, *kind]).strip()
    return [f"# {said}"] if said else []


def _assignment(variable: Variable, environment: str) -> str:
    value = variable.values.get(environment, variable.example)
    mark = "" if environment in variable.required or value else "# "
    # In single quotes a shell and Node's --env-file read the text as it is.
    quote = "" if re.fullmatch(r"[\w.-]*", value) or "'" in value else "'"
    return f"{mark}{variable.name}={quote}{value}{quote}"
