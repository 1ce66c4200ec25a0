# SPDX-License-Identifier: Apache-2.0
"""Compare the environments with their matrix on the controller: no host is contacted, and no secret's value leaves it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.environments import compare, matrix, show
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED
from ansible_collections.sluice.stack.plugins.plugin_utils import inventories, say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/environment_matrix.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("matrix", "read", "json_file", "examples"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, compare, print, write."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, path = self._task.args, os.path.abspath(str(self._task.args["matrix"]))
        try:
            with open(path, encoding="utf-8") as handle:
                rules = matrix.read(yaml.safe_load(handle))
        except OSError as error:
            raise AnsibleActionFail(f"environments_matrix is {args['matrix']!r}: {error.strerror}") from None
        except (yaml.YAMLError, matrix.MatrixError) as error:
            raise AnsibleActionFail(f"{args['matrix']}: {' '.join(str(error).split())}") from None
        keys = self._loader._vault.secrets
        found = [
            inventories.environment(
                name, os.path.join(os.path.dirname(path), name), keys, bool(args.get("read", False))
            )
            for name in rules.environments
        ]
        results = compare.judge(rules, found)
        if args.get("json_file"):
            write_atomic(
                os.path.abspath(args["json_file"]), json.dumps(show.data(found, results), indent=2) + "\n", 0o644
            )
        if args.get("examples"):
            for name in rules.environments:
                target = os.path.join(os.path.abspath(args["examples"]), f".env.{name}.example")
                write_atomic(target, show.env_example(rules, name), 0o644)
        return {
            **result,
            "checks": [asdict(one) for one in results],
            "wrong": [one.name for one in results if one.state == FAILED],
            "lines": say.show(show.lines(rules, found, results)),
        }
