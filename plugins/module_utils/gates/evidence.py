# SPDX-License-Identifier: Apache-2.0
"""Read the files of CI. Pure: text in, facts out. They are hostile text; nothing of them is executed, and names are shortened for one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Finding, Limit, Rehearsal, Scan, Suite

LEVELS = ("none", "note", "warning", "error")


class Unreadable(Exception):
    """The file is not what its name says; the message is why."""


def plain(value: Any, most: int = 80) -> str:
    """One printable line of a text from outside."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def junit(file: str, text: str) -> Suite | None:
    """Read test results in JUnit's format, as every test runner writes them; None for another kind of XML. Raises Unreadable."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unreadable("it declares entities, which test results have no use for")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities, see above
    except ElementTree.ParseError as error:
        raise Unreadable(f"it is no XML ({error})") from error
    if root.tag not in ("testsuites", "testsuite"):
        return None
    passed, skipped, failed = 0, 0, []
    for case in root.iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed.append(plain(f"{case.get('classname') or ''}.{case.get('name') or ''}".strip(".")))
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed += 1
    # A suite that broke before its first case has counts only.
    counts = [suite.get(name) or "0" for suite in root.iter("testsuite") for name in ("failures", "errors")]
    if not all(count.isdecimal() for count in counts):
        raise Unreadable("its counts are no numbers")
    counted = sum(map(int, counts))
    if counted > len(failed):
        failed += [f"{counted - len(failed)} that are only counted"]
    return Suite(file, passed, skipped, tuple(failed))


def sarif(file: str, text: str) -> list[Scan]:
    """Read a scanner's results, SARIF 2.1: https://docs.oasis-open.org/sarif/sarif/v2.1.0/. Raises Unreadable."""
    data = _json(text)
    runs = data.get("runs")
    if not isinstance(runs, list) or not runs:
        raise Unreadable("it has no runs")
    try:
        return [_scan(file, run) for run in runs]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise Unreadable(f"it is no SARIF ({type(error).__name__}: {error})") from error


def _rule(tool: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id and the default level of the rule a result breaks: the tool's own or an extension's, named by id or by its place."""
    said = result.get("rule") or {}
    parts = [tool["driver"], *(tool.get("extensions") or [])]
    component = said.get("toolComponent")
    # A place without a component is one among the driver's. One that is named otherwise than by its place makes the file unreadable.
    of = parts[component["index"] + 1] if component else parts[0]
    index = result.get("ruleIndex", said.get("index", -1))
    name = result.get("ruleId") or said.get("id") or ""
    if index >= 0:
        found = [of["rules"][index]]
    else:
        # "a/b" is a special case of the rule "a".
        every = [rule for part in parts for rule in part.get("rules") or []]
        found = [rule for rule in every if rule["id"] == name] or [
            rule for rule in every if name.startswith(f"{rule['id']}/")
        ]
    level = next(((rule.get("defaultConfiguration") or {}).get("level") for rule in found), None)
    return name or (found[0]["id"] if found else ""), level or "warning"


def _scan(file: str, run: Mapping[str, Any]) -> Scan:
    driver = run["tool"]["driver"]
    failed = [one for one in run.get("invocations") or [] if one.get("executionSuccessful") is False]
    if failed or run.get("results") is None:
        raise Unreadable(f"{plain(driver['name'])} did not run to its end")
    findings = []
    for one in run["results"]:
        rule, default = _rule(run["tool"], one)
        level = one.get("level") or default
        silenced = any(item.get("status", "accepted") == "accepted" for item in one.get("suppressions") or [])
        if one.get("kind", "fail") != "fail" or silenced or one.get("baselineState") == "absent":
            continue
        findings.append(
            (level if level in LEVELS else "error", plain(f"{rule}: {(one.get('message') or {}).get('text', '')}"))
        )
    return Scan(file, plain(driver["name"], 40), tuple(findings))


def load_test(file: str, text: str) -> list[Limit]:
    """Read a load test's verdict: what k6 gives to handleSummary, or {"checks": [{"name", "ok"}]}. Raises Unreadable."""
    data, found = _json(text), []
    try:
        if "checks" in data:
            found = [Limit(file, plain(one["name"]), one["ok"]) for one in data["checks"]]
        else:
            found = [
                Limit(file, plain(f"{name} {limit}"), answer["ok"])
                for name, metric in data["metrics"].items()
                for limit, answer in (metric.get("thresholds") or {}).items()
            ]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unreadable("it has neither checks nor metrics with thresholds") from error
    if not found or not all(isinstance(one.ok, bool) for one in found):
        raise Unreadable("it has no limits: a load test without a threshold proves nothing")
    return found


def security(file: str, text: str) -> list[Finding]:
    """Read the report of the security audit, {"checks": [{"name", "host", "state", "severity", …}]}. Raises Unreadable."""
    data = _json(text)
    try:
        found = [
            Finding(
                file,
                plain(f"{one['name']} on {one.get('host') or 'the fleet'}"),
                str(one["state"]),
                str(one["severity"]),
            )
            for one in data["checks"]
        ]
    except (KeyError, TypeError) as error:
        raise Unreadable("it has no checks with name, state and severity") from error
    if not found:
        raise Unreadable("it has no checks")
    return found


def rehearsal(file: str, text: str) -> Rehearsal | None:
    """Read a report of a run; None when it is not of a rehearsal. Raises Unreadable."""
    data = _json(text)
    if data.get("action") != "rehearsal":
        return None
    version = re.sub(r"^\d{8}T\d{6}Z-", "", str(data.get("release")))
    return Rehearsal(file, version, data.get("code") == 0, time_of(data.get("ended")))


def time_of(value: Any) -> float:
    """Return the seconds of the epoch of a time with its zone. Raises Unreadable."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise Unreadable(f"{plain(value, 40)} is no time in ISO 8601") from None
    if found.tzinfo is None:
        raise Unreadable(f"{plain(value, 40)} has no time zone")
    return found.timestamp()


def about(text: str) -> dict[str, str]:
    """Read evidence.json: for which app, version and commit the files were made. Raises Unreadable."""
    data = _json(text)
    return {name: plain(data.get(name) or "", 128) for name in ("app", "version", "commit")}


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON ({plain(error)})") from error
    if not isinstance(data, dict):
        raise Unreadable("it is no JSON object")
    return data
