# SPDX-License-Identifier: Apache-2.0
"""Refuse templates in a run's ``-e`` variables: Ansible would execute them, and a tag or branch name may contain one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import shown

# The variables of a run, which pipelines fill with untrusted names. All others belong to the inventory, where a map such as
# app_secrets may contain {{ vault_password }}.
OF_A_RUN = re.compile(
    r"app_(name|version|environment)|confirm_environment|state|(preview|release|gate|checklist|remove|rollback|restore|restored|maintenance|lease|history|report|secrets|environments|logs|load|run|files|drill|promote|rejoin|reboot|security|experiment|chaos|flags?)(_\w+)?"
)
# The delimiters of Jinja, and the header by which Ansible changes them.
TEMPLATE = re.compile(r"\{\{|\{%|\{#|^#jinja2:")


def templates(given: Mapping[str, Any], pairs: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """Return a line for each variable of a run whose value contains a template.

    ``given`` are the variables of all ``-e`` options; ``pairs`` those of each option written as ``name=value name=value``. Where such an option
    sets a variable of a run, a space in its value may have set others too, so none of them may contain a template.
    """
    found = {name: f"is {shown(value)}" for name, value in given.items() if _of_a_run(name) and _holds(value)}
    for variables in pairs:
        run = next(filter(_of_a_run, variables), None)
        for name in variables if run else ():
            if _holds(variables[name]):
                # The value may be a password: do not show it.
                found.setdefault(name, f"is set along with {run}, to a template")
    return [
        f"{name} {what} on the command line: templates are not accepted there because they can run commands; write the value itself"
        for name, what in found.items()
    ]


def _of_a_run(name: str) -> bool:
    return bool(OF_A_RUN.fullmatch(name))


def _holds(value: Any) -> bool:
    """Whether a value contains a template anywhere."""
    if isinstance(value, str):
        return bool(TEMPLATE.search(value))
    if isinstance(value, Mapping):
        return any(_holds(one) for pair in value.items() for one in pair)
    return isinstance(value, Sequence) and any(_holds(one) for one in value)
