# SPDX-License-Identifier: Apache-2.0
"""Chaos experiments: what is refused before a host is touched, and a page that says what the catalogue does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue

from tests.support.dry_run import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "chaos.md"


def promised(promise: catalogue.Promise) -> str:
    """As the page's table has it."""
    if not promise.failed:
        return "*none*"
    return f"{promise.recovers:g} s" if promise.failed >= 100 else f"{promise.failed:g} %"


def test_the_page_has_every_experiment_as_it_is() -> None:
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:-1])
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| `\w+` \| (app|db|edge|cache) \|", line)
    ]
    assert rows == [
        (f"`{one.name}`", one.group, one.what, f"{one.seconds:g}", promised(one.promise))
        for one in catalogue.EXPERIMENTS
    ]


def test_without_a_host_that_answers_nothing_is_begun() -> None:
    done = run(
        "-e", json.dumps({"experiment": "all", "app_chaos": {"enabled": True}}), playbook="playbooks/checks/chaos.yml"
    )
    assert done.code != 0 and not any("Try" in task for task in done.tasks), done.output


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {},
            "shop has not allowed chaos experiments: set app_chaos: {enabled: true} in the inventory of an environment that may be harmed",
        ),
        (
            {"app_chaos": {"enabled": True}, "environment_name": "live", "environment_protected": True},
            "a chaos experiment in live is refused: this environment is protected. If live is meant, add -e confirm_environment=live",
        ),
        (
            {"app_chaos": {"enabled": True}},
            "experiment is not set: run it with -e experiment=NAME or -e experiment=all",
        ),
        ({"app_chaos": {"enabled": "perhaps"}}, "app_chaos.enabled must be true or false, not 'perhaps'"),
        ({"app_chaos": {"skip": ["edge_dwon"]}}, "app_chaos.skip[0] is 'edge_dwon': did you mean 'edge_down'?"),
        (
            {"app_chaos": {"promises": {"flood": {}}}},
            "app_chaos.promises.flood is not a valid name: it must be an experiment",
        ),
        ({"experiment": "{{ 1 }}"}, "experiment is '{{ 1 }}' on the command line: templates are not accepted there"),
    ],
)
def test_wrong_input_is_refused_in_one_line(variables: dict[str, object], message: str) -> None:
    done = run("-e", json.dumps(variables), playbook="playbooks/checks/chaos.yml")
    assert done.code != 0 and any(message in error for error in done.errors), done.output
