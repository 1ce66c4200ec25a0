#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gate_verdict
short_description: Judge whether a deploy may begin, or a checklist
version_added: 0.2.0
description:
  - Runs on the controller. Reads the files of CI and what M(sluice.stack.gate_facts) found on the hosts, once, and judges every gate by that.
  - Fails when a gate of a deploy does not pass, before anything was changed; in check mode the plan shows it instead.
  - A checklist is printed as a table; the task does not fail, C(open) says which lines do not pass.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  contract:
    description: The app, as M(sluice.stack.app_contract) returned it.
    type: dict
    required: true
  gates:
    description: The gates as M(sluice.stack.app_contract) returned them; C(asked) and C(waivers) are used.
    type: dict
    required: true
  checklist:
    description: The checklist; empty for the gates of a deploy.
    type: str
    choices: ["", pre-deploy, post-deploy, production]
    default: ""
  json_file:
    description: Where a checklist is written as JSON; empty for nowhere.
    type: str
    default: ""
  edges:
    description: Edge hosts, without excluded ones.
    type: list
    elements: str
    required: true
  apps:
    description: App hosts, without excluded ones.
    type: list
    elements: str
    required: true
  database:
    description: The database host, empty when it is elsewhere, and its backup engine.
    type: dict
    required: true
  observed_by:
    description: Name of the variable M(sluice.stack.gate_facts) was registered in on each host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Gates | Judge them
  sluice.stack.gate_verdict:
    contract: "{{ contract.contract }}"
    gates: "{{ contract.gates }}"
    edges: [edge1]
    apps: [app1, app2]
    database: {host: db1, engine: pgbackrest}
    observed_by: gate_facts
  register: gates
  run_once: true
"""

RETURN = r"""
checks:
  description: The answer of each gate. C(state) is V(ok), V(failed), V(waived) or V(unknown), which is that it could not be seen.
  returned: success, or failure
  type: list
  elements: dict
  sample: [{name: tests, state: ok, evidence: "240 passed, 2 skipped, in 3 files", fix: ""}]
open:
  description: The gates that do not pass.
  returned: success, or failure
  type: list
  elements: str
  sample: [tests]
waived:
  description: The waivers that were used, for the ledgers.
  returned: success, or failure
  type: list
  elements: dict
  sample: [{gate: window, reason: payments are down, by: anna@build7, until: "2026-11-23", evidence: "sun 10:00 UTC is outside mon, tue 09:00-17:00"}]
images:
  description: The digest of each image reference that was judged; M(sluice.stack.release_plan) refuses others.
  returned: success, or failure
  type: dict
  sample: {"registry.example.com/marketplace/backend:v1.4.2": {digest: "sha256:..."}}
lines:
  description: The table of a checklist.
  returned: success, with O(checklist)
  type: list
  elements: str
  sample: ["tests  ok       240 passed, 2 skipped, in 3 files"]
"""
