# SPDX-License-Identifier: Apache-2.0
"""Packages and units: what dpkg and systemd report, and when their modules are called."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.action import host_packages, host_units

# dpkg-query 1.22 of Debian 13; libpq5 is on hold, the others are not whole.
PACKAGES = "ii  redis-server\nhi  libpq5\nrc  nginx\niU  pgbackrest\nun  docker.io\n"
# systemctl 257 of Debian 13.
UNITS = """\
Id=redis-server.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=nope.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
"""


# With sudo Ansible asks for a terminal, and that ends lines otherwise.
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_packages_that_are_whole_count(end: str) -> None:
    assert host_packages.installed(PACKAGES.replace("\n", end)) == {"redis-server", "libpq5"}
    assert host_packages.installed("") == set()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_units_are_found_by_name(end: str) -> None:
    units = host_units.parsed(UNITS.replace("\n", end))
    assert set(units) == {"redis-server.service", "nope.service"}
    assert host_units.as_desired(units["redis-server.service"], started=True, enabled=True)
    assert not host_units.as_desired(units["nope.service"], started=False, enabled=False)
    assert not host_units.as_desired({}, started=False, enabled=False)


def test_one_property_that_differs_is_enough() -> None:
    unit = host_units.parsed(UNITS)["redis-server.service"]
    for key, value in {"ActiveState": "failed", "UnitFileState": "disabled", "NeedDaemonReload": "yes"}.items():
        assert not host_units.as_desired({**unit, key: value}, started=True, enabled=True), key
    assert host_units.as_desired({**unit, "ActiveState": "inactive"}, started=False, enabled=True)
    assert host_units.as_desired({**unit, "UnitFileState": "disabled"}, started=True, enabled=False)
