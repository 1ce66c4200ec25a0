#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A one-off command in the live release's image and environment."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_command
short_description: Run a one-off command in a release's image and environment
version_added: 0.1.0
description:
  - Starts a separate container, as hardened as the service's, waits for it and returns its output. The release's own containers are not touched.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  manifest:
    description: The release.
    type: dict
    required: true
  service:
    description: The service whose image and environment are used.
    type: str
    required: true
  command:
    description: The command and its arguments.
    type: list
    elements: str
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
  timeout:
    description: How long the command may take, in seconds.
    type: float
    default: 600
attributes:
  check_mode:
    description: Nothing runs in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run | Seed the database
  sluice.stack.release_command:
    manifest: "{{ live.manifest }}"
    slot: "{{ live.slot }}"
    service: backend
    command: [node, dist/seed.js]
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
rc:
  description: The command's exit code.
  returned: success
  type: int
output:
  description: Its output.
  returned: success
  type: list
  elements: str
"""

import secrets as randomness
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, one_off
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.paths import app_folder
from ansible_collections.sluice.stack.plugins.module_utils.release import secret_store


def run(params: dict[str, Any]) -> tuple[int, str]:
    """Run the command; returns its exit code and output."""
    manifest, service = params["manifest"], params["service"]
    if service not in manifest["services"]:
        raise one_off.OneOffError(
            f"release {manifest['id']} has no service {service!r}; it has {', '.join(manifest['services'])}"
        )
    engine = Engine()
    image = manifest["services"][service]["image"]
    if not docker_host.has_image(engine, image):
        docker_host.pull(engine, image, params["timeout"])
    values = secret_store.values_for(manifest, params["secrets"], app_folder(manifest["app"]))
    name = f"{manifest['app']}-run-{randomness.token_hex(4)}"
    try:
        one_off.start(
            engine, one_off.wanted(manifest, service, name, params["command"], params["slot"], values), manifest["app"]
        )
        return one_off.wait(engine, name, params["timeout"])
    finally:
        docker_host.remove(engine, name, force=True)


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "manifest": {"type": "dict", "required": True},
        "service": {"type": "str", "required": True},
        "command": {"type": "list", "elements": "str", "required": True},
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "timeout": {"type": "float", "default": 600},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, run, exit."""
    module = AnsibleModule(**ARGUMENTS)
    if module.check_mode:
        module.exit_json(changed=True, rc=0, output=[])
    try:
        code, output = run(module.params)
    except (docker_host.EngineError, one_off.OneOffError, secret_store.SecretMissing) as error:
        module.fail_json(msg=str(error))
    if code:
        module.fail_json(msg=f"the command failed with exit code {code}", rc=code, output=output.splitlines())
    module.exit_json(changed=True, rc=code, output=output.splitlines())


if __name__ == "__main__":
    main()
