# SPDX-License-Identifier: Apache-2.0
"""What keeps clients from an app: limits, networks, passwords. No limit here is given back while the tests run."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge import passwords

from tests.edge.conftest import started
from tests.support.edge import CLIENT, Edge

# Made by htpasswd -nB: what the controller makes needs bcrypt, which this container does not have.
HASH = "$2b$05$xD4YBGdHYm7xWF1OXzuVjenupRl3ej4zdwsjIljkTYjdm/iUYWQYq"
OFFICE, ELSEWHERE = "192.0.2.7", "203.0.113.7"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    secrets = {"STAGING": HASH}
    contract = contracts.resolve(
        {
            "app_name": "shop",
            "app_version": "v1",
            "app_services": {"web": {"image": "registry.test/shop", "port": 8080}},
            "app_secrets": secrets,
            "app_routes": [
                {"service": "web", "assets": "/assets"},
                {"service": "web", "path": "/login", "rate_limit": {"requests": 1, "per": "minute", "burst": 3}},
                {"service": "web", "path": "/few", "connection_limit": 2},
                {
                    "service": "web",
                    "path": "/office",
                    "allow": ["192.0.2.0/24", "2001:db8:a::/48"],
                    "deny": ["192.0.2.66"],
                },
                {"service": "web", "path": "/open", "deny": ["198.51.100.0/24"]},
                {"service": "web", "path": "/staging", "basic_auth": {"team": "STAGING"}},
            ],
        }
    )
    files = passwords.files("shop", contract["protection"], secrets)
    with started(tmp_path_factory.mktemp("edge"), contract=contract, passwords=files) as found:
        yield found


def get(edge: Edge, path: str, client: str = ELSEWHERE, **headers: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", edge.port, timeout=10)
    connection.request("GET", path, headers={CLIENT: client, **headers})
    return connection.getresponse()


def statuses(edge: Edge, path: str, client: str, count: int = 5) -> list[int]:
    return [get(edge, path, client).status for _ in range(count)]


def test_requests_over_the_rate_get_429_and_when_to_come_back(edge: Edge) -> None:
    assert statuses(edge, "/login", "203.0.113.1") == [200] * 3 + [429] * 2
    refused = get(edge, "/login", "203.0.113.1")
    assert (refused.status, refused.headers["Retry-After"], refused.headers["X-Content-Type-Options"]) == (
        429,
        "60",
        "nosniff",
    )
    assert get(edge, "/", "203.0.113.1").status == 200, "other routes are not limited"
    assert get(edge, "/login", "203.0.113.2").status == 200, "nor other clients"
    assert statuses(edge, "/", "203.0.113.1", 50) == [200] * 50


def test_a_password_is_asked_for(edge: Edge) -> None:
    assert get(edge, "/staging").status == 401
    token = base64.b64encode(b"team:geheim").decode()
    assert get(edge, "/staging", Authorization=f"Basic {token}").status == 200


def test_networks(edge: Edge) -> None:
    assert [get(edge, "/office", one).status for one in (OFFICE, ELSEWHERE, "192.0.2.66")] == [200, 403, 403]
