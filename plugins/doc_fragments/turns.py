# SPDX-License-Identifier: Apache-2.0
"""Options of modules for logins that take turns."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of ``turns.arguments`` that do not depend on the server."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - With V(observed) nothing is changed.
      - With V(prepared) the login of O(url) gets its password; it cannot log in yet.
      - With V(enabled) it can.
      - With V(unused) the module waits until nobody is connected as one that V(revoked) would end.
      - With V(revoked) the other logins end, and with them their connections.
    type: str
    choices: [observed, prepared, enabled, unused, revoked]
    default: observed
  expected:
    description: For O(state=prepared), the C(seen) of an earlier look. Fails when it changed since, because another rotation is under way.
    type: str
    default: ""
  wait_seconds:
    description: How long O(state=unused) waits.
    type: float
    default: 60
attributes:
  check_mode:
    description: Only V(observed) and V(unused) do anything in check mode, and V(unused) does not wait.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""
