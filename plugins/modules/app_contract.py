#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_contract
short_description: Check an app's variables before any host is contacted
version_added: 0.1.0
description:
  - Runs on the controller. Reads every variable of the host it runs for, checks the C(app_*) variables against the contract, fills in
    the defaults and returns the whole description as plain data.
  - An unknown C(app_*) or C(release_*) variable is an error, and so is a near miss of any other role's input; both come with a suggestion
    and, where Ansible knows it, the place the variable was set. C(app_extra) is free for an inventory's own use.
  - Refuses a run that would leave out hosts or steps, by C(--limit), C(--tags), C(--skip-tags) or C(--start-at-task), and an inventory
    without an edge or app host.
  - A secret's value is never in a message or a result; the result has its name and a version from which it cannot be recovered.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  action:
    description: The action of the run; used in messages.
    type: str
    choices: [deploy, rollback, rehearsal, join, drain, status, logs, run, seed, maintenance, lease, history, restore, remove, provision, checklist, chaos]
    required: true
  edges:
    description: The inventory's edge hosts.
    type: list
    elements: str
    default: []
  apps:
    description: The inventory's app hosts.
    type: list
    elements: str
    default: []
  needs_version:
    description: Whether C(app_version) is required. A rollback takes the version from its target release.
    type: bool
    default: true
  checklist:
    description: With O(action=checklist), which one.
    type: str
    choices: ["", pre-deploy, post-deploy, production]
    default: ""
  check:
    description:
      - V(names) only checks the names of the host's variables.
    type: str
    choices: [everything, names]
    default: everything
"""

EXAMPLES = r"""
- name: Contract | Validate the app's variables
  sluice.stack.app_contract:
    action: deploy
    edges: "{{ groups['edge'] }}"
    apps: "{{ groups['app'] }}"
  register: contract
  run_once: true
"""

RETURN = r"""
contract:
  description: The app with every default filled in; secrets by name and version.
  returned: success, with O(check=everything)
  type: dict
  sample:
    app: marketplace
    version: v1.4.2
    services: {backend: {image: "registry.example.com/marketplace/backend:v1.4.2", port: 4000, secrets: {JWT_SECRET: 0f3a99c21b}}}
    routes: [{host: null, path: /, service: backend, verify: /, assets: null}]
    migration: null
    confirm_seconds: 60.0
    drain_seconds: 30.0
    lease_seconds: 15.0
    pull_seconds: 300.0
    port_range: [20000, 20999]
    disk_free: 1073741824
references:
  description: The distinct image references of the app.
  returned: success, with O(check=everything)
  type: list
  elements: str
  sample: ["registry.example.com/marketplace/backend:v1.4.2"]
lost:
  description: The hosts excluded with C(release_exclude_hosts), each a host of O(edges) or O(apps).
  returned: success, with O(check=everything)
  type: list
  elements: str
  sample: []
gates:
  description:
    - C(asked) are the gates of a deploy or a checklist with their options, C(looks) what has to be looked at on hosts for them, and C(waivers) those of
      the inventory and of C(gate_waive). A run of another action asks for none.
  returned: success, with O(check=everything)
  type: dict
  sample: {asked: [{name: backup, options: {max_age: 93600.0}}], looks: [backups], waivers: []}
run:
  description: The run, for leases and ledgers.
  returned: success, with O(check=everything)
  type: dict
  sample:
    id: 5c1f0e9a77b2
    action: deploy
    who: anna@build7
    revision: 9b2d1f4c0e8a7d6b5c4a3f2e1d0c9b8a7f6e5d4c
    started: "2026-11-22T23:15:00Z"
verdict:
  description: The verdict before the first step; see P(sluice.stack.verdict#filter).
  returned: success, with O(check=everything)
  type: dict
  sample: {ok: true, go: true, message: "", failed: {}, unreachable: [], notes: [], times: [[begin, 1795389300.0]]}
"""
