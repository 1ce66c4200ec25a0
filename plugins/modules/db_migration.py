#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Apply a release's pending migrations, once."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_migration
short_description: Apply the pending migrations of a release, in the release's own image
version_added: 0.1.0
description:
  - Runs the app's migration tool in a container of the release's image, with the environment and secrets of the service named.
  - The container has a fixed name. When a controller died while it ran, the next run attaches to it and takes its result, so that two
    migrations never run at the same time and none is killed half way.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.run]
options:
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
    description: Today's values of the app's secrets, by name.
    type: dict
    default: {}
  pull_seconds:
    description: How long pulling the image may take.
    type: float
    default: 300
attributes:
  check_mode:
    description: Nothing runs in check mode; it reports that migrations may be applied.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: migrate | Apply pending migrations once
  sluice.stack.db_migration:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    manifest: "{{ plan.manifest }}"
    slot: green
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
applied:
  description: Names of the migrations that were applied, as far as the engine tells them.
  returned: success
  type: list
  elements: str
  sample: [20261101090000_init]
attached:
  description: Whether the result is that of a migration an earlier run had started.
  returned: success
  type: bool
output:
  description: What the tool printed.
  returned: success
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import docker_host, migration, one_off, secret_store
from ansible_collections.sluice.stack.plugins.module_utils.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.guard import RUN_ARGUMENTS, Guard, LeaseError


def apply(params: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Run the tool, or wait for the run that is under way; returns the result."""
    manifest = params["manifest"]
    settings = manifest["migration"]
    service = manifest["services"][settings["service"]]
    begin = time.monotonic()
    engine = Engine()

    def beat() -> None:
        with guard.effect(extend=params["lease_seconds"]):
            pass

    name = f"{manifest['app']}-migration"
    found = one_off.find(engine, name)
    if found and found["running"]:
        one_off.wait(engine, name, settings["timeout"], beat)
    attached = bool(found and found["started"] and found["release"] == manifest["id"])
    if not attached:
        values = secret_store.values_for(manifest, params["secrets"], guard.folder)
        if not docker_host.has_image(engine, service["image"]):
            with guard.effect(extend=params["pull_seconds"] + params["lease_seconds"]):
                pass
            docker_host.pull(engine, service["image"], params["pull_seconds"])
        with guard.effect(extend=params["lease_seconds"]):
            if found:
                docker_host.remove(engine, name)
            item = one_off.wanted(
                manifest, settings["service"], name, migration.command(settings), params["slot"], values
            )
            one_off.start(engine, item, manifest["app"])
    code, output = one_off.wait(engine, name, settings["timeout"], beat)
    with guard.effect(extend=params["lease_seconds"]):
        docker_host.remove(engine, name)
    if code:
        tail = "\n".join(f"    {line}" for line in output.rstrip().splitlines()[-25:])
        raise one_off.OneOffError(
            f"{settings['engine']} migration of {manifest['id']} failed with exit code {code}:\n{tail}"
        )
    applied = migration.applied(settings["engine"], output)
    return {
        "changed": bool(applied) or settings["engine"] != "prisma",
        "applied": applied,
        "attached": attached,
        "output": output.splitlines(),
        "seconds": round(time.monotonic() - begin, 2),
    }


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "manifest": {"type": "dict", "required": True},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "pull_seconds": {"type": "float", "default": 300},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, applied=[], attached=False, output=[], seconds=0.0)
    try:
        result = apply(params, Guard(params["app"], params["run_id"], params["token"]))
    except (LeaseError, docker_host.EngineError, one_off.OneOffError, secret_store.SecretMissing) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
