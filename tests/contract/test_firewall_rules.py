# SPDX-License-Identifier: Apache-2.0
"""What the playbooks open for the groups of an inventory, and the file that comes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ROLE = REPOSITORY / "roles/baseline"
EDGE, APP, OTHER, DATA = "10.2.0.11", "10.2.0.21", "fd00::22", "10.2.0.31"
CONTAINERS = "172.20.0.0/14"
VISITORS = {"tcp 443 any", "tcp 80 any"}


def rules(folder: Path, inventory: Mapping[str, Any], **variables: Any) -> tuple[dict[str, set[str]], dict[str, str]]:
    """For each host what is opened to whom, and the rendered rules."""
    part = yaml.safe_load((REPOSITORY / "playbooks/parts/firewall.yml").read_text())
    task = {
        "name": "write",
        "vars": part,
        "ansible.builtin.copy": {
            "content": "{{ {'allow': baseline_firewall_allow, 'file': "
            f"lookup('ansible.builtin.template', '{ROLE}/templates/firewall.nft.j2')}} | to_json }}}}",
            "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
        },
        "delegate_to": "localhost",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml")],
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "tasks": [task],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": inventory}}))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml", "-e", json.dumps(variables)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    opened = {
        host: {
            f"{rule.get('protocol', 'tcp')} {port} {source}"
            for rule in item["allow"]
            for port in rule["ports"]
            for source in rule["from"]
        }
        for host, item in found.items()
    }
    return opened, {host: item["file"] for host, item in found.items()}


def hosts(**addresses: str) -> dict[str, Any]:
    return {"hosts": {name: {"stack_address": address} for name, address in addresses.items()}}


def test_each_port_is_for_the_group_that_needs_it(tmp_path: Path) -> None:
    opened, files = rules(
        tmp_path,
        {
            "edge": hosts(edge1=EDGE),
            "app": hosts(app1=APP, app2=OTHER),
            "db": hosts(db1=DATA),
            "cache": hosts(db1=DATA),
        },
    )
    apps = {f"tcp {port} {address}" for port in (5432, 5500, 6379) for address in (APP, OTHER)}
    assert opened == {
        "edge1": VISITORS,
        "app1": {f"tcp 20000-20999 {EDGE}"},
        "app2": {f"tcp 20000-20999 {EDGE}"},
        "db1": {*apps, f"tcp 5432 {DATA}"},
    }
    assert f"\n    ip saddr {APP} tcp dport {{ 6379 }} accept\n" in files["db1"]
    assert f"\n    ip6 saddr {OTHER} tcp dport {{ 6379 }} accept\n" in files["db1"]
    assert "udp dport { 443 }" not in files["edge1"], "nobody speaks HTTP/3 there"


def test_one_machine_opens_its_data_to_its_own_containers(tmp_path: Path) -> None:
    opened, _unused = rules(tmp_path, {group: hosts(one=EDGE) for group in ("edge", "app", "db", "cache")})
    inside = {f"tcp {port} {source}" for port in (5432, 5500, 6379) for source in (EDGE, CONTAINERS)}
    assert opened == {"one": {*VISITORS, f"tcp 20000-20999 {EDGE}", *inside}}


def test_edges_share_certificates_over_ssh_although_others_may_not_come_in(tmp_path: Path) -> None:
    second = "10.2.0.12"
    opened, _files = rules(tmp_path, {"edge": hosts(edge1=EDGE, edge2=second)}, baseline_ssh_from=[DATA])
    assert opened["edge1"] == opened["edge2"] == {*VISITORS, f"tcp 22 {EDGE}", f"tcp 22 {second}"}


def test_without_the_other_group_nothing_is_opened(tmp_path: Path) -> None:
    opened, files = rules(tmp_path, {"app": hosts(app1=APP), "cache": hosts(cache1=DATA)})
    assert opened["app1"] == set() and opened["cache1"] == {f"tcp 6379 {APP}"}
    assert "tcp dport { 20000-20999 }" not in files["app1"]


def test_ports_and_sources_of_the_inventory_are_used(tmp_path: Path) -> None:
    extra = [{"ports": [9100, "9200-9300"], "from": ["10.9.0.0/16"], "what": "monitoring"}]
    opened, files = rules(
        tmp_path,
        {"edge": hosts(edge1=EDGE), "app": hosts(app1=APP), "db": hosts(db1=DATA)},
        nginx_http_port=8000,
        nginx_https_port=8443,
        nginx_http3=True,
        app_port_range="21000-21099",
        postgres_port=5433,
        backup_drill_port=6000,
        baseline_ssh_from=["192.0.2.0/24"],
        baseline_firewall_extra=extra,
        baseline_firewall_statements=["ip protocol vrrp accept"],
    )
    assert opened["edge1"] == {"tcp 8000 any", "tcp 8443 any", "udp 8443 any"} and opened["app1"] == {
        f"tcp 21000-21099 {EDGE}"
    }
    assert "\n    udp dport { 8443 } accept\n" in files["edge1"]
    assert opened["db1"] == {f"tcp 5433 {APP}", f"tcp 5433 {DATA}", f"tcp 6001 {APP}"}
    for line in (
        "ip saddr 192.0.2.0/24 tcp dport { 22 } accept",
        "ip saddr 10.9.0.0/16 tcp dport { 9100, 9200-9300 } accept",
        "ip protocol vrrp accept",
    ):
        assert f"\n    {line}\n" in files["app1"]
    assert "\n    tcp dport { 22 } accept\n" not in files["app1"]


def test_figures_are_for_the_monitoring_hosts_alone(tmp_path: Path) -> None:
    inventory = {group: hosts(one=EDGE) for group in ("edge", "app", "db", "cache")} | {"monitors": hosts(mon1=OTHER)}
    opened, files = rules(tmp_path, inventory)
    ports = {"one": (9100, 9113, 9121, 9187), "mon1": (9100,)}
    for host, wanted in ports.items():
        assert {rule for rule in opened[host] if " 9" in rule} == {f"tcp {port} {OTHER}" for port in wanted}
    assert f"\n    ip6 saddr {OTHER} tcp dport {{ 9113 }} accept\n" in files["one"]
    opened, _files = rules(tmp_path, inventory, exporters_enabled=False)
    assert not any(" 9" in rule for found in opened.values() for rule in found)


def test_networks_of_the_rules_of_postgres_are_let_in(tmp_path: Path) -> None:
    opened, _unused = rules(
        tmp_path,
        {"db": hosts(db1=DATA), "cache": hosts(cache1=OTHER)},
        postgres_hba=[
            {"databases": ["shop"], "users": ["reports"], "addresses": ["10.8.0.0/24", "10.9.0.5/32", "samenet"]},
            {"databases": ["all"], "users": ["all"], "addresses": ["0.0.0.0/0"], "method": "reject"},
        ],
    )
    assert opened == {"db1": {f"tcp 5432 {DATA}", "tcp 5432 10.8.0.0/24", "tcp 5432 10.9.0.5/32"}, "cache1": set()}


@pytest.mark.parametrize(
    "port", ["22", "80", "443", "app_port_range", "5432", "5500", "6379", "9100", "9113", "9121", "9187"]
)
def test_the_page_names_what_is_opened(port: str) -> None:
    rows = [line for line in (REPOSITORY / "docs/hardening.md").read_text().splitlines() if line.startswith("| ")]
    assert any(port in row.split("|")[2] for row in rows)
