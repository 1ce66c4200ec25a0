#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SARIF of scanners that do not write it: npm audit, pip-audit, and the licences in npm's lock files.

ci/to_sarif.py npm-audit backend=FILE frontend=FILE > results/npm-audit.sarif
ci/to_sarif.py pip-audit ci=FILE
ci/to_sarif.py licences backend=backend/package-lock.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# Where a scanner names a grade and no number.
SEVERITY = {"critical": 9.5, "high": 8.0, "moderate": 5.5, "low": 3.0, "info": 0.0}
# What may be part of an image that is given away.
LICENCES = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT", "MIT-0",
    "MPL-2.0", "PostgreSQL", "Python-2.0", "Unlicense",
}  # fmt: skip


def npm_audit(where: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of ``npm audit --json``, one for each advisory and package."""
    if "vulnerabilities" not in report:
        raise ValueError(f"npm audit of {where}: {report.get('message') or report.get('error') or 'no report'}")
    results = []
    for name, entry in sorted(report["vulnerabilities"].items()):
        for via in entry["via"]:
            # A text names the package whose own entry has the advisory.
            if isinstance(via, dict):
                rule = via.get("url", "").rpartition("/")[2] or str(via["source"])
                text = f"{name} {via.get('range', '')}: {via['title']}"
                results.append(_result(rule, f"{where}/package-lock.json", text, SEVERITY[via["severity"]]))
    return results


def pip_audit(where: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of ``pip-audit --format json``, which knows no severity: each counts."""
    return [
        _result(
            vulnerability["id"],
            where,
            f"{one['name']} {one['version']}: {vulnerability['description']}",
            SEVERITY["high"],
        )
        for one in report["dependencies"]
        for vulnerability in one.get("vulns", [])
    ]


def licences(where: str, lock: dict[str, Any]) -> list[dict[str, Any]]:
    """Results for packages of a ``package-lock.json`` under other licences than LICENCES, or under none that it names."""
    results = []
    for path, package in sorted(lock["packages"].items()):
        licence = package.get("license", "")
        if not path or package.get("dev") or package.get("link") or acceptable(licence):
            continue
        name = path.rpartition("node_modules/")[2]
        text = f"{name} {package.get('version')}: licence {licence or 'unknown'}"
        results.append(_result(f"licence:{name}", f"{where}/package-lock.json", text, SEVERITY["high"]))
    return results


def acceptable(licence: str) -> bool:
    """Whether an SPDX expression leaves a choice among LICENCES. Brackets inside one another are not understood: no."""
    plain = re.sub(r"^\((.*)\)$", r"\1", licence.strip())
    if "(" in plain:
        return False
    return any(all(one.strip() in LICENCES for one in choice.split(" AND ")) for choice in plain.split(" OR "))


def _result(rule: str, path: str, text: str, severity: float) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "level": "error" if severity >= SEVERITY["high"] else "warning",
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}}}],
        "properties": {"security-severity": str(severity)},
    }


def sarif(tool: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run."""
    # GitHub takes the severity from the rule.
    rules = {
        one["ruleId"]: {
            "id": one["ruleId"],
            "shortDescription": {"text": one["message"]["text"]},
            "properties": {**one["properties"], "tags": ["security"]},
        }
        for one in results
    }
    driver = {"name": tool, "rules": list(rules.values())}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return {"$schema": schema, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


READERS = {"npm-audit": npm_audit, "pip-audit": pip_audit, "licences": licences}


def main(tool: str, sources: list[str]) -> int:
    """Convert the reports that are named as PLACE=FILE."""
    results = []
    for source in sources:
        where, _, file = source.partition("=")
        try:
            results += READERS[tool](where, json.loads(Path(file).read_text()))
        except (ValueError, KeyError) as error:
            print(f"to_sarif.py: {tool}: {file}: {error}", file=sys.stderr)
            return 1
    print(json.dumps(sarif(tool, results), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
