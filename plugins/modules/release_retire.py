#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The end of a release's life on one app host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_retire
short_description: Drain the previously live release, then stop it
version_added: 0.1.0
description:
  - To be run when every edge has confirmed another release. Writes the ledger first.
  - Waits until the slot has no open connections or O(drain_seconds) are over, then stops and removes its containers, of whichever release.
  - With O(wait=false) a process on the host does this after the module has ended, and leaves the slot alone for O(warm_seconds) first, so
    that a rollback finds it running. It needs no lease, and ends when a later run changes the app on this host.
  - Then removes the images of the app that none of its last O(keep_releases) releases and no other app refers to, and of older releases the
    manifests in the host's ledger and the stored secrets.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run, sluice.stack.outcome]
options:
  slot:
    description: The slot to empty; none without a previous release.
    type: str
    choices: [blue, green]
  wait:
    description: Whether to wait until the slot is empty.
    type: bool
    default: true
  warm_seconds:
    description: How long to keep the slot running as a warm standby. Only with O(wait=false).
    type: float
    default: 0
  drain_seconds:
    description: How long to wait for open connections before containers are stopped.
    type: float
    default: 30
  keep_releases:
    description: Of how many releases images, manifests and secrets are kept, the live one included.
    type: int
    default: 5
attributes:
  check_mode:
    description: Reports whether there is anything to stop.
    support: full
  diff_mode:
    description: There is nothing to show; the plan shows it.
    support: none
"""

EXAMPLES = r"""
- name: Retire | Let the old release finish, then stop it
  sluice.stack.release_retire:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    slot: blue
    wait: false
    warm_seconds: 300
    release_lease: true
"""

RETURN = r"""
retired:
  description: Containers that were stopped, or will be if the module did not wait.
  returned: success
  type: list
  elements: str
"""

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, retire, slot
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, ledger_file
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import (
    OUTCOME_ARGUMENTS,
    RUN_ARGUMENTS,
    Guard,
    LeaseError,
)

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        **OUTCOME_ARGUMENTS,
        "slot": {"type": "str", "choices": ["blue", "green"]},
        "wait": {"type": "bool", "default": True},
        "warm_seconds": {"type": "float", "default": 0},
        "drain_seconds": {"type": "float", "default": 30},
        "keep_releases": {"type": "int", "default": 5},
    },
    "supports_check_mode": True,
}


def held_by(engine: Engine, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the containers in the slot."""
    return [item for item in docker_host.app_containers(engine, params["app"]) if item["slot"] == params["slot"]]


def manifest_of(entries: list[dict[str, Any]], held: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest of the held release from this host's ledger; without services when unknown."""
    releases = {item["release"] for item in held}
    found = [item["manifest"] for item in entries if item["release"] in releases and item.get("manifest")]
    return found[-1] if found else {"services": {}}


def remove_images(engine: Engine, app: str, keep: int) -> None:
    """Remove the images that nothing refers to any more."""
    ledgers = {
        path.split(os.sep)[-2]: ledger.read(path)
        for path in glob.glob(os.path.join(STATE_ROOT, "apps", "*", "ledger.jsonl"))
    }
    images = engine.get("/images/json")
    used = {item["ImageID"] for item in engine.get("/containers/json", all="true")}
    digests = {digest: image["Id"] for image in images for digest in image.get("RepoDigests") or []}
    in_use = [digest for digest, identity in digests.items() if identity in used]
    for image in retire.unneeded_images(ledgers, app, keep, list(digests), in_use):
        try:
            engine.delete(f"/images/{image}")
        except EngineError:
            continue  # still in use


def clean(guard: Guard, engine: Engine, keep: int) -> None:
    """Remove what belongs to releases that are too old to roll back to: images, then their manifests in the ledger, then secrets."""
    remove_images(engine, guard.app, keep)
    with guard.afterwards() as undisturbed:
        if undisturbed:
            path = ledger_file(guard.app)
            held = [
                *docker_host.app_containers(engine, guard.app),
                *docker_host.worker_containers(engine, guard.app),
            ]
            running = {item["release"] for item in held}
            compaction.compact_file(path, keep, running)
            compaction.remove_secrets(guard.folder, ledger.read(path), running)


def apply(params: dict[str, Any], guard: Guard, held: list[dict[str, Any]], engine: Engine) -> None:
    """Retire now, or start a separate process for it."""
    known = manifest_of(ledger.read(ledger_file(guard.app)), held)
    drain = params["drain_seconds"]
    with guard.effect():
        retire.forget(guard.folder)  # of an earlier run: its slot may be live again, and nothing will stop it
    if params["wait"]:
        if held:
            slot.empty(engine, guard, known, held, drain_seconds=drain)
        guard.finish([], release_lease=params["release_lease"])
        clean(guard, engine, params["keep_releases"])
        return
    if held:
        grace = max(slot.grace_of(known, item["service"]) for item in held)
        with guard.effect():
            retire.write_note(guard.folder, params["slot"], params["warm_seconds"] + drain + grace + 30)
    guard.finish([], release_lease=params["release_lease"])

    def later() -> None:
        if held:
            retire.finish(
                guard,
                lambda: slot.condemn(engine, held),
                lambda: slot.stop(engine, known, held),
                busy=lambda: slot.any_busy(engine, held),
                warm=params["warm_seconds"],
                drain=drain,
            )
        clean(guard, engine, params["keep_releases"])

    retire.in_background(f"retire {params['app']} {params['slot']}", later)


def main() -> None:
    """Parse, observe, write the ledger, retire, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    guard = Guard(params["app"], params["run_id"], params["token"])
    try:
        engine = Engine()
        held = held_by(engine, params) if params["slot"] else []
        if not module.check_mode:
            guard.finish(params["entries"], release_lease=False)
            apply(params, guard, held, engine)
    except (LeaseError, EngineError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(held), retired=[item["name"] for item in held])


if __name__ == "__main__":
    main()
