# SPDX-License-Identifier: Apache-2.0
"""An alert, and its rule in Prometheus's form. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Rule = dict[str, Any]

# A page wakes somebody; a ticket waits for the morning. The dead man's switch is neither.
PAGE, TICKET, NONE = "page", "ticket", "none"
SEVERITIES = (PAGE, TICKET)
# Each alert has an entry of its name there.
RUNBOOKS = "https://github.com/sluice-stack/sluice/blob/main/docs/runbooks/alerts.md"


@dataclass(frozen=True)
class Alert:
    """``expr`` and ``description`` may name the ``{threshold}``; Prometheus fills in its own ``{{ }}``."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    hold: str = "0s"  # how long it must be true
    threshold: float | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def rule(self, runbooks: str = RUNBOOKS) -> Rule:
        """Return the rule."""
        return {
            "alert": self.name,
            "expr": self._filled(self.expr),
            **({"for": self.hold} if self.hold != "0s" else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self._filled(self.summary),
                "description": self._filled(self.description),
                "runbook_url": f"{runbooks}#{self.name.lower()}",
            },
        }

    def _filled(self, text: str) -> str:
        return text if self.threshold is None else text.replace("{threshold}", f"{self.threshold:g}")
