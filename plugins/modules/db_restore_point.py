#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Before a release: a named moment in the database's history that can be gone back to, and backups that are young enough."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_restore_point
short_description: Set a named restore point in the database's WAL and wait until it is archived
version_added: 0.1.0
description:
  - Sets a restore point on a database host of the role C(backup), switches to the next WAL file, and waits until the WAL file with
    the restore point is archived. From then on C(playbooks/backup/restore.yml -e restore_point=<name>) can restore it, even if the host is lost.
  - Costs one small WAL file; no data is copied. With the engine V(pg_dump) it is a dump of all databases, and takes as long.
  - Fails before that when the newest backup, or the last successful drill, is older than required. Can make a backup first.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The restore point, a release's id. Use a name only once, because a recovery stops at the first match.
    type: str
    required: true
  point:
    description: Whether to set a restore point, or only check the backups.
    type: bool
    default: true
  timeout:
    description: The timeout for archiving the WAL file, in seconds. A dump may take six hours regardless.
    type: float
    default: 30
  incremental_after_hours:
    description: >-
      Make an incremental backup, or a dump, when the newest backup is older, in hours; it is waited for. Unset, none is made.
    type: float
  max_age_hours:
    description: Fail when the newest backup is older, in hours. Not checked when unset.
    type: float
  drill_max_age_hours:
    description: Fail unless a restore drill succeeded within as many hours. Not checked when unset.
    type: float
attributes:
  check_mode:
    description: The ages are checked; no backup is made and no restore point is set.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Restore point | Name the moment before the migration
  sluice.stack.db_restore_point:
    name: 20261122T231500Z-v1.4.2
    max_age_hours: 26
    drill_max_age_hours: 192
  register: point
"""

RETURN = r"""
restore_point:
  description: Its position. A dump has its name instead of timeline and LSN.
  returned: when one was made
  type: dict
  sample: {name: 20261122T231500Z-v1.4.2, system_id: "7575757575757575757", timeline: 1, lsn: 0/5000090, time: "2026-11-22T23:15:04Z"}
notes:
  description: Notes for the operator, a line each.
  returned: success
  type: list
  elements: str
  sample: ["made a backup: the newest was of 2026-11-21 02:31:07 UTC"]
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.backup import age as backup_age
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    DRILL_RECORD,
    HostError,
    backup,
    database_settings,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, restore_point

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "name": {"type": "str", "required": True},
        "point": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 30},
        "incremental_after_hours": {"type": "float"},
        "max_age_hours": {"type": "float"},
        "drill_max_age_hours": {"type": "float"},
    },
    "supports_check_mode": True,
}
BACKUP_SECONDS = 6 * 3600.0


class Engine(NamedTuple):
    """The operations of an engine: its repositories, the backup it makes first, and its restore point."""

    repositories: Callable[[Mapping[str, Any]], list[Repository]]
    kind: str
    point: Callable[[Mapping[str, Any], str, float], dict[str, Any]]


ENGINES = {
    "pgbackrest": Engine(client.repositories, "incr", restore_point.make),
    "pg_dump": Engine(
        dump_store.repositories,
        "full",
        lambda host, name, _unused: dump_store.restore_point(host, name, BACKUP_SECONDS),
    ),
}


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    try:
        host = database_settings()
        notes = _check_ages(host, params, module.check_mode)
        if module.check_mode or not params["point"]:
            module.exit_json(changed=module.check_mode or bool(notes), notes=notes)
        made = ENGINES[_engine(host)].point(host, params["name"], params["timeout"])
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, restore_point=made, notes=notes)


def _engine(host: Mapping[str, Any]) -> str:
    """Return the host's engine; an old host's configuration has none."""
    return str(host.get("engine", "pgbackrest"))


def _check_ages(host: dict[str, Any], params: dict[str, Any], check_mode: bool) -> list[str]:
    """Check the ages of backups and drills, with a new backup when one is due; returns notes. Raises HostError."""
    due_hours, max_hours = params["incremental_after_hours"], params["max_age_hours"]
    engine = ENGINES[_engine(host)]
    found = engine.repositories(host) if due_hours or max_hours else []
    ended = backup_age.newest(found)
    notes = []
    if backup_age.is_due(ended, due_hours, time.time()):
        notes = [
            f"{'would make' if check_mode else 'made'} a backup: the newest was {f'of {when(ended)}' if ended else 'not there'}"
        ]
        if check_mode:
            max_hours = None
        else:
            backup(engine.kind, timeout=BACKUP_SECONDS)
            found = engine.repositories(host)
    refusal = backup_age.refusal(found, read_json(DRILL_RECORD), max_hours, params["drill_max_age_hours"], time.time())
    if refusal:
        raise HostError(refusal)
    return notes


if __name__ == "__main__":
    main()
