#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The secrets that one app host lacks."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_fetch
short_description: Fetch the versions of secrets that an app host lacks, and keep them there
version_added: 0.2.0
description:
  - Those that app hosts read themselves (C(secrets_from) of C(app_secret_sources)) are read by the host, from OpenBao or HashiCorp Vault. The controller gets
    it a login for one use, wrapped so that only the host that unwraps it first can log in, and never has a value.
  - Others are read on the controller, at the version that the release names.
  - A value counts only if it is the version that the release names. It is kept under that version, readable by root and encrypted where the host can.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  release:
    description: The release that needs them, for messages.
    type: str
    required: true
  wanted:
    description: The secrets by name, each with the C(version) that the release names, and the C(place) where the store has it.
    type: dict
    required: true
  sources:
    description: How to reach the stores, the variable C(app_secret_sources). Only the controller uses its logins.
    type: dict
    default: {}
  store:
    description: The store as the host reaches it. Set by the action plugin.
    type: dict
  login:
    description: How the host logs in, once. Set by the action plugin.
    type: dict
  values:
    description: Values that the controller read. Set by the action plugin.
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
- name: Fetch | Keep the secrets that this host lacks
  sluice.stack.secret_fetch:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    release: "{{ plan.manifest.id }}"
    wanted:
      JWT_SECRET:
        version: 5d2f0c9a41
        place: {vault: marketplace/jwt, key: value, mount: secret, version: 7}
    sources: "{{ app_secret_sources }}"
"""

RETURN = r"""
kept:
  description: The secrets that are on this host now.
  returned: success
  type: list
  elements: str
  sample: [JWT_SECRET]
asked:
  description: The secrets that a store was asked for.
  returned: success
  type: list
  elements: str
  sample: [JWT_SECRET]
read:
  description: What was read, when, and for which host, for the ledgers.
  returned: success
  type: dict
  sample:
    host: app1
    from: "2026-11-22T23:15:00.120+00:00"
    to: "2026-11-22T23:15:00.410+00:00"
    secrets: {JWT_SECRET: "vault secret/marketplace/jwt, key value, version 7"}
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.contract.secret_reference import described
from ansible_collections.sluice.stack.plugins.module_utils.release import secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError
from ansible_collections.sluice.stack.plugins.module_utils.release.openbao import Store, StoreError
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import (
    SecretError,
    field,
    fits,
    is_version,
)

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "release": {"type": "str", "required": True},
        "wanted": {"type": "dict", "required": True},
        "sources": {"type": "dict", "default": {}, "no_log": True},
        "store": {"type": "dict"},
        "login": {"type": "dict", "no_log": True},
        "values": {"type": "dict", "default": {}, "no_log": True},
    },
    "supports_check_mode": True,
}


def read(params: Mapping[str, Any], asked: list[str]) -> dict[str, str]:
    """Read the secrets that the controller has not; ``asked`` gets the names that the store was asked for. Raises SecretError or StoreError."""
    wanted = {name: one for name, one in params["wanted"].items() if name not in params["values"]}
    if not wanted:
        return {}
    store, login = Store(**params["store"]), params["login"]
    token = store.login(login["role_id"], login["wrapped"])
    found: dict[str, str] = {}
    for name, one in sorted(wanted.items()):
        place, where = one["place"], described(one["place"])
        asked.append(name)
        fields, created = store.read(token, place)
        try:
            value = field(fields, place["key"])
            fits(value)
            if not is_version(params["app"], name, one["version"], value, where, created):
                raise SecretError("that version has another value than the release had")
        except SecretError as error:
            raise SecretError(f"{name}: {where}: {error}") from None
        found[name] = value
    return found


def main() -> None:
    """Parse, read, keep, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, kept=[])
    guard = Guard(params["app"], params["run_id"], params["token"])
    asked = list(params["values"])
    try:
        guard.check()
        values = {**params["values"], **read(params, asked)}
        with guard.effect():
            versions = {name: one["version"] for name, one in params["wanted"].items()}
            secret_store.keep_versions(versions, values, guard.folder)
    except LeaseError as error:
        module.fail_json(msg=str(error))
    except (SecretError, StoreError) as error:
        module.fail_json(
            msg=f"release {params['release']} needs a secret that this host cannot read: {error}", asked=asked
        )
    module.exit_json(changed=True, kept=sorted(values), asked=asked)


if __name__ == "__main__":
    main()
