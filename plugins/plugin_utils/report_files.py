# SPDX-License-Identifier: Apache-2.0
"""A report's two files on the controller: JSON for programs, a page for people."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic


def json_text(data: dict[str, Any]) -> str:
    """The JSON of a report, for people to read too."""
    return json.dumps(data, indent=2) + "\n"


def write(option: str, directory: str, name: str, data: dict[str, Any], page: str) -> str:
    """Write ``name``.json and ``name``.html; returns the line that says so, and raises AnsibleActionFail, which names the ``option``."""
    path = os.path.join(directory, name)
    try:
        os.makedirs(directory, exist_ok=True)
        write_atomic(f"{path}.json", json_text(data), 0o644)
        write_atomic(f"{path}.html", page, 0o644)
    except OSError as error:
        # Ansible would say the cause once more.
        raise AnsibleActionFail(f"{option} is {directory}: {error.strerror}") from None
    return f"  written to {path}.html and .json"
