# SPDX-License-Identifier: Apache-2.0
"""The edge's script in a real Nginx: what a visitor gets, in a canary and in maintenance."""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge import verify as edge_verify

from tests.support.edge import CLIENT, LARGE, SLOTS, VISITOR, Edge, ask, slot_of

# maintenance


def test_maintenance_answers_everybody_but_the_edge_itself(edge: Edge) -> None:
    edge.maintain()
    for method in ("GET", "POST", "HEAD", "DELETE"):
        status, headers, body = edge.ask(method=method)
        assert (status, headers["retry-after"]) == (503, "120")
        assert headers["content-type"] == "text/plain; charset=utf-8" and "set-cookie" not in headers
        assert body == ("" if method == "HEAD" else "Back soon.\n")
    for client in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert slot_of(edge.ask(client=client)) == "blue"
    edge.serve()
    assert slot_of(edge.ask()) == "blue"


def test_a_release_is_tried_and_verified_in_maintenance(edge: Edge) -> None:
    edge.maintain()
    edge.canary(5)
    edge_verify.verify(edge_verify.Ports(edge.port), [{"host": None, "verify": "/"}], "r2", times=3, timeout=5)
    edge.change(edge_record.confirm, release="r2", now=time.time())
    assert edge.ask()[0] == 503
    edge.serve()
    assert slot_of(edge.ask()) == "green"


def test_a_browser_gets_a_page_in_which_the_message_is_text(edge: Edge) -> None:
    edge.maintain("<script>alert('1')</script> & \"später\" \U0001f6a7\n14:00")
    status, headers, body = edge.ask({"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (status, headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "<p>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;später&quot; \U0001f6a7\n14:00</p>" in body
    for accept in ("application/json", "*/*"):
        _, headers, body = edge.ask({"Accept": accept})
        assert headers["content-type"].startswith("text/plain") and body.startswith("<script>")


def test_the_control_endpoint_tells_maintenance(edge: Edge) -> None:
    assert edge.control()["maintenance"] is None
    edge.maintain(allow=("192.0.2.0/24",))
    assert edge.control()["maintenance"] == edge.record["maintenance"]
    assert edge.control()["shares"] == [{"release": "r1", "slot": "blue", "percent": 100}]


def test_an_app_that_was_removed_is_forgotten_and_begins_anew(edge: Edge) -> None:
    """Nginx refuses a record that is older than its own; one of an app that is gone is not compared with."""
    path, fresh = edge.folder / "records" / "shop.json", {**edge_record.empty("shop"), "seq": 1}
    with pytest.raises(edge_control.EdgeRefused, match="which is newer"):
        edge_control.hold(fresh, socket_path=edge.socket)
    with pytest.raises(edge_control.EdgeRefused, match=r"shop\.json is there"):
        edge_control.forget("shop", socket_path=edge.socket)
    assert edge.ask()[0] == 200
    path.unlink()
    for _unused in range(2):
        edge_control.forget("shop", socket_path=edge.socket)
    assert edge.ask()[0] == 503
    edge_control.hold(fresh, socket_path=edge.socket)


def test_maintenance_is_logged_without_a_slot(edge: Edge) -> None:
    edge.maintain()
    edge.ask(client="198.51.100.77")
    (entry,) = edge.log(lambda entry: entry["client"] == "198.51.100.77")
    assert (entry["client"], entry["status"], entry["app"], entry["slot"], entry["release"]) == (
        "198.51.100.77",
        503,
        "shop",
        "",
        "",
    )


def test_maintenance_survives_a_restart_of_nginx(edge: Edge) -> None:
    edge.maintain(allow=("192.0.2.7",))
    edge.stop()
    edge.start()
    assert edge.ask()[0] == 503 and edge.ask(client="192.0.2.7")[0] == 200


def test_a_record_of_before_there_was_maintenance_is_served(edge: Edge) -> None:
    old = {key: value for key, value in edge.record.items() if key != "maintenance"}
    edge_control.hold(old, socket_path=edge.socket)
    assert slot_of(edge.ask()) == "blue"


def neighbours(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[Any]:
    """The first and the last address of a network, those beside it, and one bit off."""
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = type(network.network_address)
    off = 1 << (network.max_prefixlen - network.prefixlen)
    return [kind(n) for n in {first, last, first - 1, last + 1, first ^ off} if 0 <= n < 1 << network.max_prefixlen]


def test_networks_let_in_whom_they_hold_and_nobody_else(edge: Edge) -> None:
    chance = random.Random(4)
    four = [ipaddress.IPv4Network((chance.getrandbits(32), n), strict=False) for n in (0, 1, 8, 15, 17, 24, 31, 32)]
    six = [ipaddress.IPv6Network((chance.getrandbits(128), n), strict=False) for n in (1, 10, 33, 48, 64, 127, 128)]
    # Written short, with runs of zeros at every place.
    six += [
        ipaddress.IPv6Network(text)
        for text in ("::/0", "2001:db8::/32", "2001:db8:0:1::/64", "1::8/128", "::fffe:0:0/95")
    ]
    seen: Counter[bool] = Counter()
    for network in [*four, *six]:
        edge.maintain(allow=(str(network),))
        for address in {*neighbours(network), *neighbours(chance.choice(four)), *neighbours(chance.choice(six))}:
            # What came over IPv6 from an IPv4 address is from that address.
            real = getattr(address, "ipv4_mapped", None) or address
            held = real.version == network.version and real in network
            forms = [str(address), *([f"::ffff:{address}"] if address.version == 4 else [address.exploded])]
            for client in forms:
                if client.endswith("255.255.255.255"):
                    continue  # no address to Nginx, and nobody's
                status, _, body = edge.ask(client=client)
                let_in = status == 200
                assert not let_in or json.loads(body)["headers"]["X-Real-IP"] != "127.0.0.1", client
                assert let_in == (held or real.is_loopback), f"{client} in {network}"
                seen[let_in] += 1
    assert min(seen[True], seen[False]) > 50


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "0",
        "/0",
        "x/0",
        "10.0.0.0/",
        "10.0.0/8",
        "203.0.113.9/x",
        "203.0.113/0",
        "::ffff:0.0.0.0/0",
        ":/0",
        "1::2::3/0",
        "x::/0",
    ],
)
def test_what_is_no_network_lets_nobody_in(edge: Edge, entry: str) -> None:
    """No step writes such a record; a person with an editor may."""
    edge.maintain()
    assert edge.record["maintenance"]
    for allow in ([entry], entry, None):
        damaged = {**edge.record, "maintenance": {**edge.record["maintenance"], "allow": allow}}
        edge_control.hold(damaged, socket_path=edge.socket)
        assert edge.ask()[0] == 503 and edge.ask(client="::2")[0] == 503


def pieces(body: bytes, seconds: float) -> Iterator[bytes]:
    """A body sent slowly."""
    for at in range(0, len(body), 100_000):
        time.sleep(seconds / (len(body) / 100_000))
        yield body[at : at + 100_000]


@pytest.mark.parametrize("headers", [{"Content-Length": str(len(LARGE))}, {"Transfer-Encoding": "chunked"}])
def test_a_body_that_is_being_sent_gets_its_answer_and_the_connection_stays(
    edge: Edge, headers: dict[str, str]
) -> None:
    connection = edge.connect()
    # HTTPConnection sends an iterable's pieces as chunks by itself when no length is given.
    chunked = {"encode_chunked": True} if "Transfer-Encoding" in headers else {}
    local = connection.sock.getsockname()
    for wanted in (200, 503, 503, 200):
        (edge.maintain if wanted == 503 else edge.serve)()
        connection.request("POST", "/", pieces(LARGE, 0.3), {CLIENT: VISITOR, **headers}, **chunked)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status == wanted, body
        assert wanted == 503 or json.loads(body)["size"] == len(LARGE)
        assert ask(connection)[0] == wanted
    assert connection.sock.getsockname() == local
    connection.close()


@pytest.mark.parametrize(("before", "wanted"), [("maintain", 503), ("serve", 200)])
def test_maintenance_counts_as_it_was_when_a_request_began(edge: Edge, before: str, wanted: int) -> None:
    getattr(edge, before)()
    connection = edge.connect()
    connection.putrequest("POST", "/")
    connection.putheader(CLIENT, VISITOR)
    connection.putheader("Content-Length", "10")
    connection.endheaders(b"hello")
    time.sleep(0.1)
    {"maintain": edge.serve, "serve": edge.maintain}[before]()
    connection.send(b"world")
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == wanted
    # It is over by now, so there is nothing more to say.
    assert wanted == 200 or (answer.headers["Retry-After"], body) == ("1", b"Please try again.\n")
    assert ask(connection)[0] == 703 - wanted
    connection.close()


@pytest.mark.parametrize("path", ["/", "/assets/x.js"])
def test_a_client_that_waits_for_leave_to_send_keeps_its_connection(edge: Edge, path: str) -> None:
    edge.maintain()
    with socket.create_connection(("127.0.0.1", edge.port), 10) as raw:
        for _ in range(2):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{CLIENT}: {VISITOR}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            raw.sendall(head.encode())
            assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            raw.sendall(b"hello")
            answer = b""
            while not answer.endswith(b"Back soon.\n"):
                part = raw.recv(1000)
                assert part, answer
                answer += part
            assert answer.startswith(b"HTTP/1.1 503 ") and b"Connection: keep-alive" in answer


def under_load(edge: Edge, seconds: float, step: Callable[[], None]) -> tuple[Counter[tuple[str, int]], list[str]]:
    """Take a step again and again under load; the answers by method and status, and what went wrong.

    Each client has one connection, which is never opened again: anything but a whole answer is a fault and ends it.
    """
    until, counts, faults = time.monotonic() + seconds, Counter[tuple[str, int]](), list[str]()

    def load(method: str, body: bytes | None) -> None:
        connection = edge.connect()
        try:
            while time.monotonic() < until:
                counts[method, ask(connection, method, body)[0]] += 1
        except (OSError, http.client.HTTPException) as error:
            faults.append(f"{method}: {error!r}")

    threads = [threading.Thread(target=load, args=kind) for kind in [("GET", None), ("POST", b"y" * 20_000)] * 4]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:
        step()
    for thread in threads:
        thread.join()
    return counts, faults


def test_turning_maintenance_on_and_off_drops_no_request(edge: Edge) -> None:
    def on_and_off() -> None:
        edge.maintain()
        time.sleep(0.1)
        edge.serve()
        time.sleep(0.1)

    counts, faults = under_load(edge, 3, on_and_off)
    print(dict(counts))  # shown by pytest -s
    assert not faults
    assert set(counts) == {(method, status) for method in ("GET", "POST") for status in (200, 503)}


def test_the_clients_do_see_a_dropped_connection(edge: Edge) -> None:
    """The control."""

    def restart() -> None:
        edge.stop()
        edge.start()

    assert under_load(edge, 0.2, restart)[1]


# canary


def test_a_visitor_who_saw_the_new_release_keeps_it_as_the_share_grows(edge: Edge) -> None:
    edge.canary(5)
    cookies: dict[str, str] = {}
    for number in range(300):
        answer = edge.ask()
        cookie = answer[1]["set-cookie"].split(";")[0]
        cookies[cookie] = slot_of(answer)
        if number < 30:
            assert slot_of(edge.ask({"Cookie": cookie})) == slot_of(answer), "the second visit is the first one's"
    assert len(cookies) == 300 and 0 < list(cookies.values()).count("green") < 60
    edge.canary(25)
    grown = {cookie: slot_of(edge.ask({"Cookie": cookie})) for cookie in cookies}
    assert all(grown[cookie] == "green" for cookie, slot in cookies.items() if slot == "green")
    assert 40 < list(grown.values()).count("green") < 120
    edge.canary(100)
    assert {slot_of(edge.ask({"Cookie": cookie})) for cookie in list(cookies)[:50]} == {"green"}
    assert "set-cookie" not in edge.ask()[1]


def test_the_log_line_of_a_canary_names_the_release_that_answered(edge: Edge) -> None:
    edge.canary(40)
    answered = {}
    for _ in range(100):
        body = json.loads(edge.ask()[2])
        answered[body["headers"]["X-Request-Id"]] = body["slot"]
    assert set(answered.values()) == {"blue", "green"}
    for entry in edge.log(lambda entry: entry["id"] in answered, count=100):
        slot = answered[entry["id"]]
        assert (entry["slot"], entry["release"]) == (slot, {"blue": "r1", "green": "r2"}[slot])


def test_the_log_line_of_a_request_that_outlives_the_canary_names_what_answered_it(edge: Edge) -> None:
    edge.canary(50)
    connection = edge.connect()
    cookie = f"{edge_verify.COOKIE}={edge_verify.first_client()}"
    connection.request("GET", "/outlives", headers={CLIENT: VISITOR, "Cookie": cookie, "X-Wait": "0.3"})
    time.sleep(0.1)
    edge.change(edge_record.abort)
    assert json.loads(connection.getresponse().read())["slot"] == "green"
    connection.close()
    (entry,) = edge.log(lambda entry: entry["uri"] == "/outlives")
    assert (entry["slot"], entry["release"]) == ("green", "r2")


def test_a_tester_chooses_between_the_two_slots_that_are_shared_out(edge: Edge) -> None:
    edge.canary(1)
    asked = {}
    for cookie in (None, edge_verify.first_client(), "verify-99"):
        headers = {"Cookie": f"{edge_verify.COOKIE}={cookie}"} if cookie else {}
        for slot in SLOTS:
            answer = edge.ask({**headers, "X-Sluice-Slot": slot})
            assert slot_of(answer) == slot
            assert "set-cookie" not in answer[1], "the choice is for this request alone"
            sent = json.loads(answer[2])["headers"]
            assert "X-Sluice-Slot" not in sent
            asked[sent["X-Request-Id"]] = slot
    for entry in edge.log(lambda entry: entry["id"] in asked, count=6):
        assert entry["slot"] == asked[entry["id"]]


def test_a_tester_does_not_reach_a_slot_that_serves_nobody(edge: Edge) -> None:
    assert slot_of(edge.ask({"X-Sluice-Slot": "green"})) == "blue"
    edge.canary(100)
    assert slot_of(edge.ask({"X-Sluice-Slot": "blue"})) == "green"
    edge.change(edge_record.abort)
    assert slot_of(edge.ask({"X-Sluice-Slot": "green"})) == "blue"


@pytest.mark.parametrize("value", ["", "red", "green, green", "GREEN", "__proto__"])
def test_any_other_value_is_ignored(edge: Edge, value: str) -> None:
    edge.canary(1)
    cookie = {"Cookie": f"{edge_verify.COOKIE}=verify-99"}
    assert edge_verify.bucket("verify-99") > 1
    assert slot_of(edge.ask({**cookie, "X-Sluice-Slot": value})) == "blue"


def test_maintenance_holds_for_testers_too(edge: Edge) -> None:
    edge.canary(50)
    edge.maintain(allow=("192.0.2.7",))
    assert edge.ask({"X-Sluice-Slot": "green"})[0] == 503
    assert slot_of(edge.ask({"X-Sluice-Slot": "green"}, client="192.0.2.7")) == "green"
