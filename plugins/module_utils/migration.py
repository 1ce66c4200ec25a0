# SPDX-License-Identifier: Apache-2.0
"""Migration tools: how each is called inside the image, and what its output says was applied."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PRISMA_DEPLOY = ["node_modules/.bin/prisma", "migrate", "deploy"]


def command(migration: Mapping[str, Any]) -> list[str]:
    """The command that applies what is pending, and nothing when nothing is.

    For prisma never ``migrate dev`` or ``migrate reset``: they may drop data (Prisma's documentation, "Development and
    production").
    """
    return list(migration["command"] or PRISMA_DEPLOY)


def applied(engine: str, output: str) -> list[str]:
    """The names of the migrations a successful run applied, oldest first; empty for engines that do not tell."""
    if engine != "prisma":
        return []
    # Prisma ends with a tree of what it applied: a line for each migration's folder, and below it its files.
    _, _, tree = output.partition("The following migration(s) have been applied:")
    return re.findall(r"└─ (\S+)/$", tree, re.MULTILINE)
