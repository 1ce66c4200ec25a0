#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_plan
short_description: Decide and print what a deploy or rollback will do
version_added: 0.1.0
description:
  - Runs on the controller. Compares the desired state with every host's observation, and returns the steps as plain data. The edges'
    confirmed records decide what is live.
  - Prints the plan, one line for each step; these are exactly the steps that will run.
  - The task itself does not fail when the desired state cannot be reached. It returns a plan without steps and a verdict with the reason.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  contract:
    description: The app, as M(sluice.stack.app_contract) returned it.
    type: dict
    required: true
  secrets:
    description: >-
      The C(versions) of secrets that M(sluice.stack.release_secrets) found, where it C(read) them, and their C(places), which the release records;
      C(unseen) are those whose values only hosts read.
    type: dict
    default: {}
  accesses:
    description: Which secrets the run C(read) and C(wrote), each a list, for the ledgers.
    type: dict
    default: {}
  run:
    description: The run, as M(sluice.stack.app_contract) returned it.
    type: dict
    required: true
  edges:
    description: The inventory's edge hosts.
    type: list
    elements: str
    required: true
  apps:
    description: The inventory's app hosts. The variable C(stack_address) of each is the private address that the edges use.
    type: list
    elements: str
    required: true
  excluded:
    description: Excluded hosts.
    type: list
    elements: str
    required: true
  release_to:
    description: The target of a rollback, a release id or a version; empty for the newest earlier release that was not rolled back.
    type: str
    default: ""
  database:
    description: The database host, empty when it is elsewhere, and its backup engine.
    type: dict
    required: true
  allow_destructive:
    description: Whether a rollback may go past a destructive migration.
    type: bool
    default: false
  data:
    description: What happens to the database in a rollback; empty for the contract's C(app_rollback).
    type: str
    choices: ["", forward, down, restore]
    default: ""
  reverted:
    description: The release that a rollback reverts, when it was named; the live one, or one that failed alongside it.
    type: str
    default: ""
  rotate:
    description: The secrets that a rotation brings up to their newest version.
    type: list
    elements: str
    default: []
  host:
    description: The app host that joins or is drained.
    type: str
    default: ""
  http_port:
    description: The edges' public port.
    type: int
    required: true
  tls:
    description: >-
      The edges' TLS: C(port), C(http3), C(source) and C(hosts), the variables C(nginx_https_port), C(nginx_http3), C(edge_tls_source) and C(edge_tls).
      Without a port no host name has it.
    type: dict
    default: {}
  steps:
    description: The steps of the playbook, in order; those of the plan have the same order.
    type: list
    elements: str
    required: true
  gates:
    description: What M(sluice.stack.gate_verdict) returned; its C(checks) are printed with the plan, and images it judged must be those of the release.
    type: dict
    default: {}
  observed_by:
    description: Name of the variable M(sluice.stack.release_fence) was registered in on each host.
    type: str
    required: true
  verdict:
    description: The verdict after the fence.
    type: dict
    required: true
attributes:
  check_mode:
    description: The plan is made and printed; only the checks of pending migrations and of the backups' age run.
    support: full
  diff_mode:
    description: The plan is the diff, and it is always printed.
    support: none
"""

EXAMPLES = r"""
- name: Plan | Decide what to do
  sluice.stack.release_plan:
    contract: "{{ contract.contract }}"
    run: "{{ contract.run }}"
    edges: "{{ groups['edge'] }}"
    apps: "{{ groups['app'] }}"
    excluded: []
    http_port: 80
    database: {host: db1, engine: pgbackrest}
    steps: [narrow, reconcile, fetch, pending, schema_check, rollback_check, rehearse, restore_point, migrate, start, join, configure, canary, flip, confirm,
            workers, drain, retire, revert, unlock]
    observed_by: fence
    verdict: "{{ step.verdict }}"
  register: plan
  run_once: true
"""

RETURN = r"""
plan:
  description:
    - C(status) is V(change), V(repair) (the desired release is live but something is missing), V(nothing) or V(refused).
    - C(manifest) is the release to go to, C(slot) the slot for it, C(live) what the edges confirmed last.
    - C(steps) names the steps that run. C(abort), C(converge), C(start), C(join), C(configure), C(flip), C(confirm), C(drain) and
      C(record) list the hosts of each; C(migrate) has the migration and its host; C(retire) the slot and release that are stopped at
      the end; C(restore_point) the work of the database's host, C(through) the host of the play that delegates it.
    - C(services) maps app host to the release's services there; C(workers) to those alongside the slots, for hosts where they change.
    - C(started_entry) is written to the ledgers before the first effect, C(lines) is the printed output.
  returned: success
  type: dict
  sample:
    action: deploy
    app: marketplace
    token: 8
    status: change
    steps: [pending, restore_point, migrate, start, flip, confirm, retire]
    live: {release: 20261101T080000Z-v1.4.1, slot: blue}
    slot: green
    manifest: {id: 20261122T231500Z-v1.4.2, app: marketplace, version: v1.4.2}
    services: {app1: [backend, frontend], app2: [backend, frontend]}
    workers: {}
    abort: []
    converge: []
    migrate: {engine: prisma, service: backend, host: app1}
    restore_point: {host: db1, engine: pgbackrest, point: true, seconds: 60, max_age_hours: 26}
    through: {db1: app1}
    start: [app1, app2]
    configure: []
    edge_config: "..."
    flip: [edge1]
    confirm: [edge1]
    record: [app1, app2]
    retire: {release: 20261101T080000Z-v1.4.1, slot: blue}
    excluded: []
    lines: ["Deploy marketplace v1.4.2 as release 20261122T231500Z-v1.4.2 (token 8); live now: release 20261101T080000Z-v1.4.1 in blue"]
verdict:
  description: The verdict after the plan; not C(ok) when it was refused.
  returned: success
  type: dict
  sample: {ok: true, message: "", failed: {}, unreachable: [], notes: [], times: [[begin, 1795389300.0], [fence, 1795389301.2]]}
"""
