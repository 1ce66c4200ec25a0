#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: chaos_plan
short_description: Decide which chaos experiments are done where, or refuse them
version_added: 0.2.0
description:
  - Refuses a run in an inventory that has not allowed it (C(app_chaos.enabled)), and of experiments that do not exist. That a protected environment's
    name was typed is asked by M(sluice.stack.app_contract).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  experiment:
    description: Names with commas between, or V(all).
    type: str
    required: true
  host:
    description: The host to do it on; empty for the usual one.
    type: str
    default: ""
  contract:
    description: The resolved contract.
    type: dict
    required: true
  budget:
    description:
      - The answer of M(sluice.stack.prometheus_query) to what is C(left) of the app's error budgets. In a protected environment without any it refuses; without
        an answer it does not, since the environment's name was typed.
    type: dict
    default: {}
  groups:
    description: The hosts of C(edge), C(app), C(db) and C(cache).
    type: dict
    required: true
  http_port:
    description: The edges' port for HTTP.
    type: int
    required: true
  tls:
    description: Which routes have TLS, as for a release.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Chaos | Decide what is done where
  sluice.stack.chaos_plan:
    experiment: all
    contract: "{{ contract.contract }}"
    groups: {edge: [edge1], app: [app1, app2], db: [db1], cache: [db1]}
    http_port: 80
    tls: {port: 443, source: acme}
  register: plan
  run_once: true
"""

RETURN = r"""
experiments:
  description: The experiments in their order. C(skip) says why one is not done.
  returned: success
  type: list
  elements: dict
  sample: [{experiment: container_killed, host: app2, skip: "", lease: true, promise: {failed: 0, recovers: 0}}]
lines:
  description: The printed plan.
  returned: success
  type: list
  elements: str
"""
