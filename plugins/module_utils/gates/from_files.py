# SPDX-License-Identifier: Apache-2.0
"""Gates that are judged by the files of CI. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates.evidence import LEVELS
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, UNKNOWN, Result, named, span

Options = Mapping[str, Any]
SEVERITIES = ("low", "medium", "high", "critical")


def _missing(name: str, facts: Facts, kind: str, found: Sequence[Any], what: str) -> Result | None:
    """The result where the files prove nothing about this version; None where they do."""
    seen = facts.evidence
    if seen.fault:
        return Result(name, UNKNOWN, seen.fault, "set app_gate_evidence to the directory with CI's files")
    if not seen.version:
        return Result(
            name,
            UNKNOWN,
            f"{seen.place} does not say which version it is about",
            "write evidence.json: docs/runbooks/checklists.md",
        )
    if seen.version != facts.version or seen.app not in ("", facts.app):
        about = f"{seen.app} {seen.version}".strip()
        return Result(
            name,
            FAILED,
            f"{seen.place} is about {about}, not {facts.version}",
            "take the files of this version's CI run",
        )
    broken = seen.unreadable.get(kind, ())
    if broken:
        return Result(name, UNKNOWN, named(broken), f"have CI write {what} again")
    if not found:
        return Result(name, UNKNOWN, f"{seen.place} has no {what}", f"have CI put {what} there")
    return None


def _of_commit(facts: Facts) -> str:
    return f", commit {facts.evidence.commit[:12]}" if facts.evidence.commit else ""


def tests(facts: Facts, options: Options) -> Result:
    """Every test of this version passed."""
    suites = facts.evidence.suites
    lacking = _missing("tests", facts, "tests", suites, "test results (JUnit XML)")
    if lacking:
        return lacking
    passed, failed = sum(one.passed for one in suites), [name for one in suites for name in one.failed]
    skipped = sum(one.skipped for one in suites)
    if failed:
        return Result(
            "tests",
            FAILED,
            f"{len(failed)} of {passed + len(failed)} failed: {named(failed)}",
            "fix them, and deploy what CI builds then",
        )
    counted = f"{passed} passed, {skipped} skipped, in {len(suites)} files{_of_commit(facts)}"
    if passed < options["least"]:
        return Result("tests", FAILED, f"only {counted}; least is {options['least']}", "find out why so few tests ran")
    return Result("tests", OK, counted)


def scans(facts: Facts, options: Options) -> Result:
    """No scanner found anything of the level, and those that must have run did."""
    found = facts.evidence.scans
    lacking = _missing("scans", facts, "scans", found, "scan results (SARIF)")
    if lacking:
        return lacking
    tools = sorted({one.tool for one in found})
    absent = [tool for tool in options["tools"] if tool.lower() not in (name.lower() for name in tools)]
    if absent:
        return Result(
            "scans", UNKNOWN, f"no results of {', '.join(absent)}, only of {', '.join(tools)}", "have CI run them"
        )
    least = LEVELS.index(options["level"])
    bad = [f"{one.tool}: {text}" for one in found for level, text in one.findings if LEVELS.index(level) >= least]
    if bad:
        return Result(
            "scans", FAILED, f"{len(bad)} findings: {named(bad)}", "fix or suppress them where the scanner reads that"
        )
    below = sum(len(one.findings) for one in found)
    return Result(
        "scans", OK, f"{', '.join(tools)}: none of level {options['level']}, {below} below it{_of_commit(facts)}"
    )


def security(facts: Facts, options: Options) -> Result:
    """The fleet's audit has no open finding of the severity. It is about hosts, not about a version."""
    seen = facts.evidence
    if seen.fault or seen.unreadable.get("security") or not seen.findings:
        why = seen.fault or named(seen.unreadable.get("security", ())) or f"{seen.place} has no security.json"
        return Result("security", UNKNOWN, why, "put the audit's JSON report there as security.json")
    least = SEVERITIES.index(options["severity"])
    bad = [
        one.text
        for one in seen.findings
        # A severity that is not known is taken for the worst.
        if one.state not in (OK, "waived")
        and (one.severity not in SEVERITIES or SEVERITIES.index(one.severity) >= least)
    ]
    if bad:
        return Result(
            "security",
            FAILED,
            f"{len(bad)} open findings of {options['severity']} or above: {named(bad)}",
            "fix them, and audit again",
        )
    return Result("security", OK, f"{len(seen.findings)} checks, none open of {options['severity']} or above")


def load_test(facts: Facts, _unused: Options) -> Result:
    """The load test kept within all of its limits."""
    limits = facts.evidence.limits
    lacking = _missing("load_test", facts, "load_test", limits, "a load test's verdict (load-test.json)")
    if lacking:
        return lacking
    broken = [one.text for one in limits if not one.ok]
    if broken:
        return Result(
            "load_test",
            FAILED,
            f"{len(broken)} of {len(limits)} limits broken: {named(broken)}",
            "make it faster, or agree on another objective",
        )
    return Result("load_test", OK, f"within {named([one.text for one in limits])}")


def migrations(facts: Facts, options: Options) -> Result:
    """This version's migrations were tried on a copy of the data."""
    if not facts.migration:
        return Result("migrations", OK, "the app has no migrations")
    if facts.rehearses:
        return Result("migrations", OK, "the deploy rehearses pending ones first (app_rehearsal.in_deploy)")
    fix = "run playbooks/database/rehearse.yml with this version, and put its JSON report into app_gate_evidence; or set app_rehearsal.in_deploy"
    seen = facts.evidence
    if seen.fault:
        return Result("migrations", UNKNOWN, seen.fault, fix)
    mine = [one for one in seen.rehearsals if one.version == facts.version]
    if not mine:
        others = sorted({one.version for one in seen.rehearsals})
        about = f", only of {', '.join(others)}" if others else ""
        return Result(
            "migrations", UNKNOWN, f"{seen.place} has no report of a rehearsal of {facts.version}{about}", fix
        )
    last = max(mine, key=lambda one: one.ended)
    if not last.ok:
        return Result(
            "migrations", FAILED, f"the last rehearsal failed ({last.file})", "fix the migrations, and rehearse again"
        )
    age = facts.now - last.ended
    if age > options["max_age"]:
        return Result("migrations", FAILED, f"rehearsed {span(age)} ago, more than {span(options['max_age'])}", fix)
    return Result("migrations", OK, f"rehearsed {span(age)} ago ({last.file})")
