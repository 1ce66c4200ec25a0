# SPDX-License-Identifier: Apache-2.0
"""Protected environments: what may harm one needs its name typed on the command line. Pure.

``environment_name``, ``environment_protected`` and ``environment_deploys`` are variables of the inventory, ``confirm_environment`` one of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

VARIABLES = ("environment_name", "environment_protected", "environment_deploys")
NO = ("", "false", "no", "off", "0", "none")
# Whether a deploy to a protected environment needs the name, or an approval, too.
DEPLOYS = ("confirmed", "free")


def protected(variables: Mapping[str, Any]) -> bool:
    """Whether the environment is protected. A value that cannot be read protects: a mistake must not open production."""
    return str(variables.get("environment_protected", False)).strip().lower() not in NO


def confirmed_environment(variables: Mapping[str, Any], action: str) -> str | None:
    """Return why ``action`` is refused here, in one line; None when it may run.

    ``variables`` are all variables of a host, with their templates resolved. Check mode changes nothing, so it needs no confirmation.
    """
    if not protected(variables) or variables.get("ansible_check_mode") is True:
        return None
    name = str(variables.get("environment_name") or "").strip()
    if not name:
        return (
            f"{action} is refused: environment_protected is set, but environment_name is not: set it in the inventory"
        )
    typed = str(variables.get("confirm_environment") or "").strip()
    if typed == name:
        return None
    found = f"confirm_environment is {typed!r}" if typed else "this environment is protected"
    return f"{action} in {name} is refused: {found}. If {name} is meant, add -e confirm_environment={name}"


def harm(action: str, data: str, gates: Iterable[str], variables: Mapping[str, Any]) -> str | None:
    """Return what a run of the release engine may do to a protected environment, named for a message; None for what may always run.

    A plain rollback may always run: nothing stands in its way. ``data`` is what happens to the data on rollback, ``gates`` are those that
    this run has to pass: a signed approval is worth the name typed.
    """
    if action == "deploy":
        return None if variables.get("environment_deploys") == "free" or "approval" in gates else action
    if action == "rollback":
        # Without a confirmation of its own, a restore only counts the rows.
        loses = data == "down" or (data == "restore" and variables.get("rollback_confirm"))
        return f"rollback with data {data!r}" if loses else None
    if action == "chaos":
        return "a chaos experiment"
    return action if action == "remove" and variables.get("remove_confirm") else None


def wrong(variables: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the variables of the environment, in one line."""
    name, deploys = str(variables.get("environment_name") or ""), str(variables.get("environment_deploys", "confirmed"))
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return f"environment_name is {name!r}: it must be letters, digits, '.', '_' and '-'"
    return None if deploys in DEPLOYS else f"environment_deploys is {deploys!r}: {did_you_mean(deploys, DEPLOYS)}"
