# SPDX-License-Identifier: Apache-2.0
"""Wrong input ends a run with one clear line, before any host is contacted.

Each case runs the real playbook as a person does. The hosts of the inventory cannot be reached, so that a run that goes further
than it should is seen; that this would be seen is itself tested first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.dry_run import COMMAND_LINE, FIXTURES, Run, run


def refused(done: Run, message: str) -> None:
    """The run failed with this one line, and no step was begun."""
    assert done.errors == [message], done.output
    assert done.output.splitlines()[-1].endswith(f"Error: {message}"), "the error is the last line"
    assert done.code != 0
    assert not done.reached("fence")
    assert not done.reached("report")
    assert "hunter2" not in done.output


def test_right_input_reaches_the_hosts_and_their_silence_is_one_line_too() -> None:
    done = run("-e", "app_version=v1.0.0")
    assert done.code != 0
    assert done.reached("fence"), done.output
    (last,) = done.errors
    assert last.startswith("deploy failed in step fence: app1, app2, edge1: cannot be reached (")
    assert last.endswith(
        "Nothing was changed. Bring the host back, remove it from the inventory, or exclude it with -e release_exclude_hosts=name."
    )
    assert "hunter2" not in done.output


def test_a_limit_that_names_all_hosts_limits_nothing() -> None:
    assert run("-e", "app_version=v1.0.0", "--limit", "all").reached("fence")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("release_from=nothing.json", "release_from is 'nothing.json': No such file or directory"),
        ("app_version=", "app_version is empty: set the version to deploy with -e app_version=... or in APP_VERSION"),
        ('{"app_version": 1.10}', f"app_version must be a string, not 1.1 {COMMAND_LINE}"),
        ("app_nmae=shop", f"app_nmae is not a variable of the contract: did you mean 'app_name'? {COMMAND_LINE}"),
        ("app_drain_seconds=soon", f"app_drain_seconds must be a number, not 'soon' {COMMAND_LINE}"),
        (
            "docker_host_registeries=[]",
            f"docker_host_registeries is not an input of role docker_host: did you mean 'docker_host_registries'? {COMMAND_LINE}",
        ),
        (
            "release_exclude_host=app2",
            f"release_exclude_host is not an input of a release: did you mean 'release_exclude_hosts'? {COMMAND_LINE}",
        ),
        (
            "release_exclude_hosts=app1,db1",
            "release_exclude_hosts names db1, which is not an edge or app host of the inventory: known: app1, app2, edge1",
        ),
        ("release_action=deplyo", f"release_action is 'deplyo': did you mean 'deploy'? {COMMAND_LINE}"),
        (
            '{"app_secrets": {}}',
            "app_services.web.secrets names TOKEN, which has no value: set app_secrets.TOKEN, from the inventory's vault or another source "
            f"(set in {FIXTURES}/inventory/group_vars/all.yml:5:5)",
        ),
        ('{"app_secrets": "hunter2"}', f"app_secrets must be a map, not a string {COMMAND_LINE}"),
        (
            '{"app_secrets": {"TOKEN": "{{ vault_tokn }}"}}',
            f"app_secrets cannot be resolved: 'vault_tokn' is undefined {COMMAND_LINE}",
        ),
        (
            '{"app_extra": {}}',
            f"app_services cannot be resolved: object of type 'dict' has no attribute 'greeting' (set in {FIXTURES}/inventory/group_vars/all.yml:4:3)",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_its_place(extra: str, message: str) -> None:
    refused(run("-e", "app_version=v1.0.0", "-e", extra), message)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"app_nmae": "shop"},
            "app_nmae is not a variable of the contract: did you mean 'app_name'? (set in {file}:1:11)",
        ),
        (
            {"app_services": {"web": {"image": "registry.test/web", "port": 80, "memry": "1g"}}},
            "app_services.web.memry is not known: did you mean 'memory'? (set in {file}:4:12)",
        ),
        ({"app_services": ["web"]}, "app_services must be a map, not a list (set in {file}:2:1)"),
        (
            {"app_routes": [{"path": "/", "service": "api"}]},
            "app_routes[0].service is 'api': known: web (set in {file}:2:3)",
        ),
        (
            {"app_protection": {"basic_auth": {"team": "STAGING"}}},
            "app_protection.basic_auth.team names STAGING, which has no value: set app_secrets.STAGING from the inventory's vault "
            "(set in {file}:2:3)",
        ),
        (
            {"postgres_databses": []},
            "postgres_databses is not an input of role postgres: did you mean 'postgres_databases'? (set in {file}:1:20)",
        ),
    ],
)
def test_a_wrong_variable_of_the_inventory_is_named_with_file_and_line(
    tmp_path: Path, variables: dict[str, Any], message: str
) -> None:
    (tmp_path / "hosts.yml").write_text("all: {}\n")
    file = tmp_path / "group_vars" / "all.yml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(variables))
    refused(run("-e", "app_version=v1.0.0", more=tmp_path), message.format(file=file))


def test_what_becomes_of_the_data_is_a_word_that_is_known_and_said_by_a_person(tmp_path: Path) -> None:
    refused(
        run("-e", "release_data=restor", playbook="rollback.yml"),
        f"release_data is 'restor': did you mean 'restore'? {COMMAND_LINE}",
    )
    (tmp_path / "hosts.yml").write_text("all: {vars: {release_data: restore}}\n")
    refused(
        run(playbook="rollback.yml", more=tmp_path / "hosts.yml"),
        f"release_data is 'restore': set it on the command line, with -e (set in {tmp_path}/hosts.yml:1:28)",
    )
    (tmp_path / "hosts.yml").write_text("all: {vars: {app_rollback: {data: restore}}}\n")
    refused(
        run(playbook="rollback.yml", more=tmp_path / "hosts.yml"),
        "app_rollback.data is 'restore': run rollback.yml with -e release_data=restore, which first counts the rows that are lost, or with "
        f"-e release_data=forward, which keeps the data (set in {tmp_path}/hosts.yml:1:28)",
    )


def test_a_password_that_is_typed_is_not_there_for_what_a_failed_deploy_would_type(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {vars: {app_rollback: {data: restore, automatic: true}}}\n")
    words = ("-e", "app_version=v1.0.0", "--ask-become-pass")
    refused(
        run(*words, more=tmp_path / "hosts.yml"),
        "app_rollback.automatic is true, but --ask-become-pass prompts for a password, which an automatic restore cannot: use a password file "
        f"or a program (set in {tmp_path}/hosts.yml:1:28)",
    )
    # Where that is not what it would do, nobody minds.
    assert run(*words, "-e", "release_data=forward", more=tmp_path / "hosts.yml").reached("fence")


def test_a_rollback_without_a_word_about_the_data_has_no_task_more_than_it_had() -> None:
    """What a playbook has depends on what it was told."""
    listed = {
        data: run("--list-tasks", *words, playbook="rollback.yml").output
        for data, words in {"plain": (), "restore": ("-e", "release_data=restore"), "do": DO}.items()
    }
    assert listed["plain"].splitlines()[3:] == run("--list-tasks").output.splitlines()[3:]
    assert (
        "Compare" in listed["restore"]
        and "Rewind" not in listed["restore"]
        and "Switch it on every edge" not in listed["restore"]
    )
    assert listed["do"].index("Compare") < listed["do"].index("Switch it on every edge") < listed["do"].index("Rewind")


DO = ("-e", "release_data=restore", "-e", "rollback_confirm=20261122T231500Z-v1.4.2")


@pytest.mark.parametrize(
    ("inventory", "message"),
    [
        ("empty_group", "the inventory has no host in group 'app': add one, or select the right inventory with -i"),
        ("missing_group", "the inventory has no host in group 'edge': add one, or select the right inventory with -i"),
        ("empty", "the inventory has no host in group 'edge': add one, or select the right inventory with -i"),
    ],
)
def test_an_inventory_without_hosts_is_refused(inventory: str, message: str) -> None:
    refused(run("-e", "app_version=v1.0.0", inventory=inventory), message)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--limit", "app1"],
            "--limit app1 would deploy on a part of the fleet: run it without; to exclude lost hosts use -e release_exclude_hosts=name",
        ),
        (["--tags", "flip,confirm"], "--tags confirm,flip would skip steps of the deploy: run it without"),
        (["--skip-tags", "release"], "--skip-tags release would skip steps of the deploy: run it without"),
    ],
)
def test_half_a_run_is_refused(option: list[str], message: str) -> None:
    refused(run("-e", "app_version=v1.0.0", *option), message)


@pytest.mark.parametrize(
    ("playbook", "strategy"),
    [("deploy", "free"), ("rollback", "ansible.builtin.host_pinned"), ("playbooks/app/maintenance", "free")],
)
def test_a_strategy_in_which_hosts_run_ahead_is_refused(playbook: str, strategy: str) -> None:
    refused(
        run("-e", "app_version=v1.0.0", playbook=f"{playbook}.yml", environment={"ANSIBLE_STRATEGY": strategy}),
        f"the strategy {strategy} lets hosts run ahead of each other, but {playbook.rpartition('/')[2]} needs linear: unset ANSIBLE_STRATEGY, or strategy in "
        "ansible.cfg",
    )


def test_the_strategy_by_its_full_name_is_linear_too() -> None:
    assert run("-e", "app_version=v1.0.0", environment={"ANSIBLE_STRATEGY": "ansible.builtin.linear"}).reached("fence")


@pytest.mark.parametrize(
    "option",
    [
        ["--start-at-task", "Plan | Decide what to do"],
        ["--skip-tags", "always"],
    ],
)
def test_a_run_without_its_beginning_cannot_change_anything(option: list[str]) -> None:
    done = run("-e", "app_version=v1.0.0", *option)
    assert done.code != 0
    assert done.errors
    hint = "the run was begun in the middle (--start-at-task, --skip-tags): run the playbook whole"
    assert hint in " ".join(done.output.split())
    assert "UNREACHABLE" not in done.output, "no host may be contacted"


def test_a_step_of_the_plan_cannot_be_started_at() -> None:
    step = "Flip | Send requests to the new release, and ask for it through the edge"
    done = run("-e", "app_version=v1.0.0", "--start-at-task", step)
    assert f'No matching task "{step}" found' in done.output
    assert "UNREACHABLE" not in done.output, "no host may be contacted"


def test_a_rollback_needs_no_version_and_refuses_the_same_mistakes() -> None:
    assert run(playbook="rollback.yml").reached("fence")
    refused(
        run("-e", "release_tos=v1", playbook="rollback.yml"),
        f"release_tos is not an input of a release: did you mean 'release_to'? {COMMAND_LINE}",
    )


def test_production_is_not_seeded_and_what_does_not_say_is_production() -> None:
    seed = ("-e", '{"app_seed": {"service": "web", "command": ["npm", "run", "seed"]}}')
    for extra, why in (
        ((), ", which it is where the inventory does not say otherwise"),
        (("-e", "app_environment=production"), ""),
    ):
        done = run(*seed, *extra, playbook="playbooks/database/seed.yml")
        assert f"seed refused: app_environment is production{why}. Example data" in " ".join(done.output.split())
        assert not done.reached("observe")


def test_a_seed_has_to_be_described() -> None:
    done = run("-e", "app_environment=staging", playbook="playbooks/database/seed.yml")
    assert "app_seed is not set: say with it" in " ".join(done.output.split())
    wrong = '{"app_seed": {"service": "wep", "command": ["true"]}}'
    refused(
        run("-e", wrong, playbook="playbooks/database/seed.yml"),
        f"app_seed.service is 'wep': known: web {COMMAND_LINE}",
    )


PROTECTED = ("-e", '{"environment_name": "production", "environment_protected": true}')


@pytest.mark.parametrize(
    ("playbook", "extra", "action"),
    [
        ("deploy.yml", ("-e", "app_version=v1.0.0"), "deploy"),
        ("rollback.yml", DO, "rollback with data 'restore'"),
        ("playbooks/app/remove.yml", ("-e", "remove_confirm=shop"), "remove"),
        ("playbooks/backup/restore.yml", ("-e", "restore_confirm=x", "-e", "restore_host=app1"), "restore"),
        ("playbooks/backup/files_restore.yml", ("-e", "files_confirm=x", "-e", "files_host=app1"), "restore of files"),
    ],
)
def test_what_may_harm_a_protected_environment_needs_its_name(
    tmp_path: Path, playbook: str, extra: tuple[str, ...], action: str
) -> None:
    protected = {"environment_name": "production", "environment_protected": True, "confirm_environment": "production"}
    (tmp_path / "hosts.yml").write_text("all: {}\n")
    (tmp_path / "group_vars").mkdir()
    # A confirmation in an inventory would confirm everything, so it counts for nothing.
    (tmp_path / "group_vars" / "all.yml").write_text(yaml.safe_dump(protected))
    refused(
        run(*extra, playbook=playbook, more=tmp_path),
        f"{action} in production is refused: this environment is protected. If production is meant, add -e confirm_environment=production",
    )


@pytest.mark.parametrize(
    ("extra", "environment"),
    [
        (("-e", "confirm_environment=production"), {}),
        ((), {"SLUICE_CONFIRM_ENVIRONMENT": "production"}),
        (("--check",), {}),
        (("-e", "environment_deploys=free"), {}),
    ],
)
def test_a_deploy_to_a_protected_environment_that_may_go_on(
    extra: tuple[str, ...], environment: dict[str, str]
) -> None:
    assert run("-e", "app_version=v1.0.0", *PROTECTED, *extra, environment=environment).reached("fence")


def test_a_rollback_of_the_code_needs_no_name_and_a_wrong_variable_is_named() -> None:
    assert run(*PROTECTED, playbook="rollback.yml").reached("fence")
    refused(
        run("-e", "app_version=v1.0.0", "-e", "environment_protectd=true"),
        f"environment_protectd is not a variable of the environment: did you mean 'environment_protected'? {COMMAND_LINE}",
    )


PREVIEW = {"app_preview": {"host": "pr-{number}.test"}}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "app_preview is not set: say in the inventory what a preview is made of"),
        ({**PREVIEW, "preview": "1; id"}, "preview is '1; id': it must be the number of a pull request, 1 to 999999"),
        ({**PREVIEW, "state": "gone"}, "state is 'gone': known: absent, expired, listed, present"),
        (PREVIEW, "preview is '': it must be the number of a pull request, 1 to 999999"),
        (
            {**PREVIEW, "preview": 1, "environment_name": "production", "environment_protected": True},
            "preview in production is refused: this environment is protected. If production is meant, add -e confirm_environment=production",
        ),
    ],
)
def test_a_preview_is_a_number_of_an_app_that_has_some(extra: dict[str, Any], message: str) -> None:
    refused(run("-e", "app_version=v1.0.0", "-e", json.dumps(extra), playbook="playbooks/preview.yml"), message)
