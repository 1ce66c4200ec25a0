# SPDX-License-Identifier: Apache-2.0
"""The protection of an app's paths as Nginx directives. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.passwords import file_name
from ansible_collections.sluice.stack.plugins.module_utils.edge.routes import route
from ansible_collections.sluice.stack.plugins.module_utils.paths import EDGE_CONFIGS

Rule = Mapping[str, Any]  # rate_limit, connection_limit, allow, deny, basic_auth

NONE: Mapping[str, Any] = MappingProxyType({})
# 4 MiB hold some 30,000 clients that were there in the last minute. When it is full, Nginx forgets the oldest client of a rate limit; of a
# connection limit it refuses further ones, but 30,000 with a request at the same moment are more than an edge has connections for.
ZONE = "4m"
_SECONDS = {"second": 1, "minute": 60}
# What a browser never sends and Nginx resolves before it chooses a location: the app, which gets the path as it was sent, could see another one.
DOTS = "\n".join(
    [
        '    if ($request_uri ~* "^[^?]*(?:/|%2f)(?:\\.|%2e){1,2}(?:[/?;]|%2f|$)") {',
        "        return 400;",
        "    }",
    ]
)


class Protection:
    """The rules of an app, and the definitions that the rendered ones need."""

    def __init__(self, app: str, given: Mapping[str, Any] = NONE) -> None:
        self.app = app
        self._default: Rule = given.get("default", {})
        self._rules = [{"routes": given.get("routes", [])}]
        self._definitions: dict[str, str] = {}

    def rule(self, host: str, path: str) -> tuple[str, Rule]:
        """Return the rule of a path, and the name of what it counts: its route, or the closest one above."""
        found = route(self._rules, host, path)
        return (f"{found['host'] or ''}{found['path']}", found) if found else ("", self._default)

    def definitions(self) -> list[str]:
        """Return what the lines so far refer to."""
        return [text for _unused, text in sorted(self._definitions.items())]

    def lines(self, host: str, path: str) -> list[str]:
        """Return the directives of a location, without indentation."""
        where, rule = self.rule(host, path)
        return [*self._networks(rule), *self._limits(where, rule), *self._users(rule)]

    def limited(self, host: str, path: str) -> bool:
        """Return whether a location has limits, and answers 429."""
        _unused, rule = self.rule(host, path)
        return bool(rule.get("rate_limit") or rule.get("connection_limit"))

    def _networks(self, rule: Rule) -> list[str]:
        allow, deny = rule.get("allow") or [], rule.get("deny") or []
        if not allow and not deny:
            return []
        name = f"{self.app.replace('-', '_')}_{_digest(allow, deny)}"
        # Nginx takes the smallest network that has the address.
        body = [
            f"    default {1 if allow else 0};",
            *(f"    {one} 0;" for one in allow),
            *(f"    {one} 1;" for one in deny),
        ]
        self._definitions[f"networks {name}"] = "\n".join(
            [
                f"geo $sluice_refused_{name} {{",
                *body,
                "}",
                f'map $sluice_own$sluice_refused_{name} $sluice_denied_{name} {{ 1 1; default ""; }}',
            ]
        )
        return [f"if ($sluice_denied_{name}) {{ return 403; }}"]

    def _limits(self, where: str, rule: Rule) -> list[str]:
        rate, connections = rule.get("rate_limit"), rule.get("connection_limit")
        if not rate and not connections:
            return []
        lines, wait, name = [], 1, f"{self.app}_{_digest(where)}"
        if rate:
            per = rate["per"]
            self._definitions[f"rate {name}"] = (
                f"limit_req_zone $sluice_client zone=sluice_rate_{name}:{ZONE} rate={rate['requests']}r/{per[0]};"
            )
            wait = -(-_SECONDS[per] // rate["requests"])
            # Nginx counts those above the first.
            burst = f" burst={rate['burst'] - 1} nodelay" if rate["burst"] > 1 else ""
            # The rate again, so that a changed one is a changed location.
            lines.append(f"limit_req zone=sluice_rate_{name}{burst};  # {rate['requests']}r/{per[0]}")
        if connections:
            self._definitions[f"connections {name}"] = (
                f"limit_conn_zone $sluice_client zone=sluice_connections_{name}:{ZONE};"
            )
            lines.append(f"limit_conn sluice_connections_{name} {connections};")
        return [f"set $sluice_wait {wait};", *lines]

    def _users(self, rule: Rule) -> list[str]:
        users = rule.get("basic_auth")
        if not users:
            return []
        versions = " ".join(f"{user}:{item['version']}" for user, item in sorted(users.items()))
        return [
            # Another password is another configuration, so that the plan has it.
            f"# {versions}",
            "auth_basic $sluice_realm;",
            f"auth_basic_user_file {EDGE_CONFIGS}/{file_name(self.app, users)};",
            # The edge's, not the app's.
            'set $sluice_authorization "";',
        ]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
