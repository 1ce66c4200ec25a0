# SPDX-License-Identifier: Apache-2.0
"""Unleash's API: what it is asked, and what its refusals become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.flags.unleash import (
    Unleash,
    UnleashAway,
    UnleashDenied,
    UnleashError,
    UnleashMissing,
    UnleashRejected,
)
from ansible_collections.sluice.stack.plugins.modules import feature_flags

from tests.support.unleash import FakeUnleash

EXPORT = "POST /api/admin/features-batch/export"
FLAG = {
    "description": "",
    "type": "release",
    "owner": "payments",
    "expires": "2027-03-01",
    "enabled": True,
    "strategies": [],
    "variants": [],
}


@pytest.fixture
def server() -> Iterator[FakeUnleash]:
    with FakeUnleash() as running:
        running.answers[EXPORT] = (200, {"features": []})
        running.answers["GET /api/admin/environments"] = (
            200,
            {"environments": [{"name": "development"}, {"name": "production"}]},
        )
        yield running


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            (400, {"details": [{"message": "name must be URL friendly"}]}),
            UnleashRejected,
            "does not accept POST /api/admin/features-batch/export: name must be URL friendly",
        ),
        ((409, {"message": "exists"}), UnleashRejected, "exists"),
        ((403, {}), UnleashDenied, "check it, and the route's allow list"),
        ((404, {}), UnleashMissing, "not found"),
        ((500, "<html>"), UnleashAway, "is in trouble"),
        ((302, "https://elsewhere.test/"), UnleashAway, "redirect to https://elsewhere.test/: set the address"),
        ((200, "<html>"), UnleashAway, "something other than JSON: is this Unleash's address?"),
        ((200, {}), UnleashAway, "without features: is this Unleash's address?"),
    ],
)
def test_a_refusal_has_a_type_and_one_line_without_the_token(
    server: FakeUnleash, answer: tuple[int, Any], kind: type[UnleashError], words: str
) -> None:
    server.answers[EXPORT] = answer
    with pytest.raises(kind) as error:
        Unleash(server.url, server.token).export("default", "development")
    assert words in str(error.value) and "\n" not in str(error.value) and server.token not in str(error.value)


def test_one_that_is_away_or_no_address_is_away() -> None:
    for url in ("http://127.0.0.1:9", "flags.example.com", "file:///etc/passwd"):
        with pytest.raises(UnleashAway):
            Unleash(url, "token").features()


def params(server: FakeUnleash, **more: Any) -> dict[str, Any]:
    given = {
        "url": server.url,
        "token": server.token,
        "ca": "",
        "timeout": 2,
        "project": "default",
        "environment": "development",
    }
    return {
        **given,
        "flags": {"payment": FLAG},
        "killed": [],
        "in_code": [],
        "archive": False,
        "only_killed": False,
        **more,
    }


def test_check_mode_only_looks(server: FakeUnleash) -> None:
    result = feature_flags.run(params(server), check_mode=True)
    assert result["changed"] and result["drift"] == ["payment: not in Unleash yet"]
    assert [what for what, _ in server.asked] == ["GET /api/admin/environments", EXPORT]


def test_an_environment_that_unleash_does_not_have_changes_nothing(server: FakeUnleash) -> None:
    with pytest.raises(UnleashMissing) as error:
        feature_flags.run(params(server, environment="develop"), check_mode=False)
    assert (
        str(error.value)
        == f"Unleash at {server.url} has no environment 'develop': did you mean 'development'? (feature_flags_environment)"
    )
    assert [what for what, _ in server.asked] == ["GET /api/admin/environments"]


def test_a_kill_touches_nothing_else(server: FakeUnleash) -> None:
    flags = [{"name": name, "type": "release"} for name in ("payment", "button")]
    on = [{"featureName": name, "enabled": True} for name in ("payment", "button")]
    server.answers[EXPORT] = (200, {"features": flags, "featureEnvironments": on})
    off = "POST /api/admin/projects/default/features/payment/environments/development/off"
    server.answers[off] = (200, None)
    result = feature_flags.run(
        params(server, killed=["payment", "unknown"], only_killed=True, flags={}), check_mode=False
    )
    assert result["changed"] and [what for what, _ in server.asked][-1] == off and len(server.asked) == 3
