# SPDX-License-Identifier: Apache-2.0
"""What a pipeline hands over is other people's text: a template in it is refused and never filled in.

Each text would make a file when Ansible filled it in; that it would is itself tested.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract.command_line import OF_A_RUN

from tests.support.dry_run import FIXTURES, Run, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """The file that a planted command makes."""
    return tmp_path / "planted"


def template(planted: Path) -> str:
    """Text as a tag's name may be: it has no space in it."""
    return "{{lookup('pipe','touch${IFS}" + str(planted) + "')}}"


def refused(done: Run, name: str, planted: Path) -> None:
    """One line names the variable, nothing was filled in and no task was begun."""
    (line,) = done.errors
    assert line.startswith(f"{name} is ") or f"failed: {name} is " in line, done.output
    assert "on the command line: templates are not accepted there" in line
    assert done.code != 0 and not any("|" in task for task in done.tasks)
    assert not planted.exists()


def test_the_text_does_what_it_says_where_ansible_fills_it_in(planted: Path) -> None:
    """The control: in a variable that is the inventory's own, and may hold templates."""
    run("-e", "app_version=v1.0.0", "-e", json.dumps({"app_extra": {"greeting": template(planted)}}))
    assert planted.exists()


@pytest.mark.parametrize(
    ("playbook", "name"),
    [
        ("deploy.yml", "app_version"),
        ("deploy.yml", "release_exclude_hosts"),
        ("deploy.yml", "release_action"),
        ("rollback.yml", "release_to"),
        ("rollback.yml", "release_data"),
        ("rollback.yml", "rollback_confirm"),
        ("playbooks/app/maintenance.yml", "maintenance_message"),
        ("logs.yml", "logs_service"),
        ("playbooks/backup/restore.yml", "restore_host"),
        ("playbooks/backup/drill.yml", "drill_host"),
        ("playbooks/backup/files_restore.yml", "files_host"),
        ("playbooks/backup/status.yml", "app_name"),
        ("playbooks/app/report.yml", "report_days"),
        ("playbooks/database/promote.yml", "promote_confirm"),
        ("playbooks/database/rejoin.yml", "rejoin_confirm"),
        ("playbooks/monitoring/silence.yml", "silence_reason"),
        ("playbooks/secrets/rotate.yml", "secret"),
    ],
)
def test_a_template_in_a_variable_of_a_run_is_refused(planted: Path, playbook: str, name: str) -> None:
    refused(run("-e", f"{name}={template(planted)}", playbook=playbook), name, planted)


def test_it_is_refused_however_it_is_given(planted: Path) -> None:
    evil = template(planted)
    file = planted.with_suffix(".yml")
    file.write_text(json.dumps({"release_to": ["v1", {"deep": evil}]}))
    statement = "{% set x = lookup('pipe', 'touch " + str(planted) + "') %}"
    header = f"#jinja2:variable_start_string:'[[',variable_end_string:']]'\n[[ lookup('pipe', 'touch {planted}') ]]"
    for option, name in [
        (json.dumps({"app_version": evil}), "app_version"),
        (json.dumps({"app_version": statement}), "app_version"),
        (json.dumps({"app_version": header}), "app_version"),
        (f"@{file}", "release_to"),
    ]:
        refused(run("-e", option), name, planted)


def test_a_value_that_sets_another_variable_is_refused(planted: Path) -> None:
    """A shell hands `-e "app_version=$TAG"` over as one option, whatever spaces the tag has."""
    for also in (
        f"ansible_user={template(planted)}",
        "ansible_ssh_common_args=-oProxyCommand=touch${IFS}" + str(planted),
    ):
        done = run("-e", f"app_version=v1 {also}")
        (line,) = done.errors
        assert f"app_version on the command line sets {also.split('=')[0]} too" in line, done.output
        assert done.code != 0 and not any("|" in task for task in done.tasks) and not planted.exists()


def playbooks() -> list[Path]:
    """The playbooks that a person or a pipeline runs."""
    every = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "playbooks").glob("*/*.yml")]
    return sorted(path for path in every if path.parent.name not in ("parts", "tasks"))


def with_imports(path: Path) -> str:
    """A playbook's text, with that of all it imports."""
    text = path.read_text()
    named = [
        name
        for line in re.findall(r"import_playbook:(.*(?:\n +.*?\.yml.*)*)", text)
        for name in re.findall(r"[\w./]+\.yml", line)
    ]
    return text + "".join(with_imports(path.parent / name) for name in named)


@pytest.mark.parametrize("path", playbooks(), ids=lambda path: path.stem)
def test_every_playbook_looks_at_the_command_line_first(path: Path) -> None:
    assert "lookup('sluice.stack.command_line'" in with_imports(path)


def test_every_variable_that_the_documentation_gives_a_run_is_one() -> None:
    """All else on a command line may hold templates, so a name that is missing is a hole."""
    of_the_inventory = {"redis_maxmemory_mb", "yes"}
    texts = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "playbooks").rglob("*.yml"),
        *(ROOT / "examples").glob("*/*.md"),
    ]
    given = {name for path in texts for name in re.findall(r"-e '?\"?\{?\"?([a-z_]+)\"?[=:]", path.read_text())}
    assert {"app_version", "release_reason", "secret", "silence_host"} <= given
    assert {name for name in given if not OF_A_RUN.fullmatch(name)} - of_the_inventory == set()


@pytest.mark.parametrize(
    ("hostile", "inventory"),
    [("{{ 7 * 7 }}", False), ("{{ 7 * 7 }}", True), ("v1/../..;$(id)\nv2", False), ("x" * 130, True)],
)
def test_the_environment_hands_over_a_version_as_text(tmp_path: Path, hostile: str, inventory: bool) -> None:
    more = tmp_path / "hosts.yml"
    more.write_text("all: {vars: {app_version: \"{{ lookup('env', 'APP_VERSION') }}\"}}\n")
    done = run(environment={"APP_VERSION": hostile}, more=more if inventory else None)
    (line,) = done.errors
    assert line.startswith("app_version is "), done.output
    assert "it must be a tag: letters, digits, '_', '.' and '-'" in line
    assert not done.reached("fence")


def test_a_good_version_is_taken_from_the_environment(planted: Path) -> None:
    assert run(environment={"APP_VERSION": "1.10"}).reached("fence")
    done = run("-e", "app_version=v1/2", environment={"APP_VERSION": "v1"})
    assert "app_version is 'v1/2'" in done.errors[0], "the command line goes first"
    done = run(environment={"APP_VERSION": template(planted)})
    assert "(set in <environment variable APP_VERSION>)" in done.errors[0] and not planted.exists()


def test_an_inventory_may_hold_templates_and_a_map_on_the_command_line_too() -> None:
    assert run("-e", "app_version=v1.0.0", "-e", '{"app_secrets": {"TOKEN": "{{ vault_token }}"}}').reached("fence")
    assert "{{" in (FIXTURES / "inventory" / "group_vars" / "all.yml").read_text()
