#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A release's migrations, tried on a copy of the database; and the release that serves, tried on what they make of it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_rehearsal
short_description: Run a release's migrations on a copy of the database, and check that the live release still works there
version_added: 0.1.0
description:
  - Applies pending migrations to the copy at O(address), as M(sluice.stack.db_migration) would to the database itself, in the image of the
    new release.
  - Then runs the app's own check in the image of the live release, against the migrated copy. A failure here would also occur between the
    migration and the flip, and after a rollback.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  manifest:
    description: The release whose migrations are rehearsed.
    type: dict
    required: true
  live:
    description: The live release; empty without one.
    type: dict
    default: {}
  slot:
    description: The slot whose network the containers join.
    type: str
    choices: [blue, green]
    required: true
  secrets:
    description: The current values of the app's secrets, by name.
    type: dict
    default: {}
  address:
    description: The address of the copy, host and port.
    type: str
    required: true
  service:
    description: The service whose image and environment run the check; empty without a check.
    type: str
    default: ""
  command:
    description: The check. Exit code 0 means success.
    type: list
    elements: str
    default: []
  timeout:
    description: How long the check may take, in seconds.
    type: float
    default: 300
  pull_seconds:
    description: How long pulling an image may take.
    type: float
    default: 300
attributes:
  check_mode:
    description: Nothing runs in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Rehearse | Migrate the copy
  sluice.stack.migration_rehearsal:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    manifest: "{{ plan.manifest }}"
    live: "{{ plan.live_manifest }}"
    slot: green
    secrets: "{{ app_secrets }}"
    address: 10.0.0.31:5500
    service: backend
    command: [node, dist/smoke.js]
"""

RETURN = r"""
applied:
  description: Names of the migrations that were applied to the copy, oldest first.
  returned: success
  type: list
  elements: str
attempts:
  description: The number of attempts.
  returned: success
  type: int
seconds:
  description: How long the migrations took.
  returned: success
  type: float
checked:
  description: The release whose check passed; empty when no check ran.
  returned: success
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, one_off
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.migration import rehearsal
from ansible_collections.sluice.stack.plugins.module_utils.migration import states as migrate
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import MigrationError
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import DatabaseError
from ansible_collections.sluice.stack.plugins.module_utils.migration.tool import Job
from ansible_collections.sluice.stack.plugins.module_utils.release import secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "manifest": {"type": "dict", "required": True},
        "live": {"type": "dict", "default": {}},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "address": {"type": "str", "required": True},
        "service": {"type": "str", "default": ""},
        "command": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "float", "default": 300},
        "pull_seconds": {"type": "float", "default": 300},
    },
    "supports_check_mode": True,
}


def migrate_copy(params: dict[str, Any], engine: Engine, guard: Guard) -> dict[str, Any]:
    """Apply pending migrations to the copy. Raises MigrationError and others."""
    manifest, begin = params["manifest"], time.monotonic()
    migration = manifest["migration"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    there = rehearsal.pointed_at(manifest, values, migration["service"], migration["database"], params["address"])
    job = Job(engine, there[0], params["slot"], there[1], guard.effect, "rehearsal")
    _pull(params, engine, guard, job.image)
    begin = time.monotonic()
    done = {**migrate.NOTHING, **migrate.apply(job, "")}
    return {"applied": done["applied"], "attempts": done["attempts"], "seconds": time.monotonic() - begin}


def check(params: dict[str, Any], engine: Engine, guard: Guard) -> str:
    """Run the app's own check in the image of the live release; returns its id. Raises MigrationError and others."""
    live, service = params["live"], params["service"]
    variable = params["manifest"]["migration"]["database"]
    values = secret_store.values_for(live, params["secrets"], guard.folder)
    there = rehearsal.pointed_at(live, values, service, variable, params["address"])
    _pull(params, engine, guard, live["services"][service]["image"])
    name = f"{live['app']}-rehearsal-check"
    item = one_off.wanted(there[0], service, name, params["command"], params["slot"], there[1])
    docker_host.remove(engine, name, force=True)  # of a run that died

    def beat() -> None:
        guard.check()

    try:
        one_off.start(engine, item, live["app"])
        code, output = one_off.wait(engine, name, params["timeout"], beat)
    finally:
        docker_host.remove(engine, name, force=True)
    if code:
        tail = "\n".join(f"    {line}" for line in output.rstrip().splitlines()[-15:])
        raise MigrationError(
            f"live release {live['id']} does not work on the new schema: {' '.join(params['command'])} ended with exit code {code}:\n{tail}"
        )
    return str(live["id"])


def _pull(params: dict[str, Any], engine: Engine, guard: Guard, image: str) -> None:
    if not docker_host.has_image(engine, image):
        guard.check()
        docker_host.pull(engine, image, params["pull_seconds"])


def main() -> None:
    """Parse, run, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False, applied=[], attempts=0, seconds=0.0, checked="")
    engine, guard = Engine(), Guard(params["app"], params["run_id"], params["token"])
    try:
        done = migrate_copy(params, engine, guard)
        checked = check(params, engine, guard) if params["live"] and params["service"] else ""
    except (
        MigrationError,
        DatabaseError,
        LeaseError,
        docker_host.EngineError,
        one_off.OneOffError,
        secret_store.SecretMissing,
    ) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, checked=checked, **done)


if __name__ == "__main__":
    main()
