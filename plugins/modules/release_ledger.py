#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Write a release's outcome into a host's ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_ledger
short_description: Append to a host's copy of an app's ledger
version_added: 0.1.0
description:
  - Appends entries, synced to disk, each once however often the module runs.
  - Can also release the lease on the host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run, sluice.stack.outcome]
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Record | Write the release into the ledger of every host
  sluice.stack.release_ledger:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    entries: ["{{ plan.confirmed_entry }}"]
"""

RETURN = r"""
changed:
  description: Whether an entry was written; in check mode, whether there are entries to write.
  returned: success
  type: bool
  sample: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import (
    OUTCOME_ARGUMENTS,
    RUN_ARGUMENTS,
    Guard,
    LeaseError,
)

ARGUMENTS: dict[str, Any] = {"argument_spec": RUN_ARGUMENTS | OUTCOME_ARGUMENTS, "supports_check_mode": True}


def main() -> None:
    """Parse, append, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=bool(params["entries"]))
    guard = Guard(params["app"], params["run_id"], params["token"])
    try:
        changed = guard.finish(params["entries"], release_lease=params["release_lease"])
    except LeaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
