#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The facts the host roles need, from a machine that is not the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Gather the few facts the host roles need, and refuse the machine that runs Ansible
version_added: 0.2.0
description:
  - First task of every role that changes a host. Fails when the host is the controller, so that a wrong inventory or C(-c local) installs
    nothing on an operator's own machine.
  - A host is the controller when its connection is C(local), or when machine id, boot id and host name are all the controller's, as on a
    host reached over SSH at a loopback address.
  - The variable C(provision_controller=true) allows it, for example C(-e provision_controller=true).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  contact:
    description: Whether to contact the host. With V(false) only the type of the connection is checked, and no facts are gathered.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Preflight | Gather facts, and refuse the controller
  sluice.stack.host_facts: {}
"""

RETURN = r"""
ansible_facts:
  description:
    - Facts under the names that M(ansible.builtin.setup) uses, and C(container) (what runs the container the host is; empty on a machine), C(timezone),
      C(swapfile) (whether there is a C(/swapfile)), and C(clock_skew), how many seconds the host's clock is ahead of the controller's at least.
  returned: success, with O(contact=true)
  type: dict
  sample: {distribution: Debian, distribution_release: trixie, distribution_version: "13.1", memtotal_mb: 3915, processor_nproc: 2,
    swaptotal_mb: 0, container: "", timezone: Etc/UTC, swapfile: false, clock_skew: 0.0}
clock:
  description: The host's time, in seconds of the epoch.
  returned: with O(contact=true)
  type: float
machine:
  description: The machine's identity.
  returned: with O(contact=true)
  type: dict
  sample: {machine_id: 65b5fa8fa2e94c9a8918c3fac3922ac0, boot_id: 1f9e4a57-9d53-4f0c-8d41-3a1f7c1f6a44, hostname: app1}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import machine

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {"contact": {"type": "bool", "default": True}},
    "supports_check_mode": True,
}


def main() -> None:
    """Read and return the facts; the action plugin compares."""
    module = AnsibleModule(**ARGUMENTS)
    module.exit_json(changed=False, ansible_facts=machine.here(), machine=machine.identity(), clock=machine.clock())


if __name__ == "__main__":
    main()
