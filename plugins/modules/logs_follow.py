#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name, which asks release_logs on the host again and again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: logs_follow
short_description: Print new log lines of an app on all hosts as they come, for a while
version_added: 0.2.0
description:
  - Asks M(sluice.stack.release_logs) on each host every second and prints what is new. Lines of several hosts may be a second or two out of order.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  service:
    description: Name of the service; empty for all services.
    type: str
    default: ""
  level:
    description: As in M(sluice.stack.release_logs).
    type: str
    default: ""
  text:
    description: As in M(sluice.stack.release_logs).
    type: str
    default: ""
  regexp:
    description: As in M(sluice.stack.release_logs).
    type: str
    default: ""
  source:
    description: As in M(sluice.stack.release_logs).
    type: str
    default: app
  roles:
    description: As in M(sluice.stack.release_logs).
    type: list
    elements: str
    default: [app]
  seconds:
    description: For how long; at most 3600.
    type: float
    required: true
  observed_by:
    description: Name of the variable that M(sluice.stack.release_logs) was registered in, whose lines are not printed again.
    type: str
    required: true
attributes:
  action:
    description: The action plugin prints on the controller; M(sluice.stack.release_logs) reads on the host.
    support: full
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Logs | Follow them for a minute
  sluice.stack.logs_follow:
    app: marketplace
    seconds: 60
    observed_by: found
"""

RETURN = r"""
msg:
  description: Why the host could not be read, in one line.
  returned: failure
  type: str
  sample: "logs_follow is 'soon': it must be a number of seconds, at most 3600"
count:
  description: How many lines were printed.
  returned: success
  type: int
  sample: 12
"""
