# SPDX-License-Identifier: Apache-2.0
"""Templates in other people's text, which Ansible would execute."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# The delimiters of Jinja, and the header by which Ansible changes them.
_TEMPLATE = re.compile(r"\{\{|\{%|\{#|^#jinja2:")


def held(value: Any) -> bool:
    """Whether a value contains a template anywhere."""
    if isinstance(value, str):
        return bool(_TEMPLATE.search(value))
    if isinstance(value, Mapping):
        return any(held(one) for pair in value.items() for one in pair)
    return isinstance(value, Sequence) and any(held(one) for one in value)
