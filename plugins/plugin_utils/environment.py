# SPDX-License-Identifier: Apache-2.0
"""Ask for the name of a protected environment, typed by whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.utils.vars import load_extra_vars
from ansible_collections.sluice.stack.plugins.module_utils.contract import environment


def seen(variables: Mapping[str, Any], templar: Any, loader: Any) -> dict[str, Any]:
    """Return what a refusal is judged by. The confirmation counts only as given with this run: in an inventory it would confirm everything."""
    given = {name: templar.template(variables[name]) for name in environment.VARIABLES if name in variables}
    typed = load_extra_vars(loader).get("confirm_environment") or os.environ.get("SLUICE_CONFIRM_ENVIRONMENT")
    return {**given, "confirm_environment": typed, "ansible_check_mode": variables.get("ansible_check_mode")}
