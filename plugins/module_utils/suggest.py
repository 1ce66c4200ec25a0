# SPDX-License-Identifier: Apache-2.0
"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, when one is alike enough to be what was meant."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A closing phrase for a message about an unknown name."""
    names = sorted(known)
    match = closest(name, names)
    return f"did you mean {match!r}?" if match else f"known: {', '.join(names)}"
