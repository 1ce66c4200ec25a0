#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""An app's split on one edge."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: edge_split
short_description: Flip, confirm, abort or read an app's split on an edge, or put the app into maintenance
version_added: 0.1.0
description:
  - Keeps one record per app, in a file and in a dictionary shared by Nginx's workers, and changes it without a reload.
  - A flip lasts until its deadline, by the edge's own clock. Unless it is confirmed before, it reverts automatically to the release confirmed last.
  - Each change first checks that the run still holds the lease on this host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run, sluice.stack.outcome]
options:
  state:
    description:
      - V(flip) sends requests to a release for O(seconds), checks O(verify) through the public port, and watches real requests with O(watch); when one
        of these fails it reverts at once.
      - V(confirm) makes the flip of O(release) permanent; it is refused after the deadline.
      - V(adopt) confirms a release that another edge has confirmed, without a flip.
      - V(abort) ends a flip, of O(release) or any.
      - V(maintain) answers every request with 503, except from the edge itself and from O(allow). A flip does not turn it on or off.
      - V(serve) ends maintenance.
    type: str
    choices: [flip, confirm, adopt, abort, maintain, serve]
    required: true
  release:
    description: Id of the release.
    type: str
  slot:
    description: The slot that holds the release.
    type: str
    choices: [blue, green]
  percent:
    description: The share of clients that get the release, in percent.
    type: int
    default: 100
  seconds:
    description: The time until the deadline.
    type: float
    default: 60
  verify:
    description: Routes to check after a flip, as in the manifest; C(host), C(verify) and C(verify_host) are used.
    type: list
    elements: dict
    default: []
  verify_times:
    description: How often each route is requested; every response must be good.
    type: int
    default: 3
  verify_timeout:
    description: The timeout of one response, in seconds.
    type: float
    default: 5
  watch:
    description:
      - After a flip, for how many C(seconds) the release's real requests are watched in this edge's access log. When more of them fail than those of
        the release before did, by C(max_errors) as a share, and that is no chance, the flip is reverted.
      - Without C(min_requests) in as many seconds before the flip, nothing is watched. Time for it is added to O(seconds).
    type: dict
    suboptions:
      seconds:
        description: For how long; 0 for not at all.
        type: float
        required: true
      max_errors:
        description: How much more may fail, 0 to 1.
        type: float
        required: true
      min_requests:
        description: How many requests are enough to judge by.
        type: int
        required: true
  keep_releases:
    description: To how many releases the ledger is compacted when it is written; 0 for no compaction.
    type: int
    default: 0
  http_port:
    description: The edge's public port.
    type: int
    default: 80
  https_port:
    description: The edge's public port for TLS.
    type: int
    default: 443
  https_hosts:
    description: Host names with TLS, and V(_) for routes without one. These routes are requested over it.
    type: list
    elements: str
    default: []
  notice:
    description: The response body during maintenance. Plain text; up to 2000 characters.
    type: str
    default: This service is under maintenance and will be back soon.
  retry_after:
    description: The Retry-After header during maintenance, in seconds, up to a day.
    type: int
    default: 300
  allow:
    description: Addresses and networks, IPv4 and IPv6, that are not in maintenance; up to 100.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Nothing is written or requested; reports whether the record would change.
    support: full
  diff_mode:
    description: Shows the record before and after.
    support: full
"""

EXAMPLES = r"""
- name: Flip | Send requests to the new release
  sluice.stack.edge_split:
    app: marketplace
    state: flip
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    release: 20261122T231500Z-v1.4.2
    slot: green
    seconds: 60
    verify:
      - {host: app.example.com, verify: /api/version}

- name: Confirm | Make it permanent
  sluice.stack.edge_split:
    app: marketplace
    state: confirm
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    release: 20261122T231500Z-v1.4.2
    entries: ["{{ plan.confirmed_entry }}"]
    release_lease: true

- name: Maintenance | Let in the office alone
  sluice.stack.edge_split:
    app: marketplace
    state: maintain
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    notice: Maintenance until 14:00.
    retry_after: 1800
    allow: [192.0.2.0/24, 2001:db8:17::/48]
"""

RETURN = r"""
record:
  description: The record after the step.
  returned: success
  type: dict
  sample:
    app: marketplace
    confirmed: {release: 20261122T231500Z-v1.4.2, slot: green}
    pending: null
    deadline: null
    maintenance: null
    token: 7
    seq: 12
before:
  description: The record before the step.
  returned: success
  type: dict
served:
  description:
    - The releases that get requests now, and their share in percent; empty when nothing is live or Nginx is not running.
    - In maintenance this applies to the allowed clients.
  returned: success
  type: list
  elements: dict
  sample: [{release: 20261122T231500Z-v1.4.2, slot: green, percent: 100}]
seconds:
  description: Seconds of the change, the verification, and of watching real requests.
  returned: success
  type: dict
  sample: {change: 0.012, verify: 0.034, watch: 10.02}
watched:
  description: How many real requests were watched; 0 when the edge had too few to judge by.
  returned: success, with O(watch)
  type: int
  sample: 2104
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge import records, split
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record
from ansible_collections.sluice.stack.plugins.module_utils.edge.verify import Ports, VerifyError, verify
from ansible_collections.sluice.stack.plugins.module_utils.edge.watch import WatchError, observe
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import (
    OUTCOME_ARGUMENTS,
    RUN_ARGUMENTS,
    Guard,
    LeaseError,
)

Failure = (
    LeaseError,
    edge_record.RecordError,
    edge_control.EdgeDown,
    edge_control.EdgeRefused,
    VerifyError,
    WatchError,
)


def change(params: dict[str, Any], guard: Guard) -> tuple[Record, Record]:
    """Apply the step under the host's lock; returns the record before and after."""
    with guard.effect():
        before = records.read(params["app"])
        after = split.after(before, params, time.time())
        if after != before:
            serving(params["app"])  # do not write a file that Nginx cannot load now
            records.write(after)
        # Send an unchanged record too: a run may have died between the file and the dictionary.
        if after["seq"]:
            edge_control.hold(after)
    return before, after


def put_back(params: dict[str, Any], guard: Guard) -> str:
    """Revert a failed flip; returns the outcome."""
    try:
        change({**params, "state": "abort"}, guard)
    except Failure as error:
        return f"The flip could not be reverted ({error}); it reverts automatically within {split.lasts(params):g} s"
    return "The flip was reverted"


def serving(app: str) -> list[dict[str, Any]]:
    """Return the releases that get requests now. Raises EdgeDown or EdgeRefused."""
    return list(edge_control.call("GET", f"/split/{app}")["shares"])


def serving_or_nothing(app: str) -> list[dict[str, Any]]:
    """Return the releases that get requests now; empty when Nginx is not running, as in check mode on a fresh host."""
    try:
        return serving(app)
    except (edge_control.EdgeDown, edge_control.EdgeRefused):
        return []


def watched(params: dict[str, Any], before: Record, guard: Guard) -> int:
    """Watch the release's real requests, where there is one to go back to; returns how many they were. Raises WatchError or LeaseLost."""
    limits, live = split.limits(params), split.compared(before, params)
    if not limits or not live:
        return 0
    try:
        return observe(params["app"], params["release"], live, limits, guard.check)
    except WatchError as error:
        raise WatchError(
            f"release {params['release']} fails real requests: {error}. {put_back(params, guard)}"
        ) from error


def apply(params: dict[str, Any]) -> tuple[Record, Record, dict[str, float], int]:
    """Execute the step; returns the record before and after, the seconds of each part, and how many requests were watched. Raises one of Failure."""
    guard = Guard(params["app"], params["run_id"], params["token"])
    begin = time.monotonic()
    try:
        before, after = change(params, guard)
    except edge_control.EdgeRefused as error:
        if params["state"] != "flip":
            raise
        # The file may already have the flip, and a restarted Nginx would apply it.
        raise edge_control.EdgeRefused(f"{error}. {put_back(params, guard)}") from error
    changed = time.monotonic()
    if params["state"] == "flip":
        try:
            verify(
                Ports(params["http_port"], params["https_port"], params["https_hosts"]),
                params["verify"],
                params["release"],
                times=params["verify_times"],
                timeout=params["verify_timeout"],
                own_pass=edge_control.own_pass(),
            )
        except VerifyError as error:
            raise VerifyError(
                f"release {params['release']} does not answer through the edge: {error}. {put_back(params, guard)}"
            ) from error
    verified = time.monotonic()
    seen = watched(params, before, guard)
    ended = time.monotonic()
    # After the record, which is the truth: what the ledger then lacks, the next run adds.
    served = [choice["release"] for choice in (after["confirmed"], after["pending"]) if choice]
    guard.finish(params["entries"], release_lease=params["release_lease"], keep=params["keep_releases"], pinned=served)
    seconds = {"change": changed - begin, "verify": verified - changed}
    if params["watch"]:
        seconds["watch"] = ended - verified
    return before, after, {part: round(taken, 3) for part, taken in seconds.items()}, seen


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        **OUTCOME_ARGUMENTS,
        "state": {
            "type": "str",
            "choices": ["flip", "confirm", "adopt", "abort", "maintain", "serve"],
            "required": True,
        },
        "release": {"type": "str"},
        "slot": {"type": "str", "choices": ["blue", "green"]},
        "percent": {"type": "int", "default": 100},
        "seconds": {"type": "float", "default": 60},
        "verify": {"type": "list", "elements": "dict", "default": []},
        "verify_times": {"type": "int", "default": 3},
        "verify_timeout": {"type": "float", "default": 5},
        "watch": {
            "type": "dict",
            "options": {
                "seconds": {"type": "float", "required": True},
                "max_errors": {"type": "float", "required": True},
                "min_requests": {"type": "int", "required": True},
            },
        },
        "keep_releases": {"type": "int", "default": 0},
        "http_port": {"type": "int", "default": 80},
        "https_port": {"type": "int", "default": 443},
        "https_hosts": {"type": "list", "elements": "str", "default": []},
        "notice": {"type": "str", "default": "This service is under maintenance and will be back soon."},
        "retry_after": {"type": "int", "default": 300},
        "allow": {"type": "list", "elements": "str", "default": []},
    },
    "required_if": [
        ("state", "flip", ["release", "slot"]),
        ("state", "confirm", ["release"]),
        ("state", "adopt", ["release", "slot"]),
    ],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, decide, write, verify, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    seconds: dict[str, Any] = {}
    seen = 0
    try:
        if module.check_mode:
            before = records.read(params["app"])
            after = split.after(before, params, time.time())
        else:
            before, after, seconds, seen = apply(params)
    except Failure as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=after != before,
        before=before,
        record=after,
        served=serving_or_nothing(params["app"]),
        seconds=seconds,
        watched=seen,
        diff={"before": before, "after": after},
    )


if __name__ == "__main__":
    main()
