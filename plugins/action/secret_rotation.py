# SPDX-License-Identifier: Apache-2.0
"""Decide on the controller how far the rotation of a secret is, and print what is left."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract.environment import confirmed_environment
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.rotation import decide, signing, steps, text
from ansible_collections.sluice.stack.plugins.plugin_utils import environment, say

BYTES = 32


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_rotation.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        (
            "name",
            "contract",
            "run",
            "token",
            "edges",
            "hosts",
            "observed_by",
            "values",
            "place",
            "logins",
            "host",
            "emergency",
            "after",
        )
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decide, print, return."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables, args = task_vars or {}, self._task.args
        name, emergency, after = args["name"], boolean(args.get("emergency", False)), boolean(args.get("after", False))
        logins = args.get("logins") or {"seen": {}, "in_use": {}}
        rotation = args["contract"]["rotations"][name]
        hostvars = variables["hostvars"]
        answers = {host: hostvars[host].get(args["observed_by"]) or {} for host in args["hosts"]}
        observed = {host: answer["observation"] for host, answer in answers.items() if "observation" in answer}
        try:
            if emergency and (
                refusal := confirmed_environment(
                    environment.seen(variables, self._templar, self._loader), "an emergency rotation"
                )
            ):
                raise steps.RotationError(refusal)
            app = decide.fleet(args["edges"], args["hosts"], observed)
            new, held = secrets.token_urlsafe(BYTES), args["values"]
            if rotation["kind"] == "signing_key":
                other = rotation["previous"]
                keys = signing.Keys(name, other, held[name], held[other])
                hours, now = float(rotation["verify_hours"]), datetime.now(UTC)
                found = decide.signing_key(keys, hours, app, new, now, emergency=emergency, after=after)
            else:
                found = decide.logins(
                    name,
                    decide.credentials_of(rotation),
                    held[name],
                    logins,
                    app,
                    new,
                    emergency=emergency,
                    after=after,
                )
        except steps.RotationError as error:
            return {**result, "failed": True, "msg": f"{name}: {error}"}
        lines = text.lines(
            name, args["contract"]["app"], args["place"], args["host"], found, logins["in_use"], emergency
        )
        for line in [] if after else lines:
            say.now(line, "bright blue")
        entry = ledger.entry(
            "rotated",
            token=int(args.get("token") or 0),
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            run=args["run"],
            manifest=None,
            secrets=found.secrets,
            new=found.new,
            old=found.old,
            emergency=emergency,
        )
        return {
            **result,
            "steps": found.steps,
            "values": found.values,
            "secrets": sorted(found.secrets),
            "new": found.new,
            "old": found.old,
            "expected": logins["seen"].get(found.new, ""),
            "entry": entry,
            "lines": lines,
            # The values stay in the registered variable; so do the lines, which the console cannot print then.
            "_ansible_no_log": True,
        }
