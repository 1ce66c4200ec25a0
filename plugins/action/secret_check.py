# SPDX-License-Identifier: Apache-2.0
"""Check the secrets of an app on the controller: no value leaves it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.gates import registry, secret_check
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.plugin_utils import say, secret_sources


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_check.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        (
            "app",
            "environment",
            "names",
            "secrets",
            "references",
            "sources",
            "rotations",
            "against",
            "max_age_days",
            "json_file",
        )
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, judge, print."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args = self._task.args
        try:
            others = dict(_fingerprints(path) for path in args.get("against") or [])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return {**result, "failed": True, "msg": f"secrets_against: {error}: name reports of this playbook"}
        seen = self._seen(args, str((task_vars or {}).get("inventory_dir") or os.getcwd()))
        oldest = args.get("max_age_days")
        found = secret_check.judge(seen, others, datetime.now(UTC), float(oldest) if oldest else None)
        if args.get("json_file"):
            report = {
                "app": args["app"],
                "environment": args["environment"],
                "checks": [asdict(one) for one in found],
                "fingerprints": {one.name: one.fingerprint for one in seen if one.fingerprint},
            }
            write_atomic(args["json_file"], json.dumps(report, indent=2) + "\n")
        return {
            **result,
            "checks": [asdict(one) for one in found],
            "failed_names": [one.name for one in found if one.state == FAILED],
            "lines": say.show(registry.lines(found)),
        }

    def _seen(self, args: Mapping[str, Any], folder: str) -> list[secret_check.Seen]:
        """Read the secrets that services list."""
        references: Mapping[str, Any] = args["references"]
        settings = secret_reference.SOURCES.read(args.get("sources") or {}, "app_secret_sources", Problems())
        around = secret_sources.Surroundings(self._loader, self._templar, folder)
        read, lines = secret_sources.read(references, settings, around)
        problems = {
            name: line for name in references for line in lines if name in line.partition(" cannot ")[0].split(", ")
        }
        seen = []
        for name in args["names"]:
            if name in problems:
                seen.append(secret_check.Seen(name, "", problems[name]))
                continue
            kept = read[name] if name in read else secret_sources.Secret(str(args["secrets"][name]))
            place = secret_reference.described(references[name], kept.version) if name in read else "the inventory"
            if not kept.value:
                # Only that there is one is known, and when it was written.
                unseen = f"{place}; hosts read it"
                seen.append(
                    secret_check.Seen(
                        name, unseen, created=kept.created, rotation=(args.get("rotations") or {}).get(name)
                    )
                )
                continue
            seen.append(
                secret_check.Seen(
                    name,
                    place,
                    bits=secret_check.strength(kept.value),
                    fingerprint=secret_version(args["app"], name, kept.value),
                    created=kept.created,
                    rotation=(args.get("rotations") or {}).get(name),
                )
            )
        return seen


def _fingerprints(path: str) -> tuple[str, Mapping[str, str]]:
    """Return the environment of a report, and its fingerprints."""
    with open(path, encoding="utf-8") as handle:
        report = json.load(handle)
    return f"{report['environment']} ({path})", report["fingerprints"]
