#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_barrier
short_description: Judge a step's results over a group of hosts; a missing result is a failure
version_added: 0.1.0
description:
  - Runs on the controller, inside a step that has several rounds over the hosts. Between steps P(sluice.stack.verdict#filter) does the
    same without a task of its own.
  - A host that failed, is unreachable, was skipped or has no result counts as a failure.
  - The task itself does not fail. Every later round depends on C(verdict.ok), and M(sluice.stack.release_report) ends the run.
  - A verdict that has already failed is returned unchanged.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  step:
    description: Name of the step, for messages.
    type: str
    required: true
  hosts:
    description: The hosts that must have succeeded. Without hosts, the step counts as done.
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
"""

EXAMPLES = r"""
- name: Canary | Send a share of clients to the new release
  sluice.stack.edge_split:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    state: flip
    release: "{{ plan.manifest.id }}"
    slot: green
    percent: 10
  register: share
  ignore_errors: true
  ignore_unreachable: true

- name: Canary | Require all edges
  sluice.stack.release_barrier:
    step: canary
    hosts: "{{ groups['edge'] }}"
    result: share
    verdict: "{{ before }}"
  register: canary
  run_once: true
"""

RETURN = r"""
verdict:
  description: As P(sluice.stack.verdict#filter) returns it.
  returned: success
  type: dict
  sample:
    ok: false
    step: canary
    message: "edge2: cannot be reached (Connection timed out)"
    failed: {edge2: cannot be reached (Connection timed out)}
    unreachable: []
    notes: []
    times: [[begin, 1795389300.0], [fence, 1795389301.2], [start, 1795389309.8]]
"""
