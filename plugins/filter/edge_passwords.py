# SPDX-License-Identifier: Apache-2.0
"""The filter that makes files of passwords on the controller: an edge gets hashes only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.sluice.stack.plugins.module_utils.edge import htpasswd


def edge_passwords(protection: Mapping[str, Any], app: str, secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return file name → content of an app's files of passwords."""
    try:
        return htpasswd.files(app, protection, secrets)
    except htpasswd.PasswordError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions."""
        return {"edge_passwords": edge_passwords}
