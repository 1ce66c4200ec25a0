# SPDX-License-Identifier: Apache-2.0
"""What is written to a host, and what is printed, has the same order in each run.

Ansible's filters of sets have another one in each: a file with two of their entries changes for nothing, and what reads it is restarted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = [
    path
    for folder in ("roles", "playbooks", "inventories")
    for path in sorted((REPOSITORY / folder).rglob("*"))
    if path.suffix in (".yml", ".j2")
] + sorted(REPOSITORY.glob("*.yml"))
SETS = re.compile(r"\|\s*(difference|union|intersect|symmetric_difference)\(")
# Whether there is anything has no order.
COUNTED = re.compile(r"\s*\)*\s*(\|\s*length\b|[!=]= \[\])")


def unordered(text: str) -> Iterator[str]:
    """Yield the set filters whose result is used for more than its length."""
    for match in SETS.finditer(text):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if not COUNTED.match(text, end):
            yield text[match.start() : end]


def test_sets_are_only_counted() -> None:
    assert len(FILES) > 300
    found = [f"{path.relative_to(REPOSITORY)}: {use}" for path in FILES for use in unordered(path.read_text())]
    assert not found, f"{found}: use reject('in', …), select('in', …) or (a + b) | unique, which keep the order"


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("{{ a | difference(b | map(attribute='x')) | unique | join(', ') }}", 1),
        ("{% for one in (a + b) | union(['x']) %}", 1),
        ("{{ (a | intersect(b)) | length > 0 }}", 0),
        ("when: a | difference(['x']) != []", 0),
        ("{{ a | reject('in', b) | join(', ') }}", 0),
    ],
)
def test_the_control(text: str, uses: int) -> None:
    assert len(list(unordered(text))) == uses
