# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside, their files, and the object store as its owner sees it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import scenario


class Host(scenario.Host):
    """A host with files to lose."""

    def files(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of the program for files."""
        return self.program("sluice-files", *words)

    def unit(self, what: str) -> bool:
        """Whether a unit, started as its timer starts it, ended well."""
        return self.run(f"systemctl start sluice-files@{what}.service").returncode == 0

    def listing(self, folder: str) -> str:
        """Everything in a directory that a restore has to bring back: kinds, modes, owners, links, times, names, contents."""
        return self.must(
            f"cd {folder} && find . -printf '%y %m %U:%G %n %TY-%Tm-%TdT%TT %p -> %l\\n' | sort -k6 && "
            "find . -type f -print0 | sort -z | xargs -0 sha256sum && getfattr -R -d -m user . | sort"
        )


@pytest.fixture(scope="session")
def app1() -> Host:
    """Debian 13."""
    return Host("app1")


@pytest.fixture(scope="session", params=["app1", "app2"])
def app(request: pytest.FixtureRequest) -> Host:
    """Debian 13, then Debian 12."""
    return Host(request.param)


@pytest.fixture(scope="session")
def store1() -> Host:
    return Host("store1")


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """The scenario's secrets, by the names they have in the vault."""
    return scenario.secrets()


@pytest.fixture(scope="session")
def store() -> Any:
    """The object store, as who owns its keys."""
    return scenario.store("10.213.63.41")
