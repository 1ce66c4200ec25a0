# SPDX-License-Identifier: Apache-2.0
"""Get an app host the secrets it lacks: a login for what it reads itself, and the values of the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import SecretError, is_version
from ansible_collections.sluice.stack.plugins.modules import secret_fetch
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program


class ActionModule(HostModule):
    """See the documentation in plugins/modules/secret_fetch.py."""

    PROGRAM = Program(secret_fetch)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read here what is read here, and let the host do the rest."""
        args, variables = dict(self._task.args), task_vars or {}
        begin, host = _now(), str(variables["inventory_hostname"])
        places = {name: one["place"] for name, one in args["wanted"].items()}
        settings = secret_reference.SOURCES.read(args.pop("sources", None) or {}, "app_secret_sources", Problems())
        around = secret_sources.Surroundings(
            self._loader, self._templar, str(variables.get("inventory_dir") or os.getcwd())
        )
        try:
            values = self._values(args, places, settings, around)
            own = [name for name in places if name not in values]
            if own and not self._task.check_mode:
                args |= self._login(settings["vault"], around, {"host": host, "run": str(args["run_id"])})
        except SecretError as error:
            return {"failed": True, "changed": False, "msg": f"release {args['release']} needs a secret: {error}"}
        self._task.args = {**args, "values": values}
        done = super().run(tmp, task_vars)
        # Also when the last of them failed: the store's log has all.
        described = {name: secret_reference.described(places[name]) for name in done.get("asked", values)}
        done["read"] = {"host": host, "from": begin, "to": _now(), "secrets": described}
        return done

    @staticmethod
    def _values(
        args: Mapping[str, Any],
        places: Mapping[str, Any],
        settings: Mapping[str, Any],
        around: secret_sources.Surroundings,
    ) -> dict[str, str]:
        """Return the values that the controller reads. Raises SecretError."""
        wanted = {name: one for name, one in places.items() if not secret_reference.by_host(one, settings)}
        gone = sorted(name for name, one in wanted.items() if not settings.get(secret_reference.source_of(one), True))
        if gone:
            raise SecretError(f"{', '.join(gone)} was read from a store that app_secret_sources does not have any more")
        read, lines = secret_sources.read(wanted, settings, around)
        if lines:
            raise SecretError("; ".join(lines))
        for name, one in read.items():
            place = secret_reference.described(wanted[name])
            if not is_version(args["app"], name, args["wanted"][name]["version"], one.value, place, one.created):
                raise SecretError(f"{name}: {place}: that version has another value than the release had")
        return {name: one.value for name, one in read.items()}

    @staticmethod
    def _login(
        vault: Mapping[str, Any], around: secret_sources.Surroundings, about: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return how the host reaches the store, and a login for it alone. Raises SecretError."""
        ca = None
        if vault["ca"]:
            try:
                with open(around.path(vault["ca"]), encoding="utf-8") as handle:
                    ca = handle.read()
            except OSError as error:
                raise SecretError(f"app_secret_sources.vault.ca: {error.filename}: {error.strerror}") from None
        store = {
            "url": vault["url"],
            "timeout": vault["timeout"],
            "namespace": vault["namespace"],
            "ca": ca,
            "auth_mount": vault["host_auth_mount"],
        }
        login = secret_sources.Vault(vault, around).host_login(about)
        return {"store": store, "login": login}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
