# SPDX-License-Identifier: Apache-2.0
"""The stores' logs against the ledgers: each access is explained by one thing that one run did."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.rotation import audit, store_logs

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REFERENCES = {
    "JWT_SECRET": {"vault": "shop/jwt", "key": "value", "mount": None, "version": None},
    "OTHER": {"vault": "shop/other", "key": None, "mount": "kv", "version": None},
    "DATABASE_URL": {"aws": "shop/database", "key": "url", "stage": "AWSCURRENT"},
}
PATHS, NAMES = store_logs.places(REFERENCES, "secret")


def vault_line(path: str, operation: str = "read", **more: Any) -> str:
    """A line as OpenBao 2.7 writes it, shortened."""
    return json.dumps(
        {
            "time": "2026-11-22T12:00:00.123456789Z",
            "type": "response",
            "auth": {"display_name": "approle", "metadata": {"role_name": "deploy"}, "policies": ["default", "deploy"]},
            "request": {"id": "one", "operation": operation, "path": path, "remote_address": "10.0.0.5"},
            "response": {"data": {"data": {"value": "hmac-sha256:ab"}, "metadata": {"version": 7}}},
            **more,
        }
    )


def aws_record(name: str, asked: str = "shop/database", **more: Any) -> dict[str, Any]:
    """A record as AWS documents it, shortened."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::123456789012:assumed-role/deploy/sluice"},
        "eventTime": "2026-11-22T12:00:00Z",
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": name,
        "sourceIPAddress": "192.0.2.7",
        "requestParameters": {"secretId": asked},
        "responseElements": None,
        **more,
    }


def did(
    action: str = "read", name: str = "JWT_SECRET", place: str = "vault shop/jwt, key value, version 7", run: str = "r1"
) -> dict[str, Any]:
    """A ledger's entry of a run that read or wrote."""
    done = {"from": (NOON - timedelta(seconds=1)).isoformat(), "to": NOON.isoformat(), "secrets": {name: place}}
    return {"run_id": run, "who": "ops", {"read": "read", "write": "wrote"}[action]: [done]}


def compared(lines: list[str], entries: list[dict[str, Any]], known: tuple[str, ...] = ()) -> list[str]:
    """What is known of each event."""
    report = audit.compare(store_logs.vault(lines, PATHS), audit.recorded(entries), known, 5)
    return [line.state for line in report.lines]


def test_a_read_of_a_run_is_explained() -> None:
    assert compared([vault_line("secret/data/shop/jwt")], [did()]) == ["run"]


def test_each_entry_of_a_run_counts_once() -> None:
    assert compared([vault_line("secret/data/shop/jwt")] * 2, [did(), did()]) == ["run", "UNKNOWN"]


@pytest.mark.parametrize(
    "line",
    [
        vault_line("secret/data/shop/jwt", time="2026-11-22T12:00:07Z"),
        vault_line("secret/data/shop/jwt", response={"data": {"metadata": {"version": 6}}}),
        vault_line("kv/data/shop/other"),
        vault_line("secret/data/shop/jwt", "update"),
        vault_line("secret/data/shop/jwt", error="permission denied"),
    ],
    ids=["later", "another version", "another secret", "a change", "denied"],
)
def test_what_a_run_did_not_do_is_flagged(line: str) -> None:
    assert compared([line], [did()]) == ["UNKNOWN"]


def test_somebody_known_needs_no_run() -> None:
    line = vault_line("secret/data/shop/jwt", auth={"display_name": "ldap-ada"})
    assert compared([line], [], ("ldap-*",)) == ["known"]
    assert compared([line], [], ("oidc-*",)) == ["UNKNOWN"]


def test_a_change_by_a_rotation_is_explained() -> None:
    line = vault_line("secret/data/shop/jwt", "create", response={"data": {"version": 8}})
    assert compared([line], [did("write", place="vault shop/jwt, key value, version 8")]) == ["run"]


def test_a_mount_may_be_named_or_not() -> None:
    assert compared([vault_line("kv/data/shop/other")], [did(place="vault kv/shop/other, version 7")]) == ["run"]
    assert compared([vault_line("secret/data/shop/jwt")], [did(place="vault secret/shop/jwt, version 7")]) == ["run"]


def test_requests_and_other_secrets_are_no_events() -> None:
    lines = [
        vault_line("secret/data/shop/jwt", type="request"),
        vault_line("secret/data/elsewhere/shop/jwt2"),
        vault_line("auth/approle/login", "update"),
        "not about the app's secrets at all",
    ]
    assert store_logs.vault(lines, PATHS) == []


def test_a_torn_line_is_named() -> None:
    with pytest.raises(store_logs.LogError, match="line 2 of the audit log is no JSON"):
        store_logs.vault([vault_line("secret/data/shop/jwt"), '{"path": "secret/data/shop/jwt", '], PATHS)


def test_what_no_log_has_is_told() -> None:
    report = audit.compare([], audit.recorded([did()]), (), 5)
    assert [one.secret for one in report.missing] == ["JWT_SECRET"]
    assert (
        audit.table(report)[-1] == "not in the stores' logs: run r1 of ops, read of JWT_SECRET at 2026-11-22 11:59:59"
    )


@pytest.mark.parametrize(
    "asked", ["shop/database", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/database-a1B2c3"]
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_cloudtrail(asked: str, wrapped: bool) -> None:
    records = [
        aws_record("GetSecretValue", asked),
        aws_record("PutSecretValue", asked, responseElements={"versionId": "v2"}),
        aws_record("GetSecretValue", asked, errorCode="AccessDenied"),
        aws_record("GetSecretValue", "another/secret"),
        aws_record("DescribeSecret", asked),
        {**aws_record("GetSecretValue", asked), "eventSource": "kms.amazonaws.com"},
    ]
    given = {"Events": [{"CloudTrailEvent": json.dumps(one)} for one in records]} if wrapped else {"Records": records}
    found = store_logs.cloudtrail(json.dumps(given), NAMES)
    assert [(one.action, one.version) for one in found] == [("read", ""), ("write", "v2"), ("denied", "")]
    place = "aws shop/database, key url, version v1"
    report = audit.compare(found, audit.recorded([did(name="DATABASE_URL", place=place)]), (), 5)
    assert [line.state for line in report.lines] == ["run", "UNKNOWN", "UNKNOWN"]
    assert "assumed-role/deploy" in audit.table(report)[1]


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_another_file_is_no_cloudtrail_log(text: str) -> None:
    with pytest.raises(store_logs.LogError, match="no CloudTrail log"):
        store_logs.cloudtrail(text, NAMES)
