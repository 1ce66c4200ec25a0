# SPDX-License-Identifier: Apache-2.0
"""Protected environments: what may harm one needs its name typed on the command line. Pure.

``environment_name`` and ``environment_protected`` are variables of the inventory, ``confirm_environment`` one of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO = ("", "false", "no", "off", "0", "none")


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
