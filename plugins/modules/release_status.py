#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_status
short_description: Show the live release, what each host holds, and past releases
version_added: 0.1.0
description:
  - Runs on the controller, over what M(sluice.stack.release_fence) with O(sluice.stack.release_fence#module:state=observed) registered on
    each host. A host without an observation is shown as unreachable, with the reason.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  edges:
    description: The inventory's edge hosts.
    type: list
    elements: str
    required: true
  apps:
    description: The inventory's app hosts.
    type: list
    elements: str
    required: true
  observed_by:
    description: Name of the variable the observation was registered in on each host.
    type: str
    required: true
  rotations:
    description: The contract's C(rotations), whose secrets' age is told.
    type: dict
    default: {}
  show:
    description: What to print. The summary is returned in any case.
    type: str
    choices: [status, leases, history, nothing]
    default: status
  runs:
    description: The number of runs that O(show=history) prints.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Observe | Observe every host of the app
  sluice.stack.release_fence:
    app: marketplace
    run: "{{ contract.run }}"
    state: observed
    roles: [app]
  register: observed
  ignore_errors: true
  ignore_unreachable: true

- name: Status | Show it
  sluice.stack.release_status:
    app: marketplace
    edges: "{{ groups['edge'] }}"
    apps: "{{ groups['app'] }}"
    observed_by: observed
  register: status
  run_once: true
"""

RETURN = r"""
app:
  description: Name of the app.
  returned: success
  type: str
  sample: marketplace
state:
  description: V(none) (nothing is deployed), V(live) (all hosts agree), V(mixed) (edges or slots disagree) or V(incomplete) (hosts are unreachable).
  returned: success
  type: str
  sample: live
live:
  description: The release and slot the edges confirmed last; none before the first deploy.
  returned: success
  type: dict
  sample: {release: 20261122T231500Z-v1.4.2, slot: green}
previous:
  description: The release that was live when the live one was first started, when a ledger has it.
  returned: success
  type: str
  sample: 20261120T100000Z-v1.4.1
restored:
  description: What the data was restored to, and when, until a deploy has checked which migrations it lacks. None without a restore.
  returned: success
  type: dict
  sample: {time: "2026-11-23T10:31:07Z", words: "time 2026-11-23 10:14:30 UTC", left_by: null}
failed_alongside:
  description: The releases that were started while the live one was live, and never went live.
  returned: success
  type: list
  elements: str
  sample: [20261122T233000Z-v1.4.3]
manifest:
  description: The live release, when a ledger has it.
  returned: success
  type: dict
  sample: {id: 20261122T231500Z-v1.4.2, app: marketplace, version: v1.4.2}
lagging:
  description: Edges that confirmed something else.
  returned: success
  type: list
  elements: str
  sample: []
partial:
  description: App hosts that do not run the whole live release.
  returned: success
  type: list
  elements: str
  sample: []
unreachable:
  description: Hosts without an observation, each with the reason.
  returned: success
  type: dict
  sample: {}
secrets:
  description: How many days each rotated secret is in use, and how many it may be.
  returned: success
  type: dict
  sample: {DATABASE_URL: {days: 12.5, max_age_days: 90}}
hosts:
  description: For each reachable host, the lease, what an edge serves and what an app host runs.
  returned: success
  type: dict
  sample:
    edge1: {lease: null, split: green 20261122T231500Z-v1.4.2, containers: []}
releases:
  description: All confirmed releases, oldest first; C(state) is V(live), V(confirmed) or V(rolled back).
  returned: success
  type: list
  elements: dict
  sample: [{id: 20261122T231500Z-v1.4.2, version: v1.4.2, state: live}]
certificates:
  description: For each edge with certificates, C(lines) and C(problems).
  returned: success
  type: dict
  sample:
    edge1: {lines: ["app.example.com 61 days left, by E7"], problems: []}
problems:
  description: What is wrong with the edges' certificates, a line each.
  returned: success
  type: list
  elements: str
  sample: []
lines:
  description: The printed output.
  returned: success
  type: list
  elements: str
  sample: ["marketplace: live, v1.4.2, release 20261122T231500Z-v1.4.2 in slot green"]
"""
