# SPDX-License-Identifier: Apache-2.0
"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], prefix: str = "") -> str | None:
    """Return the known name most similar to ``name``, if similar enough.

    A shared ``prefix`` would make any two names similar, so it is not compared.
    """
    matches = difflib.get_close_matches(
        name.removeprefix(prefix), [item.removeprefix(prefix) for item in known], n=1, cutoff=0.75
    )
    return prefix + matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the end of a message about an unknown name."""
    names = sorted(known)
    match = closest(name, names, prefix)
    return f"did you mean {match!r}?" if match else f"known: {', '.join(names)}"
