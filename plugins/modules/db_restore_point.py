#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A named moment in the database's history that can be gone back to."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_restore_point
short_description: Name this moment in the database's WAL, and see it archived
version_added: 0.1.0
description:
  - Makes a restore point on a database host that the role C(backup) looks after, switches to the next WAL file, and waits until the one that
    holds the restore point is archived. From then on C(restore.yml -e restore_point=<name>) goes back to it, also when the host is lost.
  - Costs one small WAL file; nothing of the data is copied.
author: Sluice maintainers (@sluice-stack)
options:
  name:
    description: The restore point, a release's id. One name is used once; a recovery stops at the first it meets.
    type: str
    required: true
  timeout:
    description: How long the WAL file may take to be archived, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Nothing is done in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: migrate | Name the moment before the migration
  sluice.stack.db_restore_point:
    name: 20261122T231500Z-v1.4.2
  register: point
"""

RETURN = r"""
restore_point:
  description: Where it is.
  returned: success, not in check mode
  type: dict
  sample: {name: 20261122T231500Z-v1.4.2, system_id: "7575757575757575757", timeline: 1, lsn: 0/5000090, time: "2026-11-22T23:15:04Z"}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import restore_point
from ansible_collections.sluice.stack.plugins.module_utils.backup_host import HostError, settings

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "name": {"type": "str", "required": True},
        "timeout": {"type": "float", "default": 30},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        made = restore_point.make(settings(), module.params["name"], module.params["timeout"])
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, restore_point=made)


if __name__ == "__main__":
    main()
