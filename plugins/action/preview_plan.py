# SPDX-License-Identifier: Apache-2.0
"""Make the variables of a preview from those of its app, on the controller."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import preview, secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources

STATES = ("present", "absent", "expired", "listed")


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/preview_plan.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("number", "state"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, derive."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables, state = task_vars or {}, str(self._task.args.get("state") or "present")
        try:
            if state not in STATES:
                raise preview.PreviewError(f"state is {state!r}: {did_you_mean(state, STATES)}")
            given = {name: self._value(name, variables) for name in contracts.VARIABLES if name in variables}
            contract = contracts.read(given, needs_version=False)
            if not contract["app_preview"]:
                raise preview.PreviewError("app_preview is not set: say in the inventory what a preview is made of")
            app = contract["app_name"]
            result |= {"app": app, "settings": contract["app_preview"], "group": ""}
            if "database" in contract["app_preview"]["secrets"].values():
                result["group"] = preview.group(app)
                if not (variables.get("groups") or {}).get("db"):
                    raise preview.PreviewError(
                        "app_preview.secrets has a database, but the inventory has no host in group db to copy it on"
                    )
            if state in ("present", "absent"):
                result |= self._one(given, contract, preview.parse(self._task.args.get("number")), state, variables)
        except (preview.PreviewError, contracts.ContractError) as error:
            raise AnsibleActionFail(str(error)) from None
        # The variables hold secrets: callbacks, and so every output, get a result without them.
        return {**result, "_ansible_no_log": True}

    def _one(
        self,
        given: Mapping[str, Any],
        contract: Mapping[str, Any],
        number: int,
        state: str,
        variables: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return what one preview has. To take it away needs no secret, so that it works while their store is down."""
        name = preview.app_name(contract["app_name"], number)
        database = preview.database_name(contract["app_name"], number)
        if state == "absent":
            unread = dict.fromkeys(contract["app_secrets"], "unread")
            unread |= dict.fromkeys(contract["app_preview"]["secrets"], "postgresql://a:b@c/d")
            made = preview.variables(given, contract, number, unread)
            return {"number": number, "app_name": name, "variables": made, "database": {"name": database}}
        values = self._secrets(contract, variables)
        return {
            "number": number,
            "app_name": name,
            "variables": preview.variables(given, contract, number, values),
            "database": preview.database(contract, number, values) or {},
            "scrub": self._scrub(contract["app_preview"]["scrub"], variables),
        }

    def _secrets(self, contract: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
        """Return the secrets that a preview has others of, read from where they are kept."""
        named = {name: contract["app_secrets"][name] for name in contract["app_preview"]["secrets"]}
        references = {name: value for name, value in named.items() if secret_reference.is_reference(value)}
        sources = secret_reference.SOURCES.read(contract["app_secret_sources"] or {}, "app_secret_sources", Problems())
        around = secret_sources.Surroundings(self._loader, self._templar, str(variables.get("inventory_dir") or "."))
        read, lines = secret_sources.read(references, sources, around)
        if lines:
            raise preview.PreviewError("; ".join(lines))
        return {name: read[name].value if name in read else str(value) for name, value in named.items()}

    def _scrub(self, path: str | None, variables: Mapping[str, Any]) -> str:
        if not path:
            return ""
        full = os.path.join(str(variables.get("inventory_dir") or "."), path)
        try:
            with open(full, encoding="utf-8") as handle:
                found = handle.read()
        except OSError as error:
            raise preview.PreviewError(f"app_preview.scrub is {path!r}: {full}: {error.strerror}") from None
        if not found.strip():
            raise preview.PreviewError(f"app_preview.scrub is {path!r}, which is empty: nothing would be scrubbed")
        return found

    def _value(self, name: str, variables: Mapping[str, Any]) -> Any:
        try:
            return self._templar.template(variables[name])
        except AnsibleError as error:
            raise preview.PreviewError(f"{name} cannot be resolved: {error.message}") from None
