#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""An app's workers and scheduled jobs on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_background
short_description: Bring an app host's workers and scheduled jobs to a release
version_added: 0.1.0
description:
  - To be run when the release is live. A worker that does not keep running is removed, and what ran before runs again.
  - A job is a container that a systemd timer starts. One that runs now ends as it began.
  - Workers and jobs that are not named in O(services) are taken away from the host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.run]
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
    description: The workers and jobs of this host.
    type: list
    elements: str
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
- name: background | Go over to the new release
  sluice.stack.release_background:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    manifest: "{{ plan.manifest }}"
    slot: green
    services: [mailer, nightly-report]
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
switched:
  description: Workers that were started anew or taken away.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import background, secret_store
from ansible_collections.sluice.stack.plugins.module_utils.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "manifest": {"type": "dict", "required": True},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "services": {"type": "list", "elements": "str", "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
    },
    "supports_check_mode": True,
}


def apply(params: dict[str, Any], guard: Guard) -> list[str]:
    """Switch what is to be switched; the names."""
    manifest = params["manifest"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    limits = [manifest["services"][name] for name in params["services"]]
    seconds = sum(service["stop_grace"] + service["health"]["settle"] for service in limits)
    with guard.effect(extend=seconds + params["lease_seconds"]):
        secret_store.keep(manifest, values, guard.folder)
        return background.apply(Engine(), manifest, params["services"], params["slot"], values)


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, switched=[])
    try:
        switched = apply(params, Guard(params["app"], params["run_id"], params["token"]))
    except (LeaseError, EngineError, background.BackgroundError, secret_store.SecretMissing) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(switched), switched=switched)


if __name__ == "__main__":
    main()
