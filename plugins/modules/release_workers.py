#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What an app has beside the slots of one host: workers, scheduled jobs, and services that must not run twice."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_workers
short_description: Switch what runs alongside an app host's slots to a release
version_added: 0.1.0
description:
  - Use it once the release is live. A worker that does not keep running is removed, and the previous release runs again.
  - A job is a container that a systemd timer starts. A current run is not interrupted.
  - A singleton service is stopped before its next release starts, and must become healthy; otherwise the previous release
    runs again. Its downtime is measured and recorded for the next plan.
  - Services not listed in O(services) are removed from the host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  manifest:
    description: The release.
    type: dict
    required: true
  slot:
    description: The slot of the release, whose network they join.
    type: str
    choices: [blue, green]
    required: true
  services:
    description: The services this host runs alongside its slots.
    type: list
    elements: str
    required: true
  address:
    description: The host's private address, where a singleton service is published.
    type: str
    required: true
  secrets:
    description: The current values of the app's secrets, by name.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Nothing is done in check mode; the plan shows it.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Workers | Go over to the new release
  sluice.stack.release_workers:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    manifest: "{{ plan.manifest }}"
    slot: green
    services: [mailer, nightly-report]
    address: 10.0.0.21
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
switched:
  description: Services that were replaced or removed.
  returned: success
  type: list
  elements: str
notes:
  description: The downtime of a singleton service, in seconds.
  returned: success
  type: list
  elements: str
  sample: [lock answered nobody for 1.8 s]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import gaps_file
from ansible_collections.sluice.stack.plugins.module_utils.release import secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import of_kind

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "manifest": {"type": "dict", "required": True},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "services": {"type": "list", "elements": "str", "required": True},
        "address": {"type": "str", "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
    },
    "supports_check_mode": True,
}


def apply(params: dict[str, Any], guard: Guard) -> dict[str, float]:
    """Switch the services; returns their names, each with the seconds in which none of it ran."""
    manifest = params["manifest"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    with guard.turn("workers"):
        with guard.effect():
            secret_store.keep(manifest, values, guard.folder)
        switched = workers.apply(
            Engine(), guard, manifest, params["services"], params["slot"], values, params["address"]
        )
        gaps = {name: round(gap, 2) for name, gap in switched.items() if name in of_kind(manifest, "singleton")}
        if gaps:
            path = gaps_file(guard.app)
            write_json(path, {**read_json(path, {}), **gaps})
        return switched


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, switched=[])
    try:
        switched = apply(params, Guard(params["app"], params["run_id"], params["token"]))
    except (LeaseError, EngineError, workers.WorkersError, secret_store.SecretMissing) as error:
        module.fail_json(msg=str(error))
    singletons = of_kind(params["manifest"], "singleton")
    notes = [f"{name} was down for {gap:.1f} s" for name, gap in switched.items() if gap and name in singletons]
    module.exit_json(changed=bool(switched), switched=sorted(switched), notes=notes)


if __name__ == "__main__":
    main()
