#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A silence of Alertmanager."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alert_silence
short_description: Hold back alerts for a while, on a monitoring host
version_added: 0.2.0
description:
  - Makes or ends a silence of the Alertmanager on this host. A silence has a name of its own and always an end, so that a forgotten one holds back
    nothing for long.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  name:
    description: The name of the silence. A silence of the same name is replaced.
    type: str
    required: true
  state:
    description: Whether there shall be one.
    type: str
    choices: [present, absent]
    default: present
  matchers:
    description: What is held back, alerts with all of these labels. Needed by O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The label.
        type: str
        required: true
      value:
        description: Its value.
        type: str
        required: true
      equal:
        description: V(false) for labels that are something else.
        type: bool
        default: true
  seconds:
    description: For how long.
    type: float
    default: 3600
  comment:
    description: Why.
    type: str
    default: set by Sluice
  author:
    description: By whom.
    type: str
    default: sluice
  port:
    description: The port of Alertmanager on this host.
    type: int
    default: 9093
attributes:
  check_mode:
    description: Nothing is changed; reports whether it would be.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Silence | Hold back what a reboot of app2 fires
  sluice.stack.alert_silence:
    name: reboot of app2
    matchers: [{name: instance, value: app2}]
    seconds: 900
"""

RETURN = r"""
id:
  description: The id of the silence.
  returned: success, with O(state=present), except in check mode
  type: str
  sample: 5f6f6c2c-2f0b-4c8f-8f3e-0d6f7f1f6a52
ended:
  description: How many silences of the name were ended.
  returned: success
  type: int
  sample: 1
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import silence

SECONDS = 10


class Refused(Exception):
    """Alertmanager does not do it; the message has its answer."""


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    """Return the data of an answer. Raises Refused."""
    try:
        answer = plain_http.request(("127.0.0.1", port), method, f"/api/v2/{path}", body, timeout=SECONDS)
    except plain_http.NoAnswer as error:
        raise Refused(f"Alertmanager on port {port} of this host does not answer ({error}): is it running?") from error
    if answer.status != 200:
        raise Refused(f"Alertmanager refused it with status {answer.status}: {answer.beginning()}")
    return answer.data()


def apply(params: dict[str, Any], now: float, check: bool) -> dict[str, Any]:
    """Make or end the silence; returns the result. Raises Refused."""
    port, found = params["port"], silence.own(ask(params["port"], "GET", "silences"), params["name"])
    wanted = None
    if params["state"] == "present":
        wanted = silence.body(
            params["name"], params["matchers"], now, params["seconds"], params["comment"], params["author"]
        )
        kept = next((one for one in found if silence.lasts(one, wanted)), None)
        if kept:
            return {"changed": False, "id": kept["id"], "ended": 0}
    result: dict[str, Any] = {"changed": bool(wanted or found), "ended": len(found)}
    if check:
        return result
    # The new one first: nothing may slip through between.
    if wanted:
        result["id"] = ask(port, "POST", "silences", wanted)["silenceID"]
    for one in found:
        ask(port, "DELETE", f"silence/{one['id']}")
    return result


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "matchers": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "value": {"type": "str", "required": True},
                "equal": {"type": "bool", "default": True},
            },
        },
        "seconds": {"type": "float", "default": 3600},
        "comment": {"type": "str", "default": "set by Sluice"},
        "author": {"type": "str", "default": "sluice"},
        "port": {"type": "int", "default": 9093},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, look, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if params["state"] == "present" and (not params["matchers"] or params["seconds"] <= 0):
        module.fail_json(msg=f"silence {params['name']!r} needs matchers, and seconds above 0")
    try:
        result = apply(params, time.time(), module.check_mode)
    except Refused as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
