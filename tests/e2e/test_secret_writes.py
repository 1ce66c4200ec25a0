# SPDX-License-Identifier: Apache-2.0
"""A new value is written to real stores over TLS: beside what else is there, and only over the version that was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources

from tests.support.stores import Stores

WRITES = """path "secret/data/marketplace/*" { capabilities = ["read", "create", "update"] }"""


class Writer:
    """Reads and writes as a run does."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        init_plugin_loader([])
        loader = DataLoader()
        self.around = secret_sources.Surroundings(loader, Templar(loader), str(stores.folder))

    def reference(self, **given: Any) -> Any:
        """A reference as the contract has it."""
        problems = Problems()
        found = secret_reference.secret().read(given, "app_secrets.ONE", problems)
        assert problems.lines == []
        return found

    def settings(self) -> Any:
        """The sources as the contract has them."""
        return secret_reference.SOURCES.read(self.stores.sources(), "app_secret_sources", Problems())

    def read(self, reference: Any) -> secret_sources.Secret:
        """Read one."""
        found, lines = secret_sources.read({"ONE": reference}, self.settings(), self.around)
        assert lines == []
        return found["ONE"]

    def write(self, reference: Any, value: str, expected: str) -> str:
        """Write one."""
        return secret_sources.write(reference, self.settings(), self.around, value, expected)


@pytest.fixture(scope="module")
def writer(secret_stores: Stores) -> Iterator[Writer]:
    """All stores, in the environment of a run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secret_stores.environment.items():
            patch.setenv(name, value)
        yield Writer(secret_stores)


def test_openbao_takes_a_value_over_the_version_that_was_read(writer: Writer) -> None:
    bao = writer.stores.bao
    bao.call("PUT", "sys/policies/acl/deploy", {"policy": WRITES.replace('"create", "update"', '"list"')})
    bao.put("marketplace/one", url="first", other="stays")
    reference = writer.reference(vault="marketplace/one", key="url")
    before = writer.read(reference)
    with pytest.raises(secret_sources.SecretError, match="permission denied"):
        writer.write(reference, "second", before.version)
    bao.call("PUT", "sys/policies/acl/deploy", {"policy": WRITES})
    assert writer.write(reference, "second", before.version) == "2"
    assert writer.read(reference).value == "second"
    assert writer.read(writer.reference(vault="marketplace/one", key="other")).value == "stays"
    with pytest.raises(secret_sources.SecretError, match="somebody else changed it meanwhile"):
        writer.write(reference, "third", before.version)
    assert writer.read(reference).value == "second"


def test_secrets_manager_takes_a_value_over_the_version_that_was_read(writer: Writer) -> None:
    writer.stores.aws("lab/one", json.dumps({"url": "first", "deep": {"er": "stays"}}))
    reference = writer.reference(aws="lab/one", key="url")
    before = writer.read(reference)
    version = writer.write(reference, "second", before.version)
    assert writer.read(reference) != before
    assert (writer.read(reference).value, writer.read(reference).version) == ("second", version)
    assert writer.read(writer.reference(aws="lab/one", key="deep.er")).value == "stays"
    assert writer.read(writer.reference(aws="lab/one", key="url", stage="AWSPREVIOUS")).value == "first"
    with pytest.raises(secret_sources.SecretError, match="lab/one: "):
        writer.write(reference, "third", before.version)
    assert writer.read(reference).value == "second"


def test_a_file_of_sops_takes_a_value_and_shows_none(writer: Writer) -> None:
    path = writer.stores.encrypted("one.sops.yaml", {"redis": {"url": "first", "other": "stays"}})
    reference = writer.reference(sops=str(path), key="redis.url")
    assert writer.write(reference, 'sec"ond $x', "") == ""
    assert writer.read(reference).value == 'sec"ond $x'
    assert writer.read(writer.reference(sops=str(path), key="redis.other")).value == "stays"
    assert "sec" not in path.read_text().replace("secret", "")
