# SPDX-License-Identifier: Apache-2.0
"""Text of others on an operator's terminal."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def harmless(text: str) -> str:
    """Return text that a terminal shows and does not obey: without colours, and with a mark for every other control character."""
    return "".join(char if char.isprintable() or char in "\t\n" else "\ufffd" for char in _COLOURS.sub("", text))
