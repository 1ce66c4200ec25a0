# SPDX-License-Identifier: Apache-2.0
"""The file all parts of the bench write their figures to."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.bench.measure import REPO

TARGET = REPO / "build" / "bench.json"


def write(found: Mapping[str, float]) -> None:
    """Add figures to the file, or replace those of the same names."""
    TARGET.parent.mkdir(exist_ok=True)
    known = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    rounded = {name: round(value, 3) for name, value in found.items()}
    TARGET.write_text(json.dumps({**known, **rounded}, indent=1, sort_keys=True) + "\n")
