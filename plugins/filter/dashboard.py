# SPDX-License-Identifier: Apache-2.0
"""Filters of the role dashboard: what the page and Grafana show, and who may see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.sluice.stack.plugins.module_utils.edge import htpasswd
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import dashboards


def dashboard_files(directory: str) -> list[dict[str, str]]:
    """Return the files that are made of the panels, for a directory."""
    found = {"panels.json": dashboards.page()}
    found |= {f"grafana/{name}.json": board for name, board in dashboards.grafana().items()}
    return [
        {"path": f"{directory}/{name}", "content": json.dumps(data, indent=1) + "\n"} for name, data in found.items()
    ]


def dashboard_passwords(users: Mapping[str, str]) -> str:
    """Return the file of passwords."""
    try:
        return htpasswd.lines("sluice-dashboard", users)
    except htpasswd.PasswordError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions."""
        return {"dashboard_files": dashboard_files, "dashboard_passwords": dashboard_passwords}
