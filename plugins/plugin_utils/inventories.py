# SPDX-License-Identifier: Apache-2.0
"""Read the variables of another inventory than the run's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.environments.compare import Environment, Held, settings
from ansible_collections.sluice.stack.plugins.module_utils.gates.secret_check import password
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources

ENCRYPTED = b"$ANSIBLE_VAULT;"
# Stands for a secret that is not known: the contract only asks whether there is one.
SOME = "unread"


class InventoryError(Exception):
    """An inventory cannot be read; the message says why."""


class Loader(DataLoader):
    """Goes on where a file is encrypted with a key that is not here: another environment's, often."""

    def __init__(self, secrets: Any) -> None:
        super().__init__()
        self.set_vault_secrets(secrets)
        self.locked: list[str] = []

    def load_from_file(self, file_name: str, *args: Any, **options: Any) -> Any:
        """Read a file; an encrypted one without its key is empty."""
        try:
            return super().load_from_file(file_name, *args, **options)
        except AnsibleError:
            with open(file_name, "rb") as handle:
                if handle.read(len(ENCRYPTED)) != ENCRYPTED:
                    raise
            self.locked.append(file_name)
            return {}


class Inventory:
    """An inventory as its first edge sees it, which is how a deploy sees it."""

    def __init__(self, folder: str, secrets: Any) -> None:
        self.folder, self.loader = os.path.abspath(folder), Loader(secrets)
        if not os.path.isdir(self.folder):
            raise InventoryError(f"{folder} is not there")
        try:
            inventory = InventoryManager(loader=self.loader, sources=[self.folder])
            manager = VariableManager(loader=self.loader, inventory=inventory)
            HostVars(inventory=inventory, variable_manager=manager, loader=self.loader)
            hosts = inventory.get_hosts("edge") or inventory.get_hosts("all")
            if not hosts:
                raise InventoryError(f"{folder} has no hosts")
            self.variables: Mapping[str, Any] = manager.get_vars(host=hosts[0])
        except AnsibleError as error:
            raise InventoryError(f"{folder} cannot be read: {error.message}") from None
        self.templar = Templar(loader=self.loader, variables=self.variables)

    def value(self, name: str) -> Any:
        """Return a variable with its templates resolved. Raises InventoryError."""
        try:
            return self.templar.template(self.variables[name])
        except AnsibleError as error:
            raise InventoryError(f"{name} cannot be resolved: {error.message}") from None

    def secrets(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return each secret, or its reference, and why others cannot be resolved."""
        found: dict[str, Any] = {}
        problems: dict[str, str] = {}
        given = self.variables.get("app_secrets") or {}
        if not isinstance(given, Mapping):
            given = self.value("app_secrets")  # one template for all of them
        if not isinstance(given, Mapping):
            raise InventoryError("app_secrets must be a map")
        for name in given:
            try:
                found[str(name)] = self.templar.template(given[name])
            except AnsibleError as error:
                problems[str(name)] = str(error.message)
        return found, problems


def environment(name: str, folder: str, vault_secrets: Any, read: bool) -> Environment:
    """Return what an inventory has; ``read``: also of the secrets that are in stores, from there."""
    try:
        inventory = Inventory(folder, vault_secrets)
        secrets, problems = inventory.secrets()
        given = {
            key: inventory.value(key)
            for key in contracts.VARIABLES
            if key in inventory.variables and key != "app_secrets"
        }
        given["app_secrets"] = {**secrets, **dict.fromkeys(problems, SOME)}
        contract = contracts.read(given, needs_version=False)
        sources = secret_reference.SOURCES.read(given.get("app_secret_sources") or {}, "app_secret_sources", Problems())
    except InventoryError as error:
        return Environment(name, problem=str(error))
    except contracts.ContractError as error:
        return Environment(name, problem=error.problems[0])
    variables: dict[str, Held] = {}
    for service, one in contract["app_services"].items():
        for key, value in {**contract["app_env"], **one["env"]}.items():
            before = variables.get(key)
            both = f"{before.value}, {service}: {value}" if before and before.value != value else value
            variables[key] = Held(value=both)
    used = sorted({secret for one in contract["app_services"].values() for secret in one["secrets"]})
    references = {key: contract["app_secrets"][key] for key in used if secret_reference.is_reference(secrets.get(key))}
    around = secret_sources.Surroundings(inventory.loader, inventory.templar, inventory.folder)
    values, refused = secret_sources.read(references, sources, around) if read else ({}, [])
    here = Held(secret=True, source="inventory", place="inventory")
    for key in used:
        if key in references:
            why = next((line for line in refused if key in line.partition(" cannot ")[0].split(", ")), "")
            known = (values[key].value or None) if key in values else None
            variables[key] = _kept_elsewhere(key, references[key], sources, inventory.folder, known, why)
        elif key in problems:
            variables[key] = replace(here, problem=problems[key], locked=bool(inventory.loader.locked))
        else:
            variables[key] = replace(here, fingerprint=_fingerprint(key, str(secrets[key])))
    return Environment(name, variables, settings(contract))


def _kept_elsewhere(
    name: str,
    reference: Mapping[str, Any],
    sources: Mapping[str, Any],
    folder: str,
    value: str | None,
    problem: str,
) -> Held:
    """Return a secret of a store. One that was not read is still the same as another at the same place."""
    source, place = secret_reference.source_of(reference), secret_reference.described(reference)
    if value is not None:
        return Held(secret=True, source=source, place=place, fingerprint=_fingerprint(name, value))
    store = sources.get(source) or {}
    where = {key: store.get(key) for key in ("url", "namespace", "mount", "region", "profile", "role", "endpoint")}
    same = {key: part for key, part in reference.items() if key not in ("version", "stage")}
    if source == "sops":
        same["sops"] = os.path.normpath(os.path.join(folder, str(same["sops"])))
    # The environment of a run is another one in each job.
    at = "" if source == "env" else f"at:{json.dumps([source, where, same], sort_keys=True)}"
    return Held(secret=True, source=source, place=place, fingerprint=at, problem=problem)


def _fingerprint(name: str, value: str) -> str:
    """Return what is equal for equal secrets; of a URL for equal passwords, since hosts differ anyway."""
    return secret_version("environments", name, password(value) or value)
