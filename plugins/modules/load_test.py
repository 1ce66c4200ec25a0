#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which calls load_run on the host and does the rest on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: load_test
short_description: Test an app under load from this host, against its limits
version_added: 0.2.0
description:
  - Sends what the profile says with M(sluice.stack.load_run), judges it against the limits, compares it with the last report in O(directory), and
    writes a report as JSON and as a page.
  - Refuses a protected environment without its name in C(confirm_environment).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  state:
    description: V(checked) only checks whether the test may and can run.
    type: str
    choices: [checked, done]
    default: done
  app:
    description: Name of the app.
    type: str
    required: true
  profile:
    description: C(app_load_test).
    type: dict
  slo:
    description: C(app_slo), the limits of a profile that has none.
    type: dict
  routes:
    description: C(app_routes), for the target of a profile that has none.
    type: list
    elements: dict
    default: []
  mode:
    description: V(profile) sends its stages; V(capacity) looks for the highest rate that holds the limits.
    type: str
    choices: [profile, capacity]
    default: profile
  stop:
    description: Whether to end when the limits are broken. A search for the capacity always does.
    type: bool
    default: true
  k6:
    description: The program on the host.
    type: path
  edges:
    description: The edges, for the release that is live.
    type: list
    elements: str
    default: []
  observed_by:
    description: Name of the variable that M(sluice.stack.release_fence) was registered in on each edge.
    type: str
    default: ""
  directory:
    description: Where to write the reports on the controller.
    type: str
    default: reports
  json_file:
    description: One more place for the JSON, such as C(load-test.json) in C(app_gate_evidence); empty for none.
    type: str
    default: ""
attributes:
  action:
    description: The action plugin judges and writes on the controller; M(sluice.stack.load_run) sends on the host.
    support: full
  check_mode:
    description: Says what would be sent, and sends nothing.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Load test | Send, judge and report
  sluice.stack.load_test:
    app: marketplace
    profile:
      url: https://app.example.com
      stages: [{rate: 50, seconds: 60}]
    slo: {availability: 99.9, latency: {p99: 0.5}}
    k6: /opt/sluice/k6/bin/k6
"""

RETURN = r"""
result:
  description: The report, as it was written.
  returned: when it was sent
  type: dict
  sample:
    app: marketplace
    mode: profile
    ok: true
    checks: [{name: availability 99.9 %, ok: true}, {name: p99 500 ms, ok: true}]
message:
  description: Why the test failed, in one line; empty when it did not.
  returned: success
  type: str
  sample: "load test of marketplace: broke p99 500 ms"
lines:
  description: What was printed.
  returned: success
  type: list
  elements: str
  sample: ["      50/s for 60 s   p50 12 ms, p99 40 ms, 3,000 requests, 0 failed   held"]
"""
