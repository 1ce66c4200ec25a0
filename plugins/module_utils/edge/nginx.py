# SPDX-License-Identifier: Apache-2.0
"""An app's part of the edge's Nginx configuration: pure, the same bytes for the same input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.edge.protection import DOTS, NONE, Protection
from ansible_collections.sluice.stack.plugins.module_utils.edge.routes import Manifest, Route, folder, label, table
from ansible_collections.sluice.stack.plugins.module_utils.edge.routes import route as route_of
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import NO_TLS, TLS_SETTINGS, Tls
from ansible_collections.sluice.stack.plugins.module_utils.release.ports import port_numbers

Services = dict[str, str]  # slot → service, "" where the slot's release has none

SLOTS = ("blue", "green")
ANY = "_"  # the name of the server for requests that no host name matches
# The edge closes idle upstream connections before the app does (Node's default is 5 s), so it never writes into one
# that is closing.
UPSTREAM_IDLE_SECONDS = 4
# Idle timeout of a response or WebSocket, in seconds; the same as in app.inc of role nginx.
IDLE_SECONDS = 60
# The largest request body in bytes of a route without a limit, unless role nginx sets nginx_client_max_body_size.
BODY_LIMIT = 20 * 2**20
# Appended to a configuration until the workers confirm it: after a run that died in between, the file differs from the desired
# one, and the next run installs it again.
UNSERVED = "# installed, not confirmed by the workers yet\n"


def upstream(app: str, service: str, slot: str) -> str:
    """Return the name of a slot's upstream; its parts contain no '_', so two slots never share a name."""
    return f"sluice_{app}_{service}_{slot}"


def render_app(
    other: Manifest | None,
    new: Manifest,
    hosts: Mapping[str, str],
    http_port: int = 80,
    slot: str = "blue",
    other_hosts: Mapping[str, str] | None = None,
    tls: Tls = NO_TLS,
    protection: Mapping[str, Any] = NONE,
) -> str:
    """Render /etc/nginx/sluice/<app>.conf: the upstreams of both slots, and each slot's own routes.

    ``new`` is in ``slot``, and the previous release ``other`` in the other one (``new`` without one): a moved route or a changed
    number of replicas takes effect only with the flip. ``hosts`` maps app host to private address; ``other_hosts`` are those that
    hold ``other``, when not all do. ``protection`` is the contract's, and the same for both releases.
    """
    held: dict[str, list[Manifest]] = {one: [new if one == slot or other is None else other] for one in SLOTS}
    there = {one: hosts if other_hosts is None or one == slot else other_hosts for one in SLOTS}
    body = _App(new["app"], held, Hosts(hosts, there), http_port, tls, protection).render()
    mark = hashlib.sha256(body.encode()).hexdigest()[:16]
    return (
        f"# managed by sluice.stack, for app {new['app']}: the next release overwrites changes made here\n"
        # Read after a reload: workers that return this value run this configuration.
        f'map "" ${variable(new["app"])} {{ default {mark}; }}\n\n' + body
    )


def variable(app: str) -> str:
    """Return the Nginx variable that holds the fingerprint of an app's configuration."""
    return f"sluice_config_{_word(app)}"


def fingerprint(text: str) -> str:
    """Return the fingerprint of a rendered configuration; empty for other text."""
    match = re.search(r"^map \"\" \$sluice_config_\w+ \{ default (\w+); \}$", text, re.MULTILINE)
    return match[1] if match else ""


def claims(text: str) -> set[str]:
    """Return the host names of a rendered configuration; ANY for any."""
    return set(re.findall(r"^    server_name (\S+);$", text, re.MULTILINE))


def tls_claims(text: str) -> set[str]:
    """Return the host names of a rendered configuration that have TLS."""
    servers = re.findall(r"^server \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {name for server in servers if f"include {TLS_SETTINGS};" in server for name in claims(server)}


def clash(app: str, text: str, others: Mapping[str, str]) -> str | None:
    """Return why ``app``'s configuration conflicts with the ``others`` (app to text) of one edge, or None.

    Nginx itself uses one of two servers with the same name and only warns.
    """
    for other, config in sorted(others.items()):
        shared = sorted(claims(text) & claims(config)) if other != app else []
        if shared:
            name = "requests for any host name (a route without a host)" if shared[0] == ANY else f"host {shared[0]}"
            return f"app {app} claims {name}, which app {other} already has on this edge: set another app_routes[].host for one of them"
    return None


class Hosts(NamedTuple):
    """App host → address: all hosts, and those that hold each slot's release."""

    all: Mapping[str, str]
    by_slot: Mapping[str, Mapping[str, str]]

    def of(self, slot: str, named: Sequence[str] | None) -> list[str]:
        """Return the hosts of a service with the hosts ``named`` (None: all); those it is meant for when none of them holds it."""
        for hosts in (self.by_slot[slot], self.all):
            found = sorted({address for host, address in hosts.items() if not named or host in named})
            if found:
                return found
        return []


class _App:
    """Renders one app's configuration."""

    def __init__(
        self,
        app: str,
        held: Mapping[str, Sequence[Manifest]],
        hosts: Hosts,
        port: int,
        tls: Tls = NO_TLS,
        protection: Mapping[str, Any] = NONE,
    ) -> None:
        self.app, self.held, self.hosts, self.port, self.tls = app, held, hosts, port, tls
        self.protection = Protection(app, protection)
        self.differing: dict[tuple[str, ...], str] = {}  # services by slot → the variable that selects one

    def render(self) -> str:
        """Render upstreams, then the maps where the slots' routes differ and what protection needs, then servers."""
        hosts = sorted({route["host"] or "" for release in self._releases() for route in release["routes"]})
        servers = [self._server(host) for host in hosts]
        servers += [self._without_tls(host) for host in hosts if host and self.tls.port and not self.tls.of(host)]
        return "\n\n".join([*self._upstreams(), *self._maps(), *self.protection.definitions(), *servers]) + "\n"

    def _releases(self) -> Iterable[Manifest]:
        return (release for slot in SLOTS for release in self.held[slot])

    def _upstreams(self) -> Iterable[str]:
        with_assets = {
            route["service"] for release in self._releases() for route in release["routes"] if route["assets"]
        }
        for service in sorted({name for release in self._releases() for name in release["services"]}):
            for slot in SLOTS:
                release = self.held[slot][-1]
                ports = sorted(port_numbers(release["ports"], service, slot))
                addresses = self.hosts.of(slot, release["services"].get(service, {}).get("hosts"))
                if not ports or not addresses:
                    continue  # no host runs it, and Nginx rejects an upstream without a server
                name = upstream(self.app, service, slot)
                yield self._upstream(name, addresses, ports)
                if service in with_assets:
                    yield self._upstream(f"{name}_other", addresses, ports)

    def _upstream(self, name: str, addresses: Sequence[str], ports: Sequence[int]) -> str:
        hosts = [f"[{address}]" if ":" in address else address for address in addresses]
        # Skip a host that failed twice for a moment: one that does not even refuse connections costs each request 2 s. Not longer,
        # because with all hosts skipped none is left. A single server is never skipped.
        servers = [f"    server {host}:{port} max_fails=2 fail_timeout=5s;" for host in hosts for port in ports]
        return _block(
            f"upstream {name}", [*servers, "    keepalive 32;", f"    keepalive_timeout {UPSTREAM_IDLE_SECONDS}s;"]
        )

    def _server(self, host: str) -> str:
        default = "" if host else " default_server"
        secure = self.tls.of(host)
        listens = [str(self.port), *(self._secure() if secure else [])]
        head = [
            *_listens(f"{listen}{default}" for listen in listens),
            f"    server_name {host or ANY};",
            f"    set $sluice_app {self.app};",
            # First: a request that is sent on to https needs nothing else.
            *([f"    include {TLS_SETTINGS};"] if secure else []),
            "    include /etc/nginx/sluice/app.inc;",
            *([DOTS] if self._evadable(host) else []),
        ]
        return _block("server", [*head, *("\n" + location for location in self._locations(host))])

    def _without_tls(self, host: str) -> str:
        """A name that is to have no TLS gets no handshake: over TLS, requests for any name may be another app's."""
        head = [*_listens(self._secure()), f"    server_name {host};"]
        return _block("server", [*head, "    ssl_reject_handshake on;", "    return 444;"])

    def _secure(self) -> list[str]:
        return [f"{self.tls.port} ssl", *([f"{self.tls.port} quic"] if self.tls.http3 else [])]

    def _locations(self, host: str) -> Iterable[str]:
        """A location for each path and everything below it, and none for a name that merely begins like it."""
        paths, assets = self._paths(host)
        for path in self._evadable(host):
            # Behind prefixes in order, before them in effect, and the app may not mind the case: the same protection.
            bare = re.escape(path.rstrip("/"))
            yield self._location(
                f'~ "^(?!{bare}(?:/|$))(?i:{bare})(?:[/;?#\\x5c]|$)"', host, path, asset=path in assets
            )
        for path in sorted(paths):
            if path != "/":
                # Nginx would redirect the bare path.
                yield self._location(f"= {path.rstrip('/')}", host, path, asset=False)
            yield self._location(path, host, path, asset=path in assets)
        if assets:
            yield _OTHER_SLOT
        if any(self._is_single(self._services(host, path)) for path in paths):
            yield _REPLACED

    def _paths(self, host: str) -> tuple[set[str], set[str]]:
        """Return the paths of a host name that have a location, and those of them with assets."""
        routes = [route for release in self._releases() for route in table(release, host)]
        assets = {folder(route["assets"]) for route in routes if route["assets"]}
        return {folder(route["path"]) for route in routes} | assets, assets

    def _evadable(self, host: str) -> list[str]:
        """Return the paths, longest first, that the same service also answers below a route with another protection.

        It may take ``/ADMIN`` or ``/admin;x`` for ``/admin``, whose location they do not have.
        """
        paths, _unused = self._paths(host)

        def evades(path: str, above: str) -> bool:
            mine, other = self._services(host, path), self._services(host, above)
            same = any(mine[slot] and mine[slot] == other[slot] for slot in SLOTS)
            return same and self.protection.lines(host, path) != self.protection.lines(host, above)

        found = [
            path
            for path in paths
            if any(path != above and path.startswith(above) and evades(path, above) for above in paths)
        ]
        return sorted(found, key=lambda path: (-len(path), path))

    def _location(self, match: str, host: str, path: str, asset: bool) -> str:
        services = self._services(host, path)
        lines = [
            f"        set $sluice_service {self._value(services)};",
            # For the log: what of a request's path is the same for all of them.
            f'        set $sluice_route "{self._label(host, path)}";',
        ]
        if asset:
            lines.append(
                f"        set $sluice_other_service {self._value({'blue': services['green'], 'green': services['blue']})};"
            )
        lines.append("        include /etc/nginx/sluice/proxy.inc;")
        lines += [f"        {line}" for line in _settings([one for one in self._routes(host, path).values() if one])]
        lines += [f"        {line}" for line in self.protection.lines(host, path)]
        # The order matters: 503 when no release is live, then 404 for a path the chosen release lacks.
        lines.append('        if ($sluice_upstream = "") { return 597; }')
        if not all(services.values()):
            lines.append('        if ($sluice_service = "") { return 404; }')
        if asset:
            lines += ["        proxy_intercept_errors on;", "        error_page 404 = @sluice_other_slot;"]
        replaced = self._is_single(services)
        if replaced:
            lines.append("        error_page 502 = @sluice_replaced;")
        if asset or replaced:
            lines.append("        error_page 597 = @sluice_nothing_live;")
            if self.protection.limited(host, path):
                lines.append("        error_page 598 = @sluice_limited;")
        lines.append("        proxy_pass http://$sluice_upstream;")
        return _block(f"    location {match}", lines, "    ")

    def _label(self, host: str, path: str) -> str:
        """Return the name of a location's route; assets belong to the one they are of."""
        found = [one for one in self._routes(host, path).values() if one and folder(one["assets"] or "/") == path]
        return label(host, found[0]["path"] if found else path)

    def _is_single(self, services: Services) -> bool:
        """Whether a location's service is a singleton, which is down while it is replaced."""
        known = [self.held[slot][-1]["services"].get(name) for slot, name in services.items()]
        return any(service and service.get("strategy") == "recreate" for service in known)

    def _services(self, host: str, path: str) -> Services:
        return {slot: route["service"] if route else "" for slot, route in self._routes(host, path).items()}

    def _routes(self, host: str, path: str) -> dict[str, Route | None]:
        return {slot: route_of(self.held[slot], host, path) for slot in SLOTS}

    def _value(self, services: Services) -> str:
        """Return the service of a location, or the variable that selects it by slot where the two releases differ."""
        if len(set(services.values())) == 1:
            return services["blue"] or '""'
        key = tuple(services[slot] for slot in SLOTS)
        return self.differing.setdefault(key, f"$sluice_route_{_word(self.app)}_{len(self.differing)}")

    def _maps(self) -> Iterable[str]:
        for services, name in self.differing.items():
            lines = [f'    {slot} "{service}";' for slot, service in zip(SLOTS, services, strict=True)]
            yield _block(f"map $sluice_slot {name}", lines)


def _listens(listens: Iterable[str]) -> list[str]:
    return [f"    listen {address}{listen};" for listen in listens for address in ("", "[::]:")]


def _settings(routes: Sequence[Route]) -> list[str]:
    """Return the settings of a location that differ from the edge's. While two releases share it, the more generous value counts."""
    lines = []
    idle = max(route.get("timeout", IDLE_SECONDS) for route in routes)
    if idle != IDLE_SECONDS:
        lines += [f"proxy_{what}_timeout {idle}s;" for what in ("read", "send")]
    # None is the edge's own limit, at least its default; 0 is no limit.
    limit = max((route.get("body_limit") for route in routes), key=_generosity)
    if limit is not None:
        lines.append(f"client_max_body_size {limit};")
    if not all(route.get("buffering", True) for route in routes):
        lines += ["proxy_buffering off;", "proxy_request_buffering off;"]
    return lines


def _generosity(limit: int | None) -> float:
    return BODY_LIMIT if limit is None else limit or float("inf")


def _word(app: str) -> str:
    return app.replace("-", "_")  # for names of variables; an app's name contains no '_'


def _block(head: str, lines: Sequence[str], indent: str = "") -> str:
    return "\n".join([f"{head} {{", *lines, f"{indent}}}"])


# A singleton service is down while it is replaced: the request reached no instance, or one that stopped during the response.
_REPLACED = _block(
    "    location @sluice_replaced",
    [
        "        default_type text/plain;",
        "        add_header Retry-After 2 always;",
        '        return 503 "This part is being replaced. Please try again.\\n";',
    ],
    "    ",
)

# Hashed assets: a page opened before a flip requests its own release's files, so a miss is retried in the other slot. When that slot
# is empty or fails, the client gets the 404.
_OTHER_SLOT = _block(
    "    location @sluice_other_slot",
    [
        "        include /etc/nginx/sluice/proxy.inc;",
        '        if ($sluice_other_upstream = "") { return 404; }',
        "        proxy_intercept_errors on;",
        "        error_page 400 401 403 404 405 410 429 500 502 503 504 = @sluice_not_found;",
        "        proxy_pass http://$sluice_other_upstream;",
    ],
    "    ",
)
