#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Before a release: a named moment in the database's history that can be gone back to, and backups that are young enough."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_restore_point
short_description: Name this moment in the database's WAL, and see it archived
version_added: 0.1.0
description:
  - Makes a restore point on a database host that the role C(backup) looks after, switches to the next WAL file, and waits until the one that
    holds the restore point is archived. From then on C(playbooks/backup/restore.yml -e restore_point=<name>) goes back to it, also when the host is lost.
  - Costs one small WAL file; nothing of the data is copied. Where the host's engine is V(pg_dump), it is a dump of all databases, and takes as long.
  - Refuses before that when the newest backup, or the last proved restore, is older than asked for. Can make a backup first.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The restore point, a release's id. One name is used once; a recovery stops at the first it meets.
    type: str
    required: true
  point:
    description: Whether a restore point is made, or the backups are only looked at.
    type: bool
    default: true
  timeout:
    description: How long the WAL file may take to be archived, in seconds. A dump may take six hours, whatever is said here.
    type: float
    default: 30
  incremental_after_hours:
    description: >-
      Make an incremental backup, or a dump, when the newest backup is older, in hours; it is waited for. Unset, none is made.
    type: float
  max_age_hours:
    description: Fail when the newest backup is older, in hours. Unset, nobody asks.
    type: float
  drill_max_age_hours:
    description: Fail unless a restore drill proved a restore within as many hours. Unset, nobody asks.
    type: float
attributes:
  check_mode:
    description: The ages are looked at; no backup and no restore point is made.
    support: full
  diff_mode:
    description: There is nothing to show.
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
  description: Where it is. A dump has its name in the place of timeline and LSN.
  returned: when one was made
  type: dict
  sample: {name: 20261122T231500Z-v1.4.2, system_id: "7575757575757575757", timeline: 1, lsn: 0/5000090, time: "2026-11-22T23:15:04Z"}
notes:
  description: What a person should know, a line each.
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
    """How an engine does what is asked here: its repositories, the backup it makes first, and its restore point."""

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
        notes = _young_enough(host, params, module.check_mode)
        if module.check_mode or not params["point"]:
            module.exit_json(changed=module.check_mode or bool(notes), notes=notes)
        made = ENGINES[_engine(host)].point(host, params["name"], params["timeout"])
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, restore_point=made, notes=notes)


def _engine(host: Mapping[str, Any]) -> str:
    """The host's engine; a host that was provisioned before there was a choice does not say."""
    return str(host.get("engine", "pgbackrest"))


def _young_enough(host: dict[str, Any], params: dict[str, Any], check_mode: bool) -> list[str]:
    """See that the backups are as young as is asked for, with a new one when that is due; what there is to tell. Raises HostError."""
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
