# SPDX-License-Identifier: Apache-2.0
"""The declared ports answer to those they are declared for, over both protocols, and no other port answers to anybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import HARDENED, V4, V6, Shell, on, tried

Scan = Callable[..., dict[str, set[int]]]

# To anybody: SSH, and an edge's visitors. 9100 is what the scenario adds for the outside host.
OUTSIDE = {"edge1": {22, 80, 443, 9100}, "app1": {22, 9100}, "app2": {22, 9100}}
POSTGRES, REHEARSAL, REDIS, SLOT = 5432, 5500, 6379, 20005
BOTH = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_from_outside_exactly_the_declared_ports_answer(let_through: Scan, family: str) -> None:
    assert let_through(family) == OUTSIDE


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_from_outside_udp_is_for_http_3_alone(let_through: Scan, family: str) -> None:
    """Nobody listens: a port that is let through is refused, which is an answer, and a dropped one is silent."""
    assert let_through(family, "udp") == {"edge1": {443}, "app1": set(), "app2": set()}


def reached(source: str, addresses: dict[str, str], target: str) -> set[int]:
    """The ports of the groups that a host gets through to."""
    asked = (POSTGRES, REHEARSAL, REDIS, SLOT, 8088)
    return {port for port, state in tried(source, addresses[target], *asked).items() if state != "dropped"}


def test_each_group_reaches_what_it_needs() -> None:
    assert reached("app2", V4, "app1") == {POSTGRES, REHEARSAL, REDIS}
    assert reached("edge1", V4, "app1") == {SLOT}
    assert reached("app1", V4, "app2") == set()
    # Their addresses in the rules are the others.
    assert reached("app2", V6, "app1") == reached("edge1", V6, "app1") == set()


def test_each_group_reaches_what_it_needs_over_ipv6(over_ipv6: None, let_through: Scan) -> None:
    assert reached("app2", V6, "app1") == {POSTGRES, REHEARSAL, REDIS}
    assert reached("edge1", V6, "app1") == {SLOT}
    assert reached("app1", V6, "app2") == set()
    assert reached("app2", V4, "app1") == reached("edge1", V4, "app1") == set()
    assert let_through("IPv6") == OUTSIDE
    assert let_through("IPv4", "udp") == {"edge1": set(), "app1": set(), "app2": set()}, "and without HTTP/3 nothing"


@BOTH
def test_a_port_that_docker_publishes_obeys_the_same_rules(address: dict[str, str], published: dict[str, int]) -> None:
    ports = (published["elsewhere"], published["slot"])
    assert set(tried("outside1", address["app1"], *ports).values()) == {"dropped"}
    # The control: it is there, and the edge, which has an address of its own in the rules, gets to the one in the apps' range.
    assert set(tried("app1", "127.0.0.1", *ports).values()) == {"open"}
    assert tried("edge1", V4["app1"], *ports) == {ports[0]: "dropped", ports[1]: "open"}


def test_a_containers_own_address_is_reached_from_nowhere(shell: Shell, published: dict[str, int]) -> None:
    """Docker's own rules let through what somebody routes to a container past the published port."""
    inside = shell("app1", "docker inspect -f '{{.NetworkSettings.IPAddress}}' published").strip()
    route = f"ip route replace {inside}/32 via {V4['app1']}"
    shell("outside1", route)
    shell("edge1", route)
    try:
        assert tried("outside1", inside, 80) == {80: "dropped"}
        assert tried("edge1", inside, 80) == {80: "dropped"}
        # The control: the way there works, without the chain of ours.
        shell("app1", "nft add rule inet sluice passing accept")
        assert tried("outside1", inside, 80) == {80: "open"}
    finally:
        shell("app1", "nft -f /etc/nftables.conf")
        shell("outside1", f"ip route del {inside}/32")
        shell("edge1", f"ip route del {inside}/32")


def test_containers_get_out_and_are_answered(shell: Shell, published: dict[str, int]) -> None:
    fetch = "docker exec published /busybox wget -q -T 5 -O /dev/null http://{}:8099/"
    shell("outside1", "systemd-run --unit=listen python3 -m http.server 8099 --bind 0.0.0.0; sleep 1")
    try:
        shell("app1", fetch.format(V4["outside1"]))
    finally:
        shell("outside1", "systemctl stop listen")


@pytest.mark.parametrize(
    "command", ["systemctl restart docker", "systemctl reload nftables", "systemctl restart nftables"]
)
def test_neither_docker_nor_the_firewall_breaks_the_other(
    shell: Shell, published: dict[str, int], command: str
) -> None:
    ports = (published["elsewhere"], published["slot"])
    before = shell("app1", "iptables-save -t nat | grep -c published; iptables-save -t nat | grep -- -j.DNAT | sort")
    shell("app1", command)
    assert tried("edge1", V4["app1"], *ports) == {ports[0]: "dropped", ports[1]: "open"}
    assert tried("outside1", V6["app1"], *ports) == {ports[0]: "dropped", ports[1]: "dropped"}
    assert (
        shell("app1", "iptables-save -t nat | grep -c published; iptables-save -t nat | grep -- -j.DNAT | sort")
        == before
    )


@pytest.mark.parametrize("host", HARDENED)
def test_hosts_answer_pings_over_both_protocols(host: str) -> None:
    for address in (V4[host], V6[host]):
        assert "1 host up" in on("outside1", "nmap", *(["-6"] if ":" in address else []), "-n", "-sn", "-PE", address)


@pytest.mark.parametrize("host", HARDENED)
def test_the_rules_are_loaded_at_boot(shell: Shell, host: str) -> None:
    assert shell(host, "systemctl is-enabled nftables").strip() == "enabled"
    assert "flush ruleset\n" not in shell(host, "grep -v '^#' /etc/nftables.conf")
