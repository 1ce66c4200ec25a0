# SPDX-License-Identifier: Apache-2.0
"""The files of an edge's records. A file is written before the dictionary of Nginx's workers, and outlives it."""

from __future__ import annotations

import json
import os

from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.paths import EDGE_RECORDS

GROUP: str | None = "www-data"  # Nginx's workers read them after a restart


def file(app: str) -> str:
    """Return the file of an app's record."""
    return os.path.join(EDGE_RECORDS, f"{app}.json")


def read(app: str) -> Record:
    """Read an app's record. Raises Damaged."""
    try:
        data = read_json(file(app))
    except ValueError as error:
        data = f"not JSON: {error}"
    return edge_record.from_data(app, data)


def write(record: Record) -> None:
    """Replace the file of a record."""
    write_atomic(file(record["app"]), json.dumps(record, sort_keys=True) + "\n", mode=0o640, group=GROUP)
