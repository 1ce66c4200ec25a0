#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One verdict over the findings of all scanners: SARIF in, a summary and an exit code out.

ci/verdict.py --allow .security-allow.yml --expect npm-audit,gitleaks results/*.sarif

A finding counts when its severity is 7.0 (high) or more, or, where the scanner gives none, when its level is "error".
SECURITY_BLOCKING=false reports the same and lets it pass. A scan that is missing or broken, and an allow list that
cannot be read, never pass: nothing is known then.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import fnmatch
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

HIGH = 7.0


class InputError(Exception):
    """A file that cannot be judged; the message is one line."""


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One result of one scanner."""

    scan: str  # the file's name: npm-audit, gitleaks, …
    rule: str
    path: str
    line: int
    text: str
    counts: bool


@dataclasses.dataclass(frozen=True)
class Allowed:
    """A finding that somebody lets pass until a day, that day included."""

    rule: str
    path: str  # a pattern as in a shell
    until: datetime.date
    why: str
    who: str

    def covers(self, finding: Finding) -> bool:
        """Whether this entry is about the finding."""
        return self.rule == finding.rule and fnmatch.fnmatchcase(finding.path, self.path)


@dataclasses.dataclass
class Verdict:
    """What stops, what was let pass, and what the allow list has to lose."""

    stops: list[Finding] = dataclasses.field(default_factory=list)
    allowed: list[tuple[Finding, Allowed]] = dataclasses.field(default_factory=list)
    noted: list[Finding] = dataclasses.field(default_factory=list)
    expired: list[Allowed] = dataclasses.field(default_factory=list)
    unused: list[Allowed] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing stops."""
        return not self.stops and not self.expired


def findings(scan: str, sarif: Any) -> list[Finding]:
    """The results in one SARIF 2.1.0 log. Raises InputError for what is none, or says that its scan failed."""
    if not isinstance(sarif, dict) or not sarif.get("runs"):
        raise InputError(f"{scan}: no SARIF log with a run in it")
    found = []
    for run in sarif["runs"]:
        if any(one.get("executionSuccessful") is False for one in run.get("invocations") or []):
            raise InputError(f"{scan}: the scanner says that its run failed")
        parts = [run["tool"]["driver"], *(run["tool"].get("extensions") or [])]
        rules = {rule["id"]: rule for part in parts for rule in part.get("rules") or []}
        for result in run.get("results") or []:
            # What the source itself says is no finding, with a reason beside it, is none.
            if result.get("suppressions"):
                continue
            rule_id = result.get("ruleId") or (result.get("rule") or {}).get("id") or "unnamed"
            rule = rules.get(rule_id, {})
            place = ((result.get("locations") or [{}])[0]).get("physicalLocation", {})
            found.append(
                Finding(
                    scan=scan,
                    rule=rule_id,
                    path=place.get("artifactLocation", {}).get("uri", ""),
                    line=place.get("region", {}).get("startLine", 0),
                    text=(result.get("message") or {}).get("text", "").strip().partition("\n")[0][:200],
                    counts=_counts(result, rule),
                )
            )
    return sorted(found)


def _counts(result: dict[str, Any], rule: dict[str, Any]) -> bool:
    severity = {**rule.get("properties", {}), **result.get("properties", {})}.get("security-severity")
    if severity is not None:
        return float(severity) >= HIGH
    level = result.get("level") or rule.get("defaultConfiguration", {}).get("level") or "warning"
    return bool(level == "error")


def allow_list(entries: Any) -> list[Allowed]:
    """Entries as YAML gave them. Raises InputError that names the entry."""
    if not isinstance(entries, list):
        raise InputError("the allow list is no list")
    known = {field.name for field in dataclasses.fields(Allowed)}
    allowed = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) - known:
            raise InputError(f"entry {number} of the allow list: it has rule, path, until, why and who, nothing else")
        one = {"path": "*", **entry}
        missing = [name for name in sorted(known) if not one.get(name)]
        if missing:
            raise InputError(f"entry {number} of the allow list has no {' and no '.join(missing)}")
        if type(one["until"]) is not datetime.date:
            raise InputError(f"entry {number} of the allow list: until is {one['until']!r}, no date such as 2027-01-31")
        texts = {name: str(one[name]) for name in ("rule", "path", "why", "who")}
        allowed.append(Allowed(until=one["until"], **texts))
    return allowed


def judge(found: Iterable[Finding], allowed: list[Allowed], today: datetime.date) -> Verdict:
    """Weigh findings against the allow list."""
    verdict = Verdict(expired=[one for one in allowed if one.until < today])
    used = set()
    for finding in found:
        entry = next((one for one in allowed if one.until >= today and one.covers(finding)), None)
        if entry:
            used.add(entry)
            verdict.allowed.append((finding, entry))
        elif finding.counts:
            verdict.stops.append(finding)
        else:
            verdict.noted.append(finding)
    verdict.unused = [one for one in allowed if one.until >= today and one not in used]
    return verdict


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def summary(verdict: Verdict, blocking: bool) -> str:
    """The verdict for the job's page, in Markdown."""
    word = "passed" if verdict.ok else "FAILED" if blocking else "failed; advisory, so nothing stops"
    lines = [f"### Security: {word}", ""]
    rows = [("stops", one, "") for one in verdict.stops]
    rows += [("allowed", one, f"until {entry.until}, {entry.who}: {entry.why}") for one, entry in verdict.allowed]
    rows += [("noted", one, "") for one in verdict.noted]
    if rows:
        lines += ["| | scan | rule | where | what |", "|---|---|---|---|---|"]
    for kind, one, note in rows:
        where = f"{one.path}:{one.line}" if one.line else one.path
        lines.append(f"| {kind} | {one.scan} | {_cell(one.rule)} | {_cell(where)} | {_cell(note or one.text)} |")
    if rows:
        lines.append("")
    lines += [
        f"- expired on {one.until}: the entry for {one.rule} ({one.who}). Renew it with a reason or remove it."
        for one in verdict.expired
    ]
    lines += [f"- the entry for {one.rule} allows nothing any more; remove it" for one in verdict.unused]
    return "\n".join(lines).rstrip() + "\n"


def read(files: list[Path], expected: list[str]) -> list[Finding]:
    """All findings. Raises InputError when a scan is missing or broken."""
    missing = [name for name in expected if name not in {file.stem for file in files}]
    if missing:
        raise InputError(f"no result of {', '.join(missing)}: the scan did not run, or did not end")
    found = []
    for file in files:
        try:
            found += findings(file.stem, json.loads(file.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} is no SARIF log: {error!r}") from error
    return found


def main(arguments: list[str]) -> int:
    """Judge the files that are named."""
    parser = argparse.ArgumentParser(description="One verdict over SARIF files.")
    parser.add_argument("--allow", type=Path, required=True)
    parser.add_argument("--expect", default="", help="scans that must have left a file, by its name without .sarif")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    blocking = os.environ.get("SECURITY_BLOCKING", "true")
    try:
        if blocking not in ("true", "false"):
            raise InputError(f"SECURITY_BLOCKING is {blocking!r}; true or false")
        found = read(options.files, [name for name in options.expect.split(",") if name])
        try:
            allowed = allow_list(yaml.safe_load(options.allow.read_text()) or [])
        except (OSError, yaml.YAMLError) as error:
            raise InputError(f"{options.allow}: {str(error).splitlines()[0]}") from error
    except InputError as error:
        text, code = f"### Security: unknown\n\n{error}\n", 2
    else:
        verdict = judge(found, allowed, datetime.datetime.now(datetime.UTC).date())
        text = summary(verdict, blocking == "true")
        code = 0 if verdict.ok or blocking == "false" else 1
    print(text)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as stream:
            stream.write(text)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
