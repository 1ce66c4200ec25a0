# SPDX-License-Identifier: Apache-2.0
"""Suggestions, migration tools, and the engine's errors in words."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import suggest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, engine
from ansible_collections.sluice.stack.plugins.module_utils.migration import files as migration


@pytest.mark.parametrize(
    ("name", "match"),
    [("postgres_databses", "postgres_databases"), ("postgres_host", None), ("postgres_", None), ("x", None)],
)
def test_a_shared_prefix_makes_no_likeness(name: str, match: str | None) -> None:
    known = ["postgres_databases", "postgres_port", "postgres_roles"]
    assert suggest.closest(name, known, "postgres_") == match


def test_without_a_likely_name_the_known_ones_are_listed() -> None:
    assert suggest.did_you_mean("zzz", ["b", "a"]) == "known: a, b"


def test_prisma_is_only_ever_asked_to_deploy() -> None:
    assert migration.command({"engine": "prisma", "command": None}) == ["node_modules/.bin/prisma", "migrate", "deploy"]


def test_a_command_of_ones_own_is_run_as_it_is() -> None:
    assert migration.command({"engine": "command", "command": ["rake", "db:migrate"]}) == ["rake", "db:migrate"]


@pytest.mark.parametrize(
    ("summary", "start"),
    [
        ("manifest unknown: manifest unknown", "not found in registry r:5000: push it"),
        ("errors:\nunauthorized: authentication required", "registry r:5000 rejected the credentials"),
        (
            "Get https://r:5000/v2/: tls: failed to verify certificate: x509: unknown authority",
            "registry r:5000's certificate is not trusted",
        ),
        (
            "Get https://r:5000/v2/: net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
            "registry r:5000 timed out",
        ),
        (
            "proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused",
            "registry r:5000 cannot be reached through the engine's proxy",
        ),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", "registry r:5000 cannot be reached from this host"),
        (
            "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
            "no disk space left where the Docker engine",
        ),
    ],
)
def test_the_engines_errors_say_what_to_do(summary: str, start: str) -> None:
    line = docker_host.explain(Exception(summary), "r:5000")
    assert line.startswith(start)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("nginx", ""),
        ("library/nginx", ""),
        ("localhost/web", "localhost"),
        ("registry.test/web", "registry.test"),
        ("10.0.0.1:5000/shop/web:v1", "10.0.0.1:5000"),
    ],
)
def test_the_registry_of_a_reference(reference: str, registry: str) -> None:
    assert engine.registry_of(reference) == registry


def test_a_reference_by_digest_needs_no_registry() -> None:
    assert docker_host.resolve_digest(None, "registry.test/web@sha256:0123", 1) == {"digest": "sha256:0123"}
