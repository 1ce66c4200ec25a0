# SPDX-License-Identifier: Apache-2.0
"""Validate the variables of an app on the controller, before anything else."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Mapping
from typing import Any

import yaml
from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import environment
from ansible_collections.sluice.stack.plugins.module_utils.contract import gates as contract_gates
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems, shown
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore, barrier
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean
from ansible_collections.sluice.stack.plugins.plugin_utils import environment as confirmation
from ansible_collections.sluice.stack.plugins.plugin_utils import identity
from ansible_collections.sluice.stack.plugins.plugin_utils import promoted as promotion

try:  # where a value was set: ansible-core keeps it, but has no public API for it yet
    from ansible._internal._datatag._tags import Origin
except ImportError:  # a later ansible-core moved it; messages then omit the place
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
    """Return where a value was set, as ``path:line:column`` or a phrase such as the command line option, when Ansible knows."""
    tag = Origin.get_tag(value) if Origin else None
    return str(tag) if tag else None


def role_inputs() -> dict[str, dict[str, Any]]:
    """Return the inputs of every role of the collection, from its argument specs."""
    specs = {}
    for path in glob.glob(os.path.join(ROLES, "*", "meta", "argument_specs.yml")):
        role = path.split(os.sep)[-3]
        with open(path, encoding="utf-8") as handle:
            entries = yaml.load(handle, Loader=SAFE)["argument_specs"]  # noqa: S506 - SAFE is a safe loader, in C if available
        specs[role] = {name: spec for entry in entries.values() for name, spec in entry.get("options", {}).items()}
    return specs


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/app_contract.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("action", "edges", "apps", "needs_version", "check", "checklist"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check and resolve the contract, and identify the run."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        args = self._task.args
        try:
            check = args.get("check", "everything")
            if check != "names":
                self._check_strategy(args["action"])
                self._check_command_line(variables, args)
            inputs = role_inputs()
            named = {**inputs, "environment": environment.VARIABLES}
            problems = contracts.check_names(variables, named, lambda name: where_set(variables[name]))
            if check == "names":
                if problems:
                    raise contracts.ContractError(problems)
                return {**result, "changed": False}
            release, faults = self._release_inputs(variables, inputs["release"])
            problems += faults
            problems += self._check_data(release.get("release_data"), variables)
            excluded = release.get("release_exclude_hosts") or []
            problems += _check_excluded(excluded, {*args["edges"], *args["apps"]})
            if problems:
                raise contracts.ContractError(problems)
            given = {name: self._value(name, variables) for name in contracts.VARIABLES if name in variables}
            given.setdefault("app_version", _version_of_the_environment())
            if "environment_name" in variables:
                given.setdefault("app_environment", self._value("environment_name", variables))
            needs_version = bool(args.get("needs_version", True))
            source = str(release.get("release_from") or "") if needs_version else ""
            promoted = promotion.read(source, given["app_version"]) if source else None
            if promoted:
                given["app_version"] = promoted.version
            resolved = contracts.resolve(given, needs_version=needs_version, origin=where_set)
            if promoted:
                resolved = promotion.with_images(resolved, promoted, source)
            self._check_rollback(args["action"], resolved, variables)
            self._check_automatic(args["action"], resolved, release.get("release_data"), variables)
            gates = self._gates(resolved, args, identity.who(), variables)
            self._check_environment(
                args["action"], release.get("release_data") or resolved["rollback"]["data"], gates, variables
            )
        except contracts.ContractError as error:
            return {**result, "failed": True, "msg": str(error)}
        run = identity.run(args["action"], self._loader.get_basedir(), str(release.get("release_reason") or ""))
        return {
            **result,
            "changed": False,
            "contract": resolved,
            "references": contracts.references(resolved),
            "excluded": excluded,
            "gates": gates,
            "run": run,
            "verdict": barrier.start(time.time()),
        }

    def _check_strategy(self, action: str) -> None:
        """Refuse strategies that let hosts run independently: a fleet moves together, step by step."""
        # The strategy of the play (contract.yml sets its own), and that of all plays that set none.
        for strategy in (str(self._task.get_play().strategy), str(constants.DEFAULT_STRATEGY)):
            if strategy.rpartition(".")[2] != "linear":
                raise contracts.ContractError(
                    [
                        f"the strategy {strategy} lets hosts run ahead of each other, but {action} needs linear: unset ANSIBLE_STRATEGY, "
                        "or strategy in ansible.cfg"
                    ]
                )

    def _check_command_line(self, variables: Mapping[str, Any], args: Mapping[str, Any]) -> None:
        """Refuse options that run only some steps, or only on some hosts."""
        for group in ("edges", "apps"):
            if not args.get(group):
                raise contracts.ContractError(
                    [
                        f"the inventory has no host in group '{group[:-1]}': add one, or select the right inventory with -i"
                    ]
                )
        # Reading logs from some hosts is fine, and a limit that matches all of them has no effect.
        if args["action"] != "logs" and variables.get("ansible_limit") not in (None, "", "all", "*"):
            raise contracts.ContractError(
                [
                    f"--limit {variables['ansible_limit']} would {args['action']} on a part of the fleet: run it without; "
                    "to exclude lost hosts use -e release_exclude_hosts=name"
                ]
            )
        tags = sorted(tag for tag in variables.get("ansible_run_tags") or [] if tag != "all")
        skipped = sorted(variables.get("ansible_skip_tags") or [])
        if tags or skipped:
            option = f"--tags {','.join(tags)}" if tags else f"--skip-tags {','.join(skipped)}"
            raise contracts.ContractError([f"{option} would skip steps of the {args['action']}: run it without"])
        if context.CLIARGS.get("start_at_task"):
            raise contracts.ContractError([f"--start-at-task would skip steps of the {args['action']}: run it without"])

    def _release_inputs(
        self, variables: Mapping[str, Any], spec: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the inputs of a release with their types (``-e`` gives text), and their problems."""
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
        """Accept 'restore' only from the command line: losing rows must be an explicit decision, and the playbook does not read the inventory."""
        if data != "restore" or "release_data" in load_extra_vars(self._loader):
            return []
        problems = Problems(where_set)
        problems.add("release_data", "is 'restore': set it on the command line, with -e", variables["release_data"])
        return problems.lines

    def _check_rollback(self, action: str, resolved: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        """Require an explicit release_data where app_rollback.data is 'restore': rollback.yml is assembled before it reads an inventory."""
        if action != "rollback" or resolved["rollback"]["data"] != "restore" or variables.get("release_data"):
            return
        problems = Problems(where_set)
        problems.add(
            "app_rollback.data",
            "is 'restore': run rollback.yml with -e release_data=restore, which first counts the rows that are lost, or with "
            "-e release_data=forward, which keeps the data",
            variables["app_rollback"],
        )
        raise contracts.ContractError(problems.lines)

    def _check_automatic(
        self, action: str, resolved: Mapping[str, Any], data: str | None, variables: Mapping[str, Any]
    ) -> None:
        """Refuse an automatic restore with options that prompt for a password."""
        rollback, asking = resolved["rollback"], auto_restore.prompting_option(context.CLIARGS)
        if action != "deploy" or not asking or not rollback["automatic"] or (data or rollback["data"]) != "restore":
            return
        problems = Problems(where_set)
        problems.add(
            "app_rollback.automatic",
            f"is true, but {asking} prompts for a password, which an automatic restore cannot: use a password file or a program",
            variables["app_rollback"],
        )
        raise contracts.ContractError(problems.lines)

    def _check_environment(
        self, action: str, data: str, gates: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> None:
        """Ask for the name of a protected environment where the run may harm it."""
        given = confirmation.seen(variables, self._templar, self._loader)
        passes = {one["name"] for one in gates["asked"]} - {one["gate"] for one in gates["waivers"]}
        harm = environment.harm(action, data, passes, {**variables, **given})
        refusal = environment.wrong(given) or (environment.confirmed_environment(given, harm) if harm else None)
        if refusal:
            raise contracts.ContractError([refusal])

    def _gates(
        self, resolved: Mapping[str, Any], args: Mapping[str, Any], who: str, variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the gates that this run asks for, what to look at for them, and the waivers."""
        checklist = str(args.get("checklist") or "")
        if args["action"] == "checklist" and not checklist:
            raise contracts.ContractError(
                [f"checklist is not set: run it with -e checklist={'|'.join(contract_gates.CHECKLISTS)}"]
            )
        if args["action"] not in ("deploy", "checklist") or not (checklist or resolved["gates"]):
            return {"asked": [], "looks": [], "waivers": []}
        from ansible_collections.sluice.stack.plugins.module_utils.gates import registry  # noqa: PLC0415 - only where there are gates

        asked = resolved["gates"]
        if checklist:
            known = {one["name"]: one["options"] for one in asked}
            asked = [
                {"name": name, "options": known.get(name, contract_gates.default_options(name))}
                for name in registry.of_checklist(checklist)
            ]
        problems = Problems(where_set)
        given = self._value("gate_waive", variables) if variables.get("gate_waive") else []
        # It is judged in a moment, and holds for this run only.
        waivers = [*resolved["gate_waivers"], *contract_gates.waived_now(given, who, time.time() + 3600, problems)]
        if problems.lines:
            raise contracts.ContractError(problems.lines)
        return {"asked": asked, "looks": registry.looks(one["name"] for one in asked), "waivers": waivers}

    def _value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """Return the variable with its templates resolved."""
        try:
            return self._templar.template(variables[name])
        except AnsibleError as error:
            where = where_set(variables[name])
            suffix = f" (set in {where})" if where else ""
            raise contracts.ContractError([f"{name} cannot be resolved: {error.message}{suffix}"]) from error


def _version_of_the_environment() -> str | None:
    """Return APP_VERSION, set by pipelines: text unchanged by a shell, parser or template."""
    version = os.environ.get("APP_VERSION")
    return Origin(description="<environment variable APP_VERSION>").tag(version) if version and Origin else version


def _check_excluded(excluded: list[str], hosts: set[str]) -> list[str]:
    """Return a problem for each excluded host that does not exist."""
    return [
        f"release_exclude_hosts names {name}, which is not an edge or app host of the inventory: {did_you_mean(name, hosts)}"
        for name in excluded
        if name not in hosts
    ]
