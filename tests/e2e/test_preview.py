# SPDX-License-Identifier: Apache-2.0
"""A preview: an app of its own with a scrubbed copy of the data, up and away in one command each, and nobody else's concern."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.test_several_apps import files
from tests.support.lab import APP_HOSTS, QUICK, STATE, Lab
from tests.support.playbook import Run

NUMBER, OTHER = 4711, 4712
NAME, DATABASE = f"marketplace-pr-{NUMBER}", f"marketplace_preview_{NUMBER}"
HOST = {"Host": f"pr-{NUMBER}.test"}
SECRET = "a letter to nobody else"
HOSTS = ("edge1", *APP_HOSTS)


def preview(lab: Lab, *extra: str, number: int = NUMBER) -> Run:
    return lab.playbook("playbooks/preview", "-e", f"preview={number}", *extra)


def sql(lab: Lab, query: str, database: str = "postgres") -> str:
    return lab.on("db1", "runuser", "-u", "postgres", "--", "psql", "-AtX", "-d", database, "-c", query).strip()


def traces(lab: Lab, number: int = NUMBER) -> dict[str, str]:
    """Whatever of a preview is left on the hosts and in the cluster."""
    name = f"marketplace-pr-{number}"
    mine = f"--filter label=stack.sluice.app={name}"
    script = (
        f"(docker ps -aq {mine}; docker network ls -q {mine}) 2>/dev/null; ls -d {STATE}/apps/{name} /var/lib/sluice-edge/{name}.json "
        f"/etc/nginx/sluice/{name}.conf {STATE}/removed/{name}.jsonl 2>/dev/null; grep -o '\"{name}/[^\"]*' {STATE}/ports.json"
    )
    found = {host: lab.shell(host, script, check=False).strip() for host in HOSTS}
    like = f"like 'marketplace\\_preview\\_{number}'"
    found["db1"] = sql(
        lab,
        f"select datname from pg_database where datname {like} union all select rolname from pg_roles where rolname {like}",
    )
    return found


def connects(lab: Lab, database: str) -> bool:
    """Whether the preview's role may connect to a database from where the preview runs."""
    program = (
        "const url = new URL(process.env.DATABASE_URL); url.pathname = process.argv[1]; "
        "new (require('pg').Client)({connectionString: url.href}).connect().then(() => console.log('in'), (error) => console.log(error.code))"
        ".finally(() => process.exit())"
    )
    mine = f"--filter label=stack.sluice.app={NAME} --filter label=stack.sluice.service=backend"
    ids = lab.shell("app1", f"docker ps -q {mine}").split()
    said = lab.on("app1", "docker", "exec", ids[0], "node", "-e", program, database).strip()
    assert said in ("in", "28000"), said
    return said == "in"


def untouched(lab: Lab) -> list[object]:
    """What the app has, also while there is a preview beside it."""
    containers = {host: lab.containers(host) for host in APP_HOSTS}
    return [lab.record(), containers, lab.migrations(), files(lab, "marketplace")]


@pytest.fixture
def clean(lab: Lab, v1_0_0: str) -> Iterator[None]:
    """None is up before and after; and the app has a row that nobody else may see."""
    lab.sql(f'update "Review" set text = \'{SECRET}\' where id = (select min(id::text)::uuid from "Review")')
    yield
    for number in (NUMBER, OTHER):
        if any(traces(lab, number).values()):
            preview(lab, "-e", "state=absent", number=number).good()


@pytest.mark.soak
def test_a_preview_is_up_with_scrubbed_data_and_away_without_a_trace(lab: Lab, clean: None) -> None:
    state, before = lab.state(), untouched(lab)
    accountants = lab.ask("/api/accountants").json()["accountants"]

    # The number is text of a stranger.
    for given in ("1;id", "{{ 1 }}", "../1", "0"):
        refused = lab.playbook("playbooks/preview", "-e", json.dumps({"preview": given}), "-e", "app_version=v1.1.0")
        assert refused.code and f"preview is {given!r}" in str(refused), str(refused)

    # Another version than the app's, with its migration, on data of its own.
    preview(lab, "-e", "app_version=v1.1.0", *QUICK).good()
    assert lab.ask("/api/version", headers=HOST).json()["version"] == "v1.1.0"
    assert lab.ask("/api/version", headers=HOST).json()["banner"] == "preview"
    assert len(lab.ask("/api/accountants", headers=HOST).json()["accountants"]) == len(accountants) > 0
    assert (
        sql(lab, 'select count(*) from "Review"', DATABASE)
        == sql(lab, 'select count(*) from "Review"', "marketplace")
        != "0"
    )
    assert SECRET in sql(lab, 'select text from "Review"', "marketplace"), "what is looked for is there"
    for database in (DATABASE, "marketplace_preview_template"):
        assert SECRET not in sql(lab, 'select text from "Review"', database)
        assert sql(lab, "select count(*) from \"User\" where email !~ '^[0-9a-f-]{36}@'", database) == "0"
    # Its role may connect to its database, and to no other.
    for name in (DATABASE, "marketplace", "marketplace_preview_template", "postgres"):
        assert connects(lab, name) == (name == DATABASE), name
    # What is written in it stays there, over the next version too.
    sql(
        lab,
        "insert into \"User\" (id, email, name, role) values (gen_random_uuid(), 'new@preview', 'New', 'CLIENT')",
        DATABASE,
    )
    preview(lab, "-e", "app_version=v1.0.0", *QUICK).good()
    assert lab.ask("/api/version", headers=HOST).json()["version"] == "v1.0.0"
    assert sql(lab, "select count(*) from \"User\" where email = 'new@preview'", DATABASE) == "1"
    assert all(traces(lab).values()), "what is looked for is there before"
    assert untouched(lab) == before

    listed = lab.playbook("playbooks/preview", "-e", "state=listed").good()
    assert f"preview {NUMBER}  last deployed" in str(listed)
    full = json.dumps({"app_preview": {**_settings(), "most": 1}})
    assert f"1 previews are up ({NUMBER})" in preview(lab, "-e", "app_version=v1.0.0", "-e", full, number=OTHER).error()
    lab.playbook("playbooks/preview", "-e", "state=expired").good()
    assert all(traces(lab).values()), "it is young"

    preview(lab, "-e", "state=absent").good()
    assert not any(traces(lab).values()), traces(lab)
    assert sql(lab, "select datname from pg_database where datname like '%preview%'") == ""
    assert sql(lab, "select rolname from pg_roles where rolname like '%preview%'") == ""
    assert lab.ask("/", headers=HOST).text == lab.ask("/").text, "its name is again nobody's in particular"
    assert (lab.state(), untouched(lab)) == (state, before)
    preview(lab, "-e", "state=absent").good()


@pytest.mark.soak
def test_a_scrub_that_fails_leaves_no_copy_and_what_is_old_goes(lab: Lab, clean: None) -> None:
    broken = json.dumps({"app_preview": {**_settings(), "scrub": "/etc/os-release"}})
    failed = preview(lab, "-e", "app_version=v1.0.0", "-e", broken, *QUICK)
    assert "app_preview.scrub failed, so there is no copy" in failed.error()
    assert sql(lab, "select datname from pg_database where datname like '%preview%'") == ""

    preview(lab, "-e", "app_version=v1.0.0", *QUICK).good()
    old = json.dumps({"app_preview": {**_settings(), "max_age_days": 0.01}})
    lab.playbook("playbooks/preview", "-e", "state=expired", "-e", old).good()
    assert all(traces(lab).values())
    for host in HOSTS:
        lab.shell(host, f"touch -d '1 hour ago' {STATE}/apps/{NAME}/ledger.jsonl")
    sql(lab, f"comment on database {DATABASE} is '{{\"used\": 1}}'")
    lab.playbook("playbooks/preview", "-e", "state=expired", "-e", old).good()
    assert not any(traces(lab).values()), traces(lab)


@pytest.fixture
def treacherous(lab: Lab, clean: None) -> Iterator[None]:
    """The app's owner left code in its database, which would be a superuser, and a copy of what is scrubbed."""
    trap = (
        "create function fires() returns trigger language plpgsql as $$ begin "
        "begin execute 'reset role'; execute 'create role trapped superuser'; exception when insufficient_privilege then null; end; "
        'return new; end $$; create trigger fires before update on "User" for each row execute function fires();'
        "create function public.json_build_array(name, name) returns json language plpgsql as $$ begin "
        "begin execute 'create role trapped superuser'; exception when insufficient_privilege then null; end; return '[]'; end $$;"
        'create materialized view letters as select text from "Review";'
    )
    away = "drop materialized view if exists letters; drop function if exists fires cascade; drop function if exists public.json_build_array(name, name)"
    sql(lab, f"set role marketplace; {away}; {trap}", "marketplace")
    yield
    sql(lab, away, "marketplace")
    sql(lab, "drop role if exists trapped")


@pytest.mark.soak
def test_code_in_the_copy_has_no_power_and_no_row_escapes_the_scrub(lab: Lab, treacherous: None) -> None:
    wrong = json.dumps({"app_preview": {**_settings(), "without": ["session"]}})
    error = preview(lab, "-e", "app_version=v1.0.0", "-e", wrong, *QUICK).error()
    assert (
        'app_preview.without has session: there is no such table, but "public"."Session" in database marketplace'
        in error
    )
    assert sql(lab, "select datname from pg_database where datname like '%preview%'") == ""

    right = json.dumps({"app_preview": {**_settings(), "without": ["Review"]}})
    preview(lab, "-e", "app_version=v1.0.0", "-e", right, *QUICK).good()
    assert (
        sql(lab, 'select count(*) from "Review"', "marketplace")
        != "0"
        == sql(lab, 'select count(*) from "Review"', DATABASE)
    )
    preview(lab, "-e", "app_version=v1.0.0", "-e", "preview_fresh=true", *QUICK).good()
    assert SECRET in sql(lab, "select * from letters", "marketplace"), "what is looked for is there"
    letters = sql(lab, "select text from letters", DATABASE)
    assert letters and SECRET not in letters
    assert sql(lab, "select rolname from pg_roles where rolname in ('trapped', 'marketplace_preview_new')") == ""
    # What was set goes off in a superuser's session that uses it.
    sql(lab, "select public.json_build_array(datname, datname) from pg_database limit 1", "marketplace")
    assert sql(lab, "select rolsuper from pg_roles where rolname = 'trapped'") == "t"


def _settings() -> dict[str, object]:
    return {
        "host": "pr-{number}.test",
        "secrets": {"DATABASE_URL": "database", "REDIS_URL": "redis", "JWT_SECRET": "own"},
        "scrub": "../staging/preview.sql",
        "env": {"BANNER": "preview"},
    }
