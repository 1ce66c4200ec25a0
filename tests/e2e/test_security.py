# SPDX-License-Identifier: Apache-2.0
"""The security audit of the lab: it finds what the lab lacks and nothing else, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.lab import APP_HOSTS, Lab

# Whatever a run might leave: configuration, state, caches. Timers of the hosts write meanwhile, too: certificates, and the end of a drain.
STATE = (
    "find /etc /root /home /usr/local /var/lib/sluice /var/lib/apt /var/lib/dpkg /var/cache -xdev "
    "-not -path '/var/lib/sluice/certificates*' -not -path '/var/lib/sluice/apps/*' -printf '%p %m %u %g %s %T@ %C@\\n'"
)
# It serves plain HTTP beside TLS, for the tests.
LACKS = {("plain_http", "edge1")}


def test_the_lab_lacks_a_redirect_and_nothing_else_and_is_left_as_it_was(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    path = tmp_path / "security.json"
    hosts = ("edge1", *APP_HOSTS)
    before = {host: set(lab.shell(host, STATE).splitlines()) for host in hosts}
    run = lab.playbook("playbooks/checks/security", "-e", f"security_report={path}")
    assert "plain_http on edge1" in run.error()
    assert min(map(len, before.values())) > 500
    assert not run.changed()
    assert {host: set(lab.shell(host, STATE).splitlines()) ^ before[host] for host in hosts} == {
        host: set() for host in hosts
    }
    rows = json.loads(path.read_text())["checks"]
    # Upgrades come out at any time, and the lab's image is older.
    failed = {(row["name"], row["host"]) for row in rows if row["state"] == "failed" and row["name"] != "upgrades"}
    assert failed == LACKS
    passed = {row["name"] for row in rows if row["state"] == "ok" and row["host"] == "app1"}
    assert {"ports", "ports_dropped", "firewall", "containers_escape", "ssh_settings", "secret_files"} <= passed
