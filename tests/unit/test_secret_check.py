# SPDX-License-Identifier: Apache-2.0
"""Whether secrets are fit for use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.gates import secret_check
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result
from ansible_collections.sluice.stack.plugins.module_utils.gates.secret_check import Seen

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GOOD = Seen("TOKEN", "vault shop/token, version 2", bits=128.0, fingerprint="aa", created="2026-11-18T00:00:00Z")


def judged(seen: Seen, others: dict[str, dict[str, str]] | None = None, days: float | None = None) -> Result:
    (found,) = secret_check.judge([seen], others or {}, NOW, days)
    return found


def test_a_good_one() -> None:
    assert judged(GOOD) == Result("TOKEN", "ok", "vault shop/token, version 2")
    assert judged(GOOD, {"staging": {"TOKEN": "bb", "OTHER": "aa"}}, 30).evidence.endswith("10 days old")


@pytest.mark.parametrize(
    ("seen", "days", "state", "evidence"),
    [
        (
            Seen("TOKEN", "", "TOKEN cannot be read from vault: sealed"),
            None,
            "failed",
            "TOKEN cannot be read from vault: sealed",
        ),
        (Seen("TOKEN", "the inventory", bits=24.0), None, "failed", "the inventory; about 24 bits, fewer than 60"),
        (GOOD, 9.5, "failed", "vault shop/token, version 2; 10 days old, more than 9.5"),
        (Seen("TOKEN", "env TOKEN", bits=128.0), 30, "unknown", "env TOKEN; its source does not say how old it is"),
    ],
)
def test_what_does_not_pass(seen: Seen, days: float | None, state: str, evidence: str) -> None:
    found = judged(seen, days=days)
    assert (found.state, found.evidence) == (state, evidence)
    assert found.fix


def test_the_value_of_another_environment() -> None:
    found = judged(GOOD, {"staging": {"TOKEN": "aa"}, "dev": {"TOKEN": "cc"}})
    assert (found.state, found.evidence) == ("failed", "vault shop/token, version 2; the same as in staging")


@pytest.mark.parametrize(
    ("value", "strong"),
    [
        ("changeme", False),
        ("passwordpassword", False),
        ("a" * 200, False),
        ("", False),
        ("9f86d081884c7d659a2feaa0c55ad015", True),
        ("correct horse battery staple, twice", True),
        ("postgresql://app:changeme@10.0.0.31:5432/app", False),
        ("postgresql://app:9f86d081884c7d659a2feaa0c55ad015@10.0.0.31:5432/app", True),
        ("redis://:%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41@10.0.0.31/0", False),
    ],
)
def test_strength(value: str, strong: bool) -> None:
    bits = secret_check.strength(value)
    assert bits is not None
    assert (bits >= secret_check.STRONG_BITS) is strong


def test_a_url_without_a_password_has_no_strength() -> None:
    assert secret_check.strength("https://api.example.com/v1") is None
    assert judged(Seen("URL", "the inventory", bits=None)).state == "ok"


def test_a_rotation_says_how_old_it_may_be() -> None:
    own = Seen("TOKEN", "vault", bits=128.0, created=GOOD.created, rotation={"kind": "postgres", "max_age_days": 7})
    found = judged(own, days=30)
    assert (found.state, found.fix) == ("failed", "playbooks/secrets/rotate.yml -e secret=TOKEN")
    assert judged(own).state == "failed"
    assert (
        judged(Seen("TOKEN", "vault", bits=128.0, created=GOOD.created, rotation={"max_age_days": None}), days=30).state
        == "ok"
    )
