# SPDX-License-Identifier: Apache-2.0
"""Which machine is the controller, and the facts that roles need."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import machine

CONTROLLER = {"machine_id": "3d12", "boot_id": "c8ee", "hostname": "vm"}


def test_a_machine_is_itself() -> None:
    assert machine.same(CONTROLLER, dict(CONTROLLER))
    assert machine.same(machine.identity(), machine.identity())


@pytest.mark.parametrize("part", list(CONTROLLER))
def test_one_part_that_differs_makes_another_machine(part: str) -> None:
    """A clone shares the machine id, a container the kernel, and host names repeat."""
    assert not machine.same(CONTROLLER, {**CONTROLLER, part: "other"})


@pytest.mark.parametrize("part", list(CONTROLLER))
def test_an_unknown_part_never_matches(part: str) -> None:
    unknown = {**CONTROLLER, part: ""}
    assert not machine.same(unknown, unknown)
    assert not machine.same({}, {})


OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'


def test_facts_are_those_of_setup() -> None:
    assert machine.facts(
        OS_RELEASE, "13.1", "MemTotal:        4010000 kB\nMemFree: 1 kB\nSwapTotal: 1048576 kB\n", 2
    ) == {
        "distribution": "Debian",
        "distribution_release": "trixie",
        "distribution_version": "13.1",
        "memtotal_mb": 3916,
        "swaptotal_mb": 1024,
        "processor_nproc": 2,
    }


def test_without_a_point_release_the_version_is_the_major_one() -> None:
    assert machine.facts(OS_RELEASE, "trixie/sid", "", 1)["distribution_version"] == "13"


def test_another_distribution_is_named() -> None:
    other = machine.facts('NAME="Fedora Linux"\nID=fedora\nVERSION_ID=43\n', "", "", 1)
    assert other["distribution"] == "Fedora Linux" and other["distribution_release"] == ""


@pytest.mark.parametrize(
    ("before", "clock", "after", "skew"),
    [(10.0, 10.2, 10.5, 0.0), (10.0, 10.0, 10.0, 0.0), (10.0, 13.0, 10.5, 2.5), (10.0, 7.0, 10.5, -3.0)],
)
def test_a_slow_answer_is_no_skew(before: float, clock: float, after: float, skew: float) -> None:
    assert machine.skew(before, clock, after) == skew


@pytest.mark.parametrize(
    ("path", "zone"),
    [("/usr/share/zoneinfo/Etc/UTC", "Etc/UTC"), ("../usr/share/zoneinfo/Europe/Rome", "Europe/Rome"), ("", "UTC")],
)
def test_a_time_zone_is_named_by_its_file(path: str, zone: str) -> None:
    assert machine.zone_of(path) == zone
