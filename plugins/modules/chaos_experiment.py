#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: chaos_experiment
short_description: Do one chaos experiment, and judge what became of the app's requests
version_added: 0.2.0
description:
  - Asks the app's routes from the controller, at a steady rate, on connections of their own and never twice. When all are answered alike it begins the
    experiment on its host by M(sluice.stack.chaos_action), undoes it, and goes on asking until nothing fails any more, or for longer than promised.
  - It returns what was seen; that a promise was broken is no failure of this module.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  experiment:
    description: Its name.
    type: str
    required: true
  promise:
    description: C(failed), in per cent of the requests until it is over, and C(recovers), in seconds after its end.
    type: dict
    required: true
  release:
    description: The live release.
    type: str
    required: true
  version:
    description: Its version, which C(deploy_killed) deploys.
    type: str
    required: true
  target:
    description: What its host has to know, from M(sluice.stack.chaos_plan).
    type: dict
    required: true
  probes:
    description: What is asked, from M(sluice.stack.chaos_plan).
    type: list
    elements: dict
    required: true
  rate:
    description: Requests a second.
    type: float
    required: true
  timeout:
    description: Seconds for an answer.
    type: float
    required: true
  run_id:
    description: Id of the run.
    type: str
    required: true
attributes:
  action:
    description: The watching is on the controller.
    support: full
  check_mode:
    description: Not supported; the playbook ends after its plan.
    support: none
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Chaos | Try it
  sluice.stack.chaos_experiment:
    experiment: container_killed
    promise: {failed: 0, recovers: 0}
    release: 20261122T231500Z-v1.4.2
    version: v1.4.2
    target: "{{ plan.experiments[0].target }}"
    probes: "{{ plan.experiments[0].probes }}"
    rate: 20
    timeout: 10
    run_id: "{{ contract.run.id }}"
"""

RETURN = r"""
seen:
  description: The result. C(state) is V(kept), V(broken), V(unknown) or V(skipped), C(why) its reason.
  returned: success
  type: dict
  sample: {name: container_killed, host: app2, state: kept, promised: no failed request, requests: 480, failed: 0, p99: 0.041}
lines:
  description: The printed line.
  returned: success
  type: list
  elements: str
"""
