#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A release's migrations: what is pending, apply it once, undo it, verify it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_migration
short_description: Check, apply and revert the migrations of a release
version_added: 0.1.0
description:
  - Compares the migrations of a release's image with the database's record, and applies the pending ones with a lock timeout, a statement
    timeout and bounded retries.
  - The engine V(prisma) runs Prisma in a container of the release's image; V(command) any other tool; V(sql) runs versioned files of the
    image itself, with its own record.
  - The container has a fixed name. If a controller died while it ran, the next run waits for it, so that two migrations never run at the
    same time and none is killed halfway.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  state:
    description:
      - V(status) returns what is applied, pending, failed, edited and unknown to the image.
      - V(plan) also returns the pending SQL, for M(sluice.stack.migration_gate), and pulls the image if the host lacks it. It waits for a migration
        of an earlier run that is still running.
      - V(applied) applies what is pending.
      - V(schema_check) fails when one of the image's migrations is no longer applied, as before a rollback to a release whose migration was reverted.
      - V(rollback_check) returns which of O(names) can be reverted, and fails when the image has no down migration for one of them.
      - V(rolled_back) reverts the migrations O(names), the last one first, and skips those that are not applied; not with the
        engine V(prisma), which has no down migrations.
      - V(verified) fails unless all migrations of the image are applied and unchanged.
    type: str
    choices: [status, plan, applied, schema_check, rollback_check, rolled_back, verified]
    default: applied
  manifest:
    description: The release.
    type: dict
    required: true
  slot:
    description: The slot whose network the container joins.
    type: str
    choices: [blue, green]
    required: true
  secrets:
    description: The current values of the app's secrets, by name.
    type: dict
    default: {}
  live_image:
    description: The image with the migrations of the live release; empty when no release is live. For V(plan).
    type: str
    default: ""
  names:
    description: The migrations to revert, in the order in which they were applied.
    type: list
    elements: str
    default: []
  serving:
    description:
      - The release that is live when O(names) are reverted. Migrations of its image stay, and with V(rolled_back) the database must have the
        schema it expects afterwards. With the engine V(command) these migrations are unknown.
    type: dict
    default: {}
  resolve:
    description: How the operator resolved an unfinished migration whose state the database does not show.
    type: str
    choices: ["", applied, rolled_back]
    default: ""
  entries:
    description: Ledger entries to write before anything is applied.
    type: list
    elements: dict
    default: []
  pull_seconds:
    description: How long pulling the image may take.
    type: float
    default: 300
attributes:
  check_mode:
    description: Nothing is pulled and nothing runs; pending migrations are reported if the host has the image.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Pending | See which migrations the release brings
  sluice.stack.db_migration:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    state: plan
    manifest: "{{ plan.manifest }}"
    slot: green
    secrets: "{{ app_secrets }}"
  register: pending

- name: Migrate | Apply them once
  sluice.stack.db_migration:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    manifest: "{{ plan.manifest }}"
    slot: green
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
known:
  description: Whether the pending migrations are known; not with a tool without a status command, or before the image is pulled.
  returned: success
  type: bool
status:
  description: Names of migrations by status, and of invalid indexes, at the end.
  returned: success
  type: dict
  sample:
    applied: [20261101090000_init]
    pending: [20261115090000_accountant_specialty]
    failed: []
    edited: []
    unknown: []
    invalid_indexes: []
pending:
  description: The pending migrations, with their SQL.
  returned: O(state) is V(plan)
  type: list
  elements: dict
  sample: [{name: 20261115090000_accountant_specialty, sql: "ALTER TABLE ...", in_transaction: true, has_down: false}]
released:
  description: The applied migrations that the live release brought too.
  returned: O(state) is V(plan)
  type: list
  elements: str
contracts:
  description: The applied migrations that are marked as contract migrations.
  returned: success
  type: list
  elements: str
applied:
  description: Names of the migrations that this run applied, oldest first.
  returned: success
  type: list
  elements: str
  sample: [20261115090000_accountant_specialty]
revert:
  description: Those of O(names) that are applied and have a down migration in the image, in the order in which they were applied.
  returned: success
  type: list
  elements: str
left:
  description:
    - Those of O(names) that stay, because they are not in this image (another release's image may have their down migration) or are in that of O(serving).
  returned: success
  type: list
  elements: str
notes:
  description: Notes on them for the operator.
  returned: O(state) is V(rollback_check)
  type: list
  elements: str
reverted:
  description: Names of the migrations that this run reverted, in the order in which it did.
  returned: success
  type: list
  elements: str
attached:
  description: Whether the run had to wait for a migration that an earlier run had started.
  returned: success
  type: bool
attempts:
  description: The number of attempts; more than one after lock timeouts.
  returned: success
  type: int
output:
  description: The tool's output.
  returned: success
  type: list
  elements: str
seconds:
  description: The duration in seconds.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, one_off
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.migration import states as migrate
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import MigrationError
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import DatabaseError
from ansible_collections.sluice.stack.plugins.module_utils.migration.tool import Job
from ansible_collections.sluice.stack.plugins.module_utils.release import secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError


def job_of(manifest: dict[str, Any], params: dict[str, Any], guard: Guard) -> Job:
    """Build a release's migration job on this host."""
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    return Job(Engine(), manifest, params["slot"], values, guard.effect)


def pull(job: Job, params: dict[str, Any], guard: Guard) -> None:
    """Pull the image if it is missing."""
    guard.check()
    docker_host.pull(job.engine, job.image, params["pull_seconds"])


def serving_of(params: dict[str, Any], guard: Guard, check_mode: bool) -> Job | None:
    """Build the job of the live release while another one's migrations are reverted, with its image pulled; None in check mode without the image."""
    if not params["serving"].get("migration"):
        return None
    job = job_of(params["serving"], params, guard)
    if not docker_host.has_image(job.engine, job.image):
        if check_mode:
            return None
        pull(job, params, guard)
    return job


def execute(params: dict[str, Any], guard: Guard, check_mode: bool) -> dict[str, Any]:
    """Execute ``state``; returns the module's result."""
    begin = time.monotonic()
    job = job_of(params["manifest"], params, guard)
    here = docker_host.has_image(job.engine, job.image)
    if not here and not check_mode:
        pull(job, params, guard)
    result: dict[str, Any] = {**migrate.NOTHING, "changed": False}
    mutates = params["state"] in ("applied", "rolled_back")
    if check_mode and (mutates or not here or job.settings["engine"] == "command"):
        return {**result, "changed": mutates}
    if mutates and params["entries"]:
        guard.finish(params["entries"], release_lease=False)
    match params["state"]:
        case "plan":
            result |= migrate.plan(job, params["live_image"], wait=not check_mode)
        case "applied":
            result |= migrate.apply(job, params["resolve"])
        case "schema_check":
            result |= migrate.schema_check(job, wait=not check_mode)
        case "rollback_check":
            result |= migrate.rollback_check(job, params["names"], serving_of(params, guard, check_mode))
        case "rolled_back":
            result |= migrate.roll_back(job, params["names"], serving_of(params, guard, check_mode))
        case other:
            result |= migrate.read_status(job, strict=other == "verified")
    return {**result, "seconds": round(time.monotonic() - begin, 2)}


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "state": {
            "type": "str",
            "choices": ["status", "plan", "applied", "schema_check", "rollback_check", "rolled_back", "verified"],
            "default": "applied",
        },
        "manifest": {"type": "dict", "required": True},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "live_image": {"type": "str", "default": ""},
        "names": {"type": "list", "elements": "str", "default": []},
        "serving": {"type": "dict", "default": {}},
        "resolve": {"type": "str", "choices": ["", "applied", "rolled_back"], "default": ""},
        "entries": {"type": "list", "elements": "dict", "default": []},
        "pull_seconds": {"type": "float", "default": 300},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, execute, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    try:
        result = execute(params, Guard(params["app"], params["run_id"], params["token"]), module.check_mode)
    except (
        LeaseError,
        docker_host.EngineError,
        one_off.OneOffError,
        secret_store.SecretMissing,
        MigrationError,
        DatabaseError,
    ) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
