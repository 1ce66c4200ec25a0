#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What an app has beside the slots of one host: workers, scheduled jobs, and services that must not run twice."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_workers
short_description: Bring what an app host has beside its slots to a release
version_added: 0.1.0
description:
  - To be run when the release is live. A worker that does not keep running is removed, and what ran before runs again.
  - A job is a container that a systemd timer starts. One that runs now ends as it began.
  - A service that must not run twice is stopped before its next release starts, and has to answer as its health says; else what
    ran before runs again. For how long nobody was answered is measured, and kept for the next plan.
  - What is not named in O(services) is taken away from the host.
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
    description: The services this host has beside its slots.
    type: list
    elements: str
    required: true
  address:
    description: The host's private address, where a service that must not run twice is published.
    type: str
    required: true
  secrets:
    description: Today's values of the app's secrets, by name.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Nothing is done in check mode; the plan shows it.
    support: full
  diff_mode:
    description: There is nothing to show.
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
  description: Services that were started anew or taken away.
  returned: success
  type: list
  elements: str
notes:
  description: For how long a service that must not run twice answered nobody.
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
    """Switch what is to be switched; the names, and for how many seconds none of each ran."""
    manifest = params["manifest"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    with guard.effect():
        secret_store.keep(manifest, values, guard.folder)
        switched = workers.apply(
            Engine(), manifest, params["services"], params["slot"], values, params["address"], guard.check
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
    notes = [f"{name} answered nobody for {gap:.1f} s" for name, gap in switched.items() if gap and name in singletons]
    module.exit_json(changed=bool(switched), switched=sorted(switched), notes=notes)


if __name__ == "__main__":
    main()
