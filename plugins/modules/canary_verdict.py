#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: canary_verdict
short_description: Judge whether a canary is worse than the live release
version_added: 0.1.0
description:
  - Runs on the controller. Adds up what M(sluice.stack.canary_window) counted on each edge, and compares the errors and the latency of both releases
    within the same blocks of time. What affects both at once, like a database that hangs for some seconds, does not count against the new one.
  - V(fail) means that the new release is significantly worse, by more than a harmless difference, or breaks a guard. V(pass) means that it had
    enough requests and that a harmful difference is ruled out. Everything else is V(inconclusive), and must not promote a release.
  - The guards apply to the new release only. When it breaks one, the verdict is fail, even if the old release is as bad at that time.
  - An edge without counts makes the verdict inconclusive, unless the others' counts fail.
  - The task itself fails only when it is used wrongly.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.controller]
options:
  hosts:
    description: The edges that must have counted.
    type: list
    elements: str
    required: true
  result:
    description: Name of the variable that M(sluice.stack.canary_window) registered on each edge.
    type: str
    required: true
  settings:
    description:
      - The settings of the verdict; each has a default. Shares are 0 to 1.
      - C(min_requests) (5000) of each release, in C(min_blocks) (48) blocks of C(block_seconds) (5) with requests to both, are needed to compare them.
        C(block_seconds) has to be what M(sluice.stack.canary_window) had.
      - C(checks) (4) is how often this canary is judged, all steps and repeated windows together. C(error_alpha) (0.02), C(latency_alpha) (0.02) and
        C(guard_alpha) (0.01) are the chances of a false alarm in all of them together.
      - An increase of the error share below C(error_increase_matters) (0.005) never fails; to pass, C(error_increase_refused) (0.015) must be ruled out.
        C(slowdown_matters) (1.2) and C(slowdown_refused) (1.5) are the same for latency, as factors; buckets make them 1.21 and 1.46.
        C(pass_alpha) (0.05) is the chance to pass a release that is as bad as what is refused.
      - The guards C(max_error_share) (0.05) and C(max_p99_seconds) (5) are for the new release alone, from C(min_guard_requests) (50) requests on.
    type: dict
    default: {}
  verdict:
    description: The run's verdict before, as in P(sluice.stack.verdict#filter); after a fail it is no longer ok.
    type: dict
  last:
    description: Whether this is the last check, so that V(inconclusive) ends the run too.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Canary | Count the step's requests
  sluice.stack.canary_window:
    app: marketplace
    releases: {new: "{{ plan.manifest.id }}", old: "{{ plan.live.release }}"}
    seconds: 300
  register: window
  ignore_errors: true
  ignore_unreachable: true

- name: Canary | Judge the step
  sluice.stack.canary_verdict:
    hosts: "{{ groups['edge'] }}"
    result: window
    settings: {checks: 6, max_p99_seconds: 2}
  register: canary
  run_once: true
"""

RETURN = r"""
canary:
  description:
    - C(decision) is pass, fail or inconclusive; C(reasons) has a line for each thing that was judged, with its own decision and its numbers.
    - C(samples) has both releases' requests, errors, and median and 99th percentile of latency in seconds, and in how many blocks both had requests.
  returned: success
  type: dict
  sample:
    decision: inconclusive
    reasons:
      - "pass: guard: 0.80% of the new release's 250 requests failed, 5.00% are allowed"
      - "pass: guard: the new release's p99 is 0.532 s, 5.31 s are allowed"
      - "inconclusive: sample: 250 requests to the new release, 4770 to the old one (of 5000 each), both in 60 blocks of 5 s (of 48): too few to compare"
    samples:
      new: {requests: 250, errors: 2, median: 0.0412, p99: 0.5318}
      old: {requests: 4770, errors: 41, median: 0.0412, p99: 0.4835}
      blocks: 60
lines:
  description: The printed output, a line for each of the reasons.
  returned: success
  type: list
  elements: str
  sample: ["  canary     pass: guard: 0.80% of the new release's 250 requests failed, 5.00% are allowed"]
verdict:
  description: The run's verdict after this check.
  returned: success
  type: dict
"""
