# SPDX-License-Identifier: Apache-2.0
"""The rendered configuration of an app: a reader of Nginx's syntax tells which slot's service a request would get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.edge import nginx as edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import (
    clash,
    fingerprint,
    render_app,
    tls_claims,
    variable,
)
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from hypothesis import given
from hypothesis import strategies as st

ROLE = Path(__file__).parents[2] / "roles/nginx"
HOSTS = {"app1": "10.0.0.21", "app2": "10.0.0.22"}


def route(path: str, service: str, host: str | None = None, assets: str | None = None) -> dict[str, Any]:
    return {"host": host, "path": path, "service": service, "verify": path, "assets": assets}


def release(
    *routes: dict[str, Any], app: str = "shop", replicas: int = 1, extra: tuple[str, ...] = ()
) -> dict[str, Any]:
    names = sorted({item["service"] for item in routes} | set(extra))
    ports = {
        name: {
            "blue": [20000 + 100 * i + n for n in range(replicas)],
            "green": [20050 + 100 * i + n for n in range(replicas)],
        }
        for i, name in enumerate(names)
    }
    return {"id": "r", "app": app, "services": {name: {} for name in names}, "routes": list(routes), "ports": ports}


def servers(text: str) -> dict[str, str]:
    """Each server's block by its name."""
    return {
        re.search(r"server_name (\S+);", block)[1]: block
        for block in re.findall(r"^server \{\n.*?^\}", text, re.M | re.S)
    }


def upstream(text: str, name: str) -> list[str]:
    found = re.search(rf"^upstream {name} \{{\n(.*?)^\}}", text, re.M | re.S)
    return re.findall(r"server (\S+) ", found[1]) if found else []


def answers(text: str, host: str, uri: str, slot: str) -> str:
    """The service that answers: what Nginx does with exact and prefix locations, and the map of services by slot."""
    blocks = servers(text)
    block = blocks.get(host) or blocks["_"]
    found = dict(re.findall(r"^    location (= \S+|/\S*) \{\n(.*?)^    \}", block, re.M | re.S))
    prefixes = [name for name in found if not name.startswith("=") and uri.startswith(name)]
    body = found.get(f"= {uri}") or found.get(max(prefixes, key=len, default="")) or ""
    value = re.search(r"set \$sluice_service (\S+);", body)
    if value and value[1].startswith("$"):
        return re.search(rf'^map \$sluice_slot {re.escape(value[1])} \{{\n.*?    {slot} "(\S*)";', text, re.M | re.S)[1]
    return value[1].strip('"') if value else ""


def location(text: str, path: str) -> str:
    found = re.search(rf"^    location {path} \{{\n(.*?)^    \}}", text, re.M | re.S)
    assert found, path
    return found[1]


BOTH = release(route("/", "frontend", assets="/assets/"), route("/api", "backend"))


def test_every_slot_has_an_upstream_with_every_host_and_replica() -> None:
    text = render_app(None, release(route("/", "web"), replicas=2), HOSTS)
    assert upstream(text, "sluice_shop_web_blue") == [
        "10.0.0.21:20000",
        "10.0.0.21:20001",
        "10.0.0.22:20000",
        "10.0.0.22:20001",
    ]
    assert upstream(text, "sluice_shop_web_green") == [
        "10.0.0.21:20050",
        "10.0.0.21:20051",
        "10.0.0.22:20050",
        "10.0.0.22:20051",
    ]


def test_idle_connections_end_before_the_apps_do() -> None:
    text = render_app(None, BOTH, HOSTS)
    assert text.count("    keepalive_timeout 4s;\n") == text.count("upstream sluice_") == 6


def test_an_ipv6_address_is_bracketed() -> None:
    assert upstream(render_app(None, BOTH, {"app1": "fd00::21"}), "sluice_shop_backend_blue") == ["[fd00::21]:20000"]


def test_the_same_input_gives_the_same_bytes() -> None:
    turned = {**BOTH, "routes": BOTH["routes"][::-1], "services": dict(reversed(BOTH["services"].items()))}
    assert render_app(None, turned, dict(reversed(HOSTS.items()))) == render_app(None, BOTH, HOSTS)
    assert render_app(BOTH, BOTH, HOSTS, 80, "green") == render_app(None, BOTH, HOSTS), (
        "nothing differs between the slots"
    )


@pytest.mark.parametrize(
    ("uri", "service"),
    [
        ("/", "frontend"),
        ("/api", "backend"),
        ("/api/x", "backend"),
        ("/apix", "frontend"),
        ("/assets/a.js", "frontend"),
        ("/assetsx", "frontend"),
    ],
)
def test_a_path_holds_what_is_below_it_and_nothing_that_begins_like_it(uri: str, service: str) -> None:
    assert answers(render_app(None, BOTH, HOSTS), "any", uri, "blue") == service


def test_a_route_without_a_host_is_for_every_name() -> None:
    text = render_app(None, release(route("/", "web"), route("/", "admin", "admin.example.com")), HOSTS, 8080)
    assert "    listen 8080 default_server;\n    listen [::]:8080 default_server;\n    server_name _;\n" in text
    assert "    listen 8080;\n    listen [::]:8080;\n    server_name admin.example.com;\n" in text
    assert answers(text, "admin.example.com", "/x", "blue") == "admin"


def test_what_a_host_has_not_is_not_taken_from_another() -> None:
    text = render_app(None, release(route("/", "web", "a.example.com")), HOSTS)
    assert set(servers(text)) == {"a.example.com"} and "default_server" not in text


def test_a_route_that_moves_to_another_service_is_not_felt_before_the_flip() -> None:
    text = render_app(
        release(route("/", "frontend")), release(route("/", "web"), route("/new", "extra")), HOSTS, 80, "green"
    )
    assert [answers(text, "any", uri, "blue") for uri in ("/", "/new", "/new/x")] == ["frontend"] * 3
    assert [answers(text, "any", uri, "green") for uri in ("/", "/new", "/new/x")] == ["web", "extra", "extra"]


def test_a_host_only_one_release_has_answers_as_each_release_would() -> None:
    old, new = release(route("/", "web"), route("/api", "api")), release(route("/", "admin", "admin.example.com"))
    text = render_app(old, new, HOSTS, 80, "green")
    assert answers(text, "admin.example.com", "/x", "blue") == "web"
    assert answers(text, "admin.example.com", "/api", "blue") == "api"
    assert answers(text, "admin.example.com", "/api", "green") == "admin"
    assert answers(text, "any", "/", "green") == "", "the new release has nothing for it"
    assert 'if ($sluice_service = "") { return 404; }' in servers(text)["_"]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_slot_has_the_ports_of_its_own_release_only(before: int, after: int) -> None:
    old, new = release(route("/", "web"), replicas=before), release(route("/", "web"), replicas=after)
    text = render_app(old, new, {"app1": "10.0.0.21"}, 80, "green")
    assert len(upstream(text, "sluice_shop_web_blue")) == before
    assert len(upstream(text, "sluice_shop_web_green")) == after


def test_a_miss_is_asked_from_the_other_slot_and_does_not_count_against_it() -> None:
    text = render_app(None, BOTH, HOSTS)
    location = re.search(r"    location /assets/ \{\n(.*?)\n    \}", text, re.S)[1]
    assert "error_page 404 = @sluice_other_slot;" in location and "set $sluice_other_service frontend;" in location
    assert upstream(text, "sluice_shop_frontend_green_other") == upstream(text, "sluice_shop_frontend_green")
    assert not upstream(text, "sluice_shop_backend_green_other"), "only services with assets are asked"


def test_a_miss_finds_the_other_releases_service_when_it_was_renamed() -> None:
    old, new = release(route("/", "frontend", assets="/assets/")), release(route("/", "web", assets="/assets/"))
    location = re.search(r"    location /assets/ \{\n(.*?)\n    \}", render_app(old, new, HOSTS, 80, "green"), re.S)[1]
    own, other = (re.search(rf"set \$sluice_{name} (\S+);", location)[1] for name in ("service", "other_service"))
    assert own != other and own.startswith("$") and other.startswith("$")


def test_two_routes_may_share_their_assets() -> None:
    text = render_app(
        None, release(route("/", "web", assets="/assets/"), route("/admin", "web", assets="/assets")), HOSTS
    )
    assert len(re.findall(r"location /assets/ \{", text)) == 1
    assert text.count("location @sluice_other_slot {") == 1


def test_a_service_that_runs_nowhere_yet_has_no_empty_upstream() -> None:
    worker = release(route("/", "web"), extra=("worker",))
    worker["ports"]["worker"] = {"blue": [], "green": []}
    assert "worker" not in render_app(None, worker, HOSTS)
    assert "upstream" not in render_app(None, BOTH, {}).replace("$sluice_upstream", "").replace(
        "$sluice_other_upstream", ""
    )


def test_names_cannot_run_into_each_other() -> None:
    names = {edge_nginx.upstream(app, service, "blue") for app, service in [("a", "b-c"), ("a-b", "c"), ("a", "b")]}
    assert len(names) == 3
    assert {variable("my-shop"), variable("my"), variable("shop")} == {
        "sluice_config_my_shop",
        "sluice_config_my",
        "sluice_config_shop",
    }


def test_the_fingerprint_tells_configurations_apart() -> None:
    one, other = render_app(None, BOTH, HOSTS), render_app(None, BOTH, {"app1": "10.0.0.21"})
    assert fingerprint(one) and fingerprint(one) != fingerprint(other)
    assert fingerprint("server {}") == ""
    assert fingerprint(one + edge_nginx.UNSERVED) == fingerprint(one)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            None,
            "app blog claims requests for any host name (a route without a host), which app shop already has on this edge",
        ),
        ("a.example.com", "app blog claims host a.example.com, which app shop already has on this edge"),
    ],
)
def test_two_apps_cannot_have_the_same_name(host: str | None, message: str) -> None:
    shop = render_app(None, release(route("/", "web"), route("/", "web", "a.example.com")), HOSTS)
    blog = render_app(None, release(route("/blog", "web", host), app="blog"), HOSTS)
    assert str(clash("blog", blog, {"shop": shop, "blog": blog})).startswith(message)
    assert clash("shop", shop, {"shop": shop}) is None


def test_two_apps_with_names_of_their_own_live_together() -> None:
    shop = render_app(None, release(route("/", "web", "a.example.com")), HOSTS)
    blog = render_app(None, release(route("/", "web", "b.example.com"), app="blog"), HOSTS)
    assert clash("blog", blog, {"shop": shop}) is None
    defined = re.findall(r"^(?:upstream (\S+)|map \S+ (\S+)) \{", shop + blog, re.M)
    assert len(defined) == len(set(defined))


paths = st.sampled_from(["/", "/api", "/api/v1", "/apix", "/assets", "/a"])
tables = st.dictionaries(paths, st.sampled_from(["web", "api", "site"]), min_size=1)


@given(tables, tables, st.sampled_from(["/", "/api", "/api/", "/api/v1/x", "/apix", "/assets/x", "/a", "/none"]))
def test_each_slot_answers_as_if_its_release_were_alone(old: dict[str, str], new: dict[str, str], uri: str) -> None:
    first, second = (release(*(route(path, name) for path, name in table.items())) for table in (old, new))
    text = render_app(first, second, HOSTS, 80, "green")
    assert answers(text, "any", uri, "blue") == answers(render_app(None, first, HOSTS), "any", uri, "blue")
    assert answers(text, "any", uri, "green") == answers(render_app(None, second, HOSTS), "any", uri, "green")


def test_a_route_may_be_silent_for_longer_and_only_it() -> None:
    patient = {**route("/live", "backend"), "timeout": 900}
    text = render_app(None, release({**route("/", "frontend"), "timeout": 60}, patient), HOSTS)
    for path in ("/live/", "= /live"):
        assert "proxy_read_timeout 900s;" in location(text, path) and "proxy_send_timeout 900s;" in location(text, path)
    assert text.count("_timeout 900s;") == 4 and "proxy_read_timeout" not in location(text, "/")


@pytest.mark.parametrize(("old", "new"), [(900, 5), (5, 900), (900, None), (None, 900)])
def test_while_two_releases_share_a_path_the_longer_silence_holds(old: int | None, new: int | None) -> None:
    """``None``: a release from before there was such a setting."""
    held = [{**route("/", "web"), **({"timeout": seconds} if seconds else {})} for seconds in (old, new)]
    assert "proxy_read_timeout 900s;" in location(render_app(release(held[0]), release(held[1]), HOSTS), "/")


def settings(*routes: dict[str, Any]) -> list[str]:
    """What the location / has of its own, while each of the routes is of another slot."""
    slots = [release({**route("/", "web"), **one}) for one in routes]
    text = render_app(slots[0] if len(slots) > 1 else None, slots[-1], HOSTS, 80, "green")
    return re.findall(r"^        ((?:client_max|proxy_.*buffering).*);$", location(text, "/"), re.M)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([None], None),
        ([50], "50"),
        ([0], "0"),
        ([50 * 2**20, None], "52428800"),
        ([None, 5], None),
        ([5, 3], "5"),
        ([0, 50], "0"),
    ],
)
def test_while_two_releases_share_a_route_neither_loses_what_it_may_be_sent(
    limits: list[int | None], expected: str | None
) -> None:
    for order in (limits, limits[::-1]):
        found = settings(*({"body_limit": limit} for limit in order))
        assert found == ([f"client_max_body_size {expected}"] if expected else [])


def test_a_route_is_unbuffered_both_ways_as_soon_as_one_release_wants_it() -> None:
    off = ["proxy_buffering off", "proxy_request_buffering off"]
    assert settings({}) == settings({"buffering": True}) == []
    assert (
        settings({"buffering": False})
        == settings({}, {"buffering": False})
        == settings({"buffering": False}, {})
        == off
    )


def test_the_role_has_the_same_limit_for_all_other_routes() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert defaults["nginx_client_max_body_size"] == f"{edge_nginx.BODY_LIMIT // 2**20}m"


def test_the_role_has_the_same_silence_for_all_other_routes() -> None:
    text = (ROLE / "files/app.inc").read_text()
    assert set(re.findall(r"^proxy_(?:read|send)_timeout (\d+)s;$", text, re.M)) == {str(edge_nginx.IDLE_SECONDS)}


def test_a_host_name_has_tls_and_any_name_has_not() -> None:
    routes = [route("/", "web"), route("/", "web", "a.example.com"), route("/", "web", "off.example.com")]
    tls = Tls(8443, http3=True, hosts={"off.example.com": {"source": "none"}})
    text = render_app(None, release(*routes), HOSTS, 8080, tls=tls)
    assert tls_claims(text) == {"a.example.com"}
    server = re.search(r"server \{\n([^}]*server_name a\.example\.com;.*?)\n\n", text, re.S)[1]
    listens = re.findall(r"listen (.*);", server)
    assert listens == ["8080", "[::]:8080", "8443 ssl", "[::]:8443 ssl", "8443 quic", "[::]:8443 quic"]
    assert server.index("tls.inc") < server.index("app.inc"), "a redirect comes before the slot is chosen"
    refused = re.search(r"server \{\n([^}]*8443[^}]*server_name off\.example\.com;[^}]*)\}", text)[1]
    assert "ssl_reject_handshake on;" in refused and "8080" not in refused and "proxy_pass" not in refused
    assert text.count("8443") == 8


def test_any_name_has_tls_when_there_is_a_certificate_for_it() -> None:
    def claimed(default: dict[str, str], source: str = "none") -> set[str]:
        tls = Tls(8443, source=source, hosts={"default": default})
        return tls_claims(render_app(None, release(route("/", "web")), HOSTS, 8080, tls=tls))

    assert claimed({"source": "files"}) == {"_"} == claimed({}, source="self_signed")
    assert claimed({"source": "none"}) == set() == claimed({})
    text = render_app(None, release(route("/", "web")), HOSTS, 8080, tls=Tls(8443, hosts={"default": {}}))
    assert "listen 8443 ssl default_server;" in text and "listen [::]:8080 default_server;" in text


def test_without_tls_nothing_changes() -> None:
    text = render_app(None, release(route("/", "web", "a.example.com")), HOSTS)
    assert tls_claims(text) == set() and "ssl" not in text
    assert fingerprint(text) != fingerprint(
        render_app(None, release(route("/", "web", "a.example.com")), HOSTS, tls=Tls(443))
    )
