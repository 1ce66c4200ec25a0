#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_barrier
short_description: Count positive results over a group of hosts; silence is a no
version_added: 0.1.0
description:
  - Runs on the controller. Ansible goes on with the hosts that are left when one fails or cannot be reached; a fleet that moves
    together needs the opposite. Each step is registered with C(ignore_errors) and C(ignore_unreachable), and this module judges the
    results of all hosts together.
  - A host that failed, cannot be reached, was skipped or has no result at all counts as a no.
  - It does not fail itself. Every later step depends on C(verdict.go), and M(sluice.stack.release_report) ends the run.
  - A verdict that already says stop is passed on as it is.
author: Sluice maintainers (@sluice-stack)
options:
  step:
    description: Name of the step, for messages.
    type: str
    required: true
  hosts:
    description: The hosts that must have answered. Of none, the step is taken as done.
    type: list
    elements: str
    required: true
  result:
    description: Name of the variable the step registered on each host.
    type: str
    required: true
  verdict:
    description: The verdict before the step, as this module or M(sluice.stack.app_contract) returned it.
    type: dict
    required: true
  silent_allowed:
    description: Hosts that may be unreachable. They are noted as silent; one of them that answers must still succeed.
    type: list
    elements: str
    default: []
  needed:
    description:
      - V(all) stops the run when a host did not succeed.
      - V(none) notes it and goes on; for steps whose failure leaves a good state behind.
    type: str
    choices: [all, none]
    default: all
attributes:
  action:
    description: There is only an action plugin; nothing is sent to a host.
    support: full
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: start | Bring the release up in its slot
  sluice.stack.release_slot:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    slot: green
    manifest: "{{ plan.manifest }}"
    address: "{{ stack_address }}"
  register: start
  ignore_errors: true
  ignore_unreachable: true

- name: start | All app hosts must be ready
  sluice.stack.release_barrier:
    step: start
    hosts: "{{ groups['app'] }}"
    result: start
    verdict: "{{ step.verdict }}"
  register: step
  run_once: true
"""

RETURN = r"""
verdict:
  description:
    - C(ok) is false once a step failed; C(go) is false when no further step shall run, also after a plan with nothing to do.
    - C(step), C(message) and C(failed) name the step that failed, and each host with its reason.
    - C(silent) are the hosts the run goes on without, C(notes) what failed without harm, C(times) when each step was done, in seconds of
      the controller's clock.
  returned: success
  type: dict
  sample:
    ok: false
    go: false
    step: start
    message: "app2: cannot be reached (Connection timed out)"
    failed: {app2: cannot be reached (Connection timed out)}
    silent: []
    notes: []
    times: [[begin, 1795389300.0], [fence, 1795389301.2], [start, 1795389309.8]]
"""
