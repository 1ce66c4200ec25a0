#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_figures
short_description: Print how an app's releases go, and write it as JSON and as a page
version_added: 0.1.0
description:
  - Runs on the controller, over what M(sluice.stack.release_fence) with O(sluice.stack.release_fence#module:state=observed) and all lines of the ledger
    registered on each host.
  - The figures are DORA's, deployment frequency, lead time for changes, change failure rate and time to restore. A figure with too little data
    behind it says so instead.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  hosts:
    description: The app's hosts.
    type: list
    elements: str
    required: true
  observed_by:
    description: Name of the variable the observation was registered in on each host.
    type: str
    required: true
  days:
    description: How far to look back.
    type: float
    default: 90
  directory:
    description: Where to write C(<app>-releases.json) and C(.html) on the controller; empty for nowhere.
    type: str
    default: reports
attributes:
  check_mode:
    description: Prints, and writes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Report | Show it
  sluice.stack.release_figures:
    app: marketplace
    hosts: "{{ groups['edge'] + groups['app'] }}"
    observed_by: observed
    days: 90
    directory: reports
  run_once: true
"""

RETURN = r"""
figures:
  description: The figures, what they are made of, and the deployments in each week.
  returned: success
  type: dict
  sample:
    app: marketplace
    days: 90
    figures: {deployment_frequency: {value: 3.2, of: 41, note: ""}}
lines:
  description: What was printed.
  returned: success
  type: list
  elements: str
  sample: ["  deployment frequency   3.2 a week (41 deployments)"]
"""
