# SPDX-License-Identifier: Apache-2.0
"""Validate the variables of an app on the controller, before anything else happens."""

from __future__ import annotations

import getpass
import glob
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml
from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems, shown
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore, barrier
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

try:  # where a value was set: ansible-core keeps it, without a public way to ask yet
    from ansible._internal._datatag._tags import Origin
except ImportError:  # a later ansible-core moved it; messages then do without the place
    Origin = None

SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TYPES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a map",
}
ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")


def where_set(value: Any) -> str | None:
    """``path:line:column`` or a phrase such as the command line option a value came from, when Ansible knows."""
    tag = Origin.get_tag(value) if Origin else None
    return str(tag) if tag else None


def role_inputs() -> dict[str, dict[str, Any]]:
    """The inputs of every role of the collection, as its argument specs type them."""
    specs = {}
    for path in glob.glob(os.path.join(ROLES, "*", "meta", "argument_specs.yml")):
        role = path.split(os.sep)[-3]
        with open(path, encoding="utf-8") as handle:
            entries = yaml.load(handle, Loader=SAFE)["argument_specs"]  # noqa: S506 - safe, and in C where there is one
        specs[role] = {name: spec for entry in entries.values() for name, spec in entry.get("options", {}).items()}
    return specs


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/app_contract.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("action", "edges", "apps", "needs_version", "check"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, resolve, and say who runs what."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        args = self._task.args
        try:
            check = args.get("check", "everything")
            if check != "names":
                self._check_strategy(args["action"])
                self._check_command_line(variables, args)
            inputs = role_inputs()
            problems = contracts.check_names(variables, inputs, lambda name: where_set(variables[name]))
            if check == "names":
                if problems:
                    raise contracts.ContractError(problems)
                return {**result, "changed": False}
            release, faults = self._release_inputs(variables, inputs["release"])
            problems += faults
            problems += self._check_data(release.get("release_data"), variables)
            excluded = release.get("release_exclude_hosts") or []
            problems += _check_lost(excluded, {*args["edges"], *args["apps"]})
            if problems:
                raise contracts.ContractError(problems)
            given = {name: self._value(name, variables) for name in contracts.VARIABLES if name in variables}
            given.setdefault("app_version", _version_of_the_environment())
            resolved = contracts.resolve(
                given,
                needs_version=bool(args.get("needs_version", True)),
                origin=where_set,
            )
            self._check_rollback(args["action"], resolved, variables)
            self._check_automatic(args["action"], resolved, release.get("release_data"), variables)
        except contracts.ContractError as error:
            return {**result, "failed": True, "msg": str(error)}
        run = {
            "id": uuid.uuid4().hex[:12],
            "action": args["action"],
            "who": f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}",
            "revision": _revision(self._loader.get_basedir()),
            "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return {
            **result,
            "changed": False,
            "contract": resolved,
            "references": contracts.references(resolved),
            "excluded": excluded,
            "run": run,
            "verdict": barrier.start(time.time()),
        }

    def _check_strategy(self, action: str) -> None:
        """Refuse to have hosts go on one without the other: a fleet moves together, a step after the other."""
        # That of the play, which is contract.yml's own, and that of all plays that name none.
        for strategy in (str(self._task.get_play().strategy), str(constants.DEFAULT_STRATEGY)):
            if strategy.rpartition(".")[2] != "linear":
                raise contracts.ContractError(
                    [
                        f"the strategy {strategy} would let hosts run ahead of each other: {action} needs linear, unset ANSIBLE_STRATEGY, "
                        "or strategy in ansible.cfg"
                    ]
                )

    def _check_command_line(self, variables: Mapping[str, Any], args: Mapping[str, Any]) -> None:
        """Refuse what would run a part of the steps, or on a part of the hosts."""
        for group in ("edges", "apps"):
            if not args.get(group):
                raise contracts.ContractError(
                    [f"the inventory has no host in group '{group[:-1]}': add one, or name the right inventory with -i"]
                )
        # Reading logs from a part of the hosts is fine, and a limit that names all of them limits nothing.
        if args["action"] != "logs" and variables.get("ansible_limit") not in (None, "", "all", "*"):
            raise contracts.ContractError(
                [
                    f"--limit {variables['ansible_limit']} would {args['action']} on a part of the fleet: leave it out; "
                    "for hosts that are lost use -e release_exclude_hosts=name"
                ]
            )
        tags = sorted(tag for tag in variables.get("ansible_run_tags") or [] if tag != "all")
        skipped = sorted(variables.get("ansible_skip_tags") or [])
        if tags or skipped:
            option = f"--tags {','.join(tags)}" if tags else f"--skip-tags {','.join(skipped)}"
            raise contracts.ContractError([f"{option} would leave out steps of the {args['action']}: run it without"])
        if context.CLIARGS.get("start_at_task"):
            raise contracts.ContractError(
                [f"--start-at-task would leave out steps of the {args['action']}: run it without"]
            )

    def _release_inputs(
        self, variables: Mapping[str, Any], spec: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """The inputs of a release with their types (``-e`` gives text), and what is wrong with them."""
        inputs: dict[str, Any] = {}
        problems = Problems(where_set)
        for name in [name for name in spec if name in variables]:
            value = self._value(name, variables)
            typed = {key: spec[name][key] for key in ("type", "elements", "choices") if key in spec[name]}
            done = ArgumentSpecValidator({name: typed}).validate({name: value})
            inputs[name] = done.validated_parameters[name]
            if done.error_messages and "choices" in typed:
                problems.add(name, f"is {shown(value)}: {did_you_mean(str(value), typed['choices'])}", variables[name])
            elif done.error_messages:
                problems.add(name, f"must be {TYPES[typed['type']]}, not {shown(value)}", variables[name])
        return inputs, problems.lines

    def _check_data(self, data: str | None, variables: Mapping[str, Any]) -> list[str]:
        """Rows are undone because somebody says so now, not because an inventory says so always: the playbook would not see it there either."""
        if data != "restore" or "release_data" in load_extra_vars(self._loader):
            return []
        problems = Problems(where_set)
        problems.add("release_data", "is 'restore': say that on the command line, with -e", variables["release_data"])
        return problems.lines

    def _check_rollback(self, action: str, resolved: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        """Where the data go back with a release, a rollback is told so or otherwise: rollback.yml is put together before it sees an inventory."""
        if action != "rollback" or resolved["rollback"]["data"] != "restore" or variables.get("release_data"):
            return
        problems = Problems(where_set)
        problems.add(
            "app_rollback.data",
            "is 'restore': run rollback.yml with -e release_data=restore, which first counts the rows that this undoes, or with "
            "-e release_data=forward, which leaves them",
            variables["app_rollback"],
        )
        raise contracts.ContractError(problems.lines)

    def _check_automatic(
        self, action: str, resolved: Mapping[str, Any], data: str | None, variables: Mapping[str, Any]
    ) -> None:
        """What a failed deploy would type by itself has nobody to ask for a password."""
        rollback, asking = resolved["rollback"], auto_restore.asks(context.CLIARGS)
        if action != "deploy" or not asking or not rollback["automatic"] or (data or rollback["data"]) != "restore":
            return
        problems = Problems(where_set)
        problems.add(
            "app_rollback.automatic",
            f"is true, and {asking} asks for a password, which taking the data back could not: give it in a file, or by a program",
            variables["app_rollback"],
        )
        raise contracts.ContractError(problems.lines)

    def _value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """The variable with its templates filled in."""
        try:
            return self._templar.template(variables[name])
        except AnsibleError as error:
            where = where_set(variables[name])
            suffix = f" (set in {where})" if where else ""
            raise contracts.ContractError([f"{name} cannot be worked out: {error.message}{suffix}"]) from error


def _version_of_the_environment() -> str | None:
    """APP_VERSION, as pipelines hand a version over: text that no shell, parser or template has touched."""
    version = os.environ.get("APP_VERSION")
    return Origin(description="<environment variable APP_VERSION>").tag(version) if version and Origin else version


def _check_lost(excluded: list[str], hosts: set[str]) -> list[str]:
    """A misspelt host is not lost."""
    return [
        f"release_exclude_hosts names {name}, which is no edge or app host of the inventory: {did_you_mean(name, hosts)}"
        for name in excluded
        if name not in hosts
    ]


def _revision(folder: str) -> str | None:
    """The git revision the playbooks run from, or None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
