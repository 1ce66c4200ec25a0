# SPDX-License-Identifier: Apache-2.0
"""Refuse what a run's ``-e`` variables must not hold: other people's text, such as a tag's name, comes from there.

A template would be executed. And Ansible splits ``-e name=some text`` at its spaces: text may set any variable, ``ansible_ssh_common_args`` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import template
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import shown

# The variables of a run, which pipelines fill with untrusted names. All others belong to the inventory, where a map such as
# app_secrets may contain {{ vault_password }}.
OF_A_RUN = re.compile(
    r"app_(name|version|environment)|confirm_environment|state|emergency|(preview|release|gate|checklist|remove|rollback|restore|restored|maintenance|lease"
    r"|history|report|rollout|result|secrets?|audit|environments|logs|load|run|files"
    r"|drill|promote|rejoin|reboot|security|silence|experiment|chaos|flags?|backup_keys|provision)(_\w+)?"
)
# Those that hold a sentence of somebody's.
TEXT = re.compile(r"(release|silence)_reason|maintenance_message")


def templates(given: Mapping[str, Any]) -> list[str]:
    """Return a line for each variable of a run whose value contains a template. ``given`` are the variables of all ``-e`` options."""
    return [
        f"{name} is {shown(value)} on the command line: templates are not accepted there because they can run commands; write the value itself"
        for name, value in given.items()
        if _of_a_run(name) and template.held(value)
    ]


def split(pairs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each option ``name=value name=value`` in which a variable of a run may have set something else by a space in its value.

    Such an option may set variables of a run alone, and one that takes text nothing beside it.
    """
    found = []
    for variables in pairs:
        run = next(filter(_of_a_run, variables), None)
        text = next(filter(TEXT.fullmatch, variables), None)
        others = [name for name in variables if name != text and (text or not _of_a_run(name))]
        if run and others:
            # The value may be a password: do not show it.
            what = "words without a name" if others[0] == "_raw_params" else others[0]
            name = text or run
            found.append(
                f"{name} on the command line sets {what} too: Ansible splits such an option at spaces. Quote a value with spaces twice, "
                f"-e '{name}=\"a value\"', and give other variables an -e of their own"
            )
    return found


def _of_a_run(name: str) -> bool:
    return bool(OF_A_RUN.fullmatch(name))
