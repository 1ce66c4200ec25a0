# SPDX-License-Identifier: Apache-2.0
"""An app's part of the edge's Nginx configuration: pure, the same bytes for the same input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]
Route = Mapping[str, Any]

SLOTS = ("blue", "green")
# The edge closes idle upstream connections before the app does (Node's default is 5 s), so it never writes into one
# that is closing.
UPSTREAM_IDLE_SECONDS = 4


def upstream(app: str, service: str, slot: str) -> str:
    """The name of a slot's upstream; the parts' own names have no '_', so two different slots never share a name."""
    return f"sluice_{app}_{service}_{slot}"


def render_app(live: Manifest | None, new: Manifest, hosts: Mapping[str, str], http_port: int = 80) -> str:
    """The text of /etc/nginx/sluice/<app>.conf: upstreams of both slots, and the routes of the live and the new release.

    ``hosts`` maps app host to private address. Where both releases route the same host and path, the new one's holds.
    """
    releases = [release for release in (live, new) if release is not None]
    app = new["app"]
    blocks: list[str] = []
    for service in sorted({name for release in releases for name in release["services"]}):
        for slot in SLOTS:
            ports = {port for release in releases for port in release["ports"].get(service, {}).get(slot, [])}
            blocks.append(_upstream(upstream(app, service, slot), sorted(hosts.values()), sorted(ports)))
    routes = {(route["host"] or "", route["path"]): route for release in releases for route in release["routes"]}
    for host in sorted({host for host, _ in routes}):
        blocks.append(_server(app, host, [routes[key] for key in sorted(routes) if key[0] == host], http_port))
    body = "\n\n".join(blocks) + "\n"
    mark = hashlib.sha256(body.encode()).hexdigest()[:16]
    return (
        f"# Managed by sluice.stack for app {app}: the next release overwrites what is changed here.\n"
        # Asked for after a reload: the workers that know this value run this configuration.
        f'map "" ${variable(app)} {{ default {mark}; }}\n\n' + body
    )


def variable(app: str) -> str:
    """The Nginx variable that holds the fingerprint of an app's configuration."""
    return f"sluice_config_{app.replace('-', '_')}"


def fingerprint(text: str) -> str:
    """The fingerprint in a rendered configuration; empty when the text is not one."""
    match = re.search(r"^map \"\" \$sluice_config_\w+ \{ default (\w+); \}$", text, re.MULTILINE)
    return match[1] if match else ""


def claims(text: str) -> set[str]:
    """The host names a rendered configuration answers to; ``_`` for any."""
    return set(re.findall(r"^    server_name (\S+);$", text, re.MULTILINE))


def _upstream(name: str, addresses: Sequence[str], ports: Sequence[int]) -> str:
    # A host that fails is left alone for a moment; with one host Nginx ignores this and keeps trying.
    servers = [f"    server {address}:{port} max_fails=2 fail_timeout=5s;" for address in addresses for port in ports]
    return "\n".join(
        [
            f"upstream {name} {{",
            *servers,
            "    keepalive 32;",
            f"    keepalive_timeout {UPSTREAM_IDLE_SECONDS}s;",
            "}",
        ]
    )


def _server(app: str, host: str, routes: Sequence[Route], http_port: int) -> str:
    default = "" if host else " default_server"
    blocks = [block for route in routes for block in _locations(app, route)]
    return "\n".join(
        [
            "server {",
            f"    listen {http_port}{default};",
            f"    listen [::]:{http_port}{default};",
            f"    server_name {host or '_'};",
            f"    set $sluice_app {app};",
            "    include /etc/nginx/sluice/app.inc;",
            *("\n" + block for block in blocks),
            "}",
        ]
    )


def _locations(app: str, route: Route) -> list[str]:
    """The locations of a route: its path and everything below it, and never a name that merely begins like it."""
    path, service = route["path"].rstrip("/"), route["service"]
    result = []
    if route["assets"]:
        result += _assets(app, route["assets"], service)
    if path:
        result.append(_location(f"= {path}", service))
    result.append(_location(f"{path}/", service))
    return result


def _location(match: str, service: str) -> str:
    return "\n".join(
        [
            f"    location {match} {{",
            f"        set $sluice_service {service};",
            "        include /etc/nginx/sluice/proxy.inc;",
            "        proxy_pass http://$sluice_upstream;",
            "    }",
        ]
    )


def _assets(app: str, prefix: str, service: str) -> list[str]:
    """Hashed files: a page opened before a flip asks for its own release's, so a miss is asked from the other slot."""
    other = f"@{app}_{service}_other_slot"
    return [
        "\n".join(
            [
                f"    location {prefix} {{",
                f"        set $sluice_service {service};",
                "        include /etc/nginx/sluice/proxy.inc;",
                "        proxy_intercept_errors on;",
                f"        error_page 404 = {other};",
                "        proxy_pass http://$sluice_upstream;",
                "    }",
            ]
        ),
        "\n".join(
            [
                f"    location {other} {{",
                "        include /etc/nginx/sluice/proxy.inc;",
                # The other slot may be empty: that is a plain 404 to the visitor.
                "        proxy_intercept_errors on;",
                "        error_page 502 504 = @sluice_not_found;",
                "        proxy_pass http://$sluice_other_upstream;",
                "    }",
            ]
        ),
    ]
