# SPDX-License-Identifier: Apache-2.0
"""A lab host is named in its Molecule scenario and in an inventory; the two agree."""

from __future__ import annotations

import re
import runpy
import socket
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
INVENTORIES = {
    "lab": "inventories/lab/hosts.yml",
    "fleet": "tests/fleet/apps.yml",
    "edge2": "tests/fleet/edges.yml",
}


@pytest.mark.parametrize("scenario", INVENTORIES)
def test_an_inventory_names_the_hosts_its_scenario_makes(scenario: str) -> None:
    platforms = yaml.safe_load((REPO / "molecule" / scenario / "molecule.yml").read_text())["platforms"]
    made = {host["name"]: host["address"].rpartition(".")[2] for host in platforms}
    text = (REPO / INVENTORIES[scenario]).read_text()
    assert made == dict(re.findall(r'(\w+): \{ansible_host: "\{\{ lab_subnet \}\}\.(\d+)"\}', text))


def test_scenarios_that_are_no_tests_are_left_out_of_make_test() -> None:
    makefile = (REPO / "Makefile").read_text()
    left_out = re.search(r"^SCENARIOS \?= \$\(filter-out ([\w ]+) \$\(LONG_SCENARIOS\),", makefile, re.MULTILINE)
    assert left_out and set(left_out[1].split()) == set(INVENTORIES)


def test_a_port_that_is_taken_is_passed_over() -> None:
    free_port = runpy.run_path(str(REPO / "molecule/shared/library/lab_hosts.py"))["free_port"]
    first = free_port(8443)
    with socket.create_server(("127.0.0.1", first)):
        assert free_port(8443) > first
