# SPDX-License-Identifier: Apache-2.0
"""What an app's owner put into its database gains nothing from being copied for previews or looked at, and a preview has nothing that was not scrubbed.

On a cluster of its own, which lasts for this file: a server's binaries on this machine are all it needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as backup_host
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, Login, as_postgres, rows, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.scratch import CHECKER
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.migration import db_copy
from ansible_collections.sluice.stack.plugins.module_utils.migration.rehearsal import RELATIONS
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import compare, row_diff
from ansible_collections.sluice.stack.plugins.module_utils.postgres import host as postgres_host
from ansible_collections.sluice.stack.plugins.module_utils.postgres import state
from ansible_collections.sluice.stack.plugins.module_utils.previews import database, tables
from jinja2 import Environment

TEMPLATE = Path(__file__).resolve().parents[2] / "roles" / "postgres" / "templates" / "pg_hba.conf.j2"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PORT, GROUP = 54391, "shop_preview"
OWNER = Login("shop", "in no file")
SECRET = "a letter to nobody else"
SCRUB = "update person set letter = 'Lorem ipsum';"
# Takes what a superuser's session gives, and leaves a mark of whose session it was.
TRAP = """
create function public.{name} returns {result} language plpgsql as $$
begin
  begin execute 'reset role'; execute 'create role trapped superuser'; exception when insufficient_privilege then null; end;
  return {value};
end $$;
"""
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not BINARIES or os.geteuid() != 0, reason="needs a Postgres server's binaries, and root"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, Any]]:
    """A server with the rules that the role `postgres` writes, in a directory of its own."""
    folder = Path("/tmp", f"sluice-cluster-{os.getpid()}")
    folder.mkdir(mode=0o700)
    shutil.chown(folder, "postgres", "postgres")
    programs, data = BINARIES[-1], str(folder / "data")
    found = {"socket": str(folder), "port": PORT, "version": programs.parent.name, "data": data, "drill_seconds": 60}

    def run(*argv: str) -> None:
        done = as_postgres([*argv], 120)
        assert not done.code, done.output

    try:
        run(str(programs / "initdb"), "--pgdata", data, "--username", "postgres", "--no-sync", "--auth", "peer")
        # Those of its socket; the others need Ansible's filters.
        local = TEMPLATE.read_text().split("{% for peer")[0]
        text = Environment(trim_blocks=True).from_string(local).render(postgres_own_databases=[GROUP])
        # A scratch cluster's line, and one for the app.
        more = f"local all {CHECKER},{OWNER.user} scram-sha-256\n"
        done = as_postgres(["tee", f"{data}/pg_hba.conf"], text=more + text)
        assert not done.code, done.output
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c port={PORT} -c fsync=off"
        run(str(programs / "pg_ctl"), "start", "-w", "-s", "-D", data, "-l", str(folder / "log"), "-o", options)
        yield found
    finally:
        as_postgres([str(programs / "pg_ctl"), "stop", "-w", "-s", "-D", data, "-m", "immediate"], 60)
        shutil.rmtree(folder)


@pytest.fixture
def server(cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[database.Server]:
    """An app's database, whose owner is no superuser, and no preview."""
    monkeypatch.setattr(database, "SOCKET", cluster["socket"])
    monkeypatch.setattr(database, "LOCK", str(tmp_path / "lock"))
    sql(cluster, f"create role {OWNER.user} login password '{OWNER.password}'")
    sql(cluster, "create database shop owner shop")
    owner(
        cluster,
        f"create table person (id int primary key, letter text); insert into person values (1, '{SECRET}'); "
        'create table "Event" (id int, at int) partition by range (at); create table event_1 partition of "Event" for values from (0) to (9); '
        'insert into "Event" values (1, 1);',
    )
    found = database.Server(PORT, GROUP)
    yield found
    for name in (f"{GROUP}_1", f"{GROUP}_2", found.template, found.new, "shop"):
        found.drop(name)
    for name in (f"{GROUP}_1", f"{GROUP}_2", found.new, GROUP, "shop", "trapped", CHECKER):
        sql(cluster, f"drop role if exists {name}")


def owner(cluster: dict[str, Any], statements: str) -> str:
    """What the app's owner gets in its database."""
    return sql(cluster, statements, "shop", login=OWNER)


def present(server: database.Server, scrub: str = SCRUB, without: tuple[str, ...] = (), number: int = 1) -> None:
    database.present(server, f"{GROUP}_{number}", "0123456789", "shop", scrub, without, 7, fresh=True)


def trapped(cluster: dict[str, Any]) -> bool:
    return sql(cluster, "select count(*) from pg_roles where rolname = 'trapped'") != "0"


def nothing_left(cluster: dict[str, Any]) -> bool:
    return sql(cluster, f"select count(*) from pg_database where datname like '{GROUP}%'") == "0"


TRAPS = [
    TRAP.format(name="json_build_array(a name, b name)", result="json", value="'[]'"),
    TRAP.format(name="json_build_array(a text, b text)", result="json", value="'[]'"),
    TRAP.format(name="json_build_array(a oid, b bigint)", result="json", value="'[]'"),
    TRAP.format(name="json_build_object(a text, b name, c text, d name)", result="json", value="'{}'"),
    TRAP.format(name="to_regnamespace(a unknown)", result="regnamespace", value="null").replace("unknown", "varchar"),
]


def test_functions_of_the_owner_are_not_taken_for_the_servers(
    cluster: dict[str, Any], server: database.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(cluster, "".join(TRAPS))
    monkeypatch.setattr(postgres_host, "ask", _ask(cluster))
    looks = {
        "extensions": lambda: sql(cluster, database.EXTENSIONS, "shop"),
        "tables": lambda: sql(cluster, tables.TABLES, "shop"),
        "relations": lambda: sql(cluster, RELATIONS, "shop"),
        "state": lambda: postgres_host.ask(state.DATABASE_QUERY, "shop", PORT),
        "rows": lambda: compare._tables(cluster, "shop"),
    }
    for name, look in looks.items():
        look()
        assert not trapped(cluster), name
    # What was set goes off where a session finds it.
    sql(
        cluster,
        "set search_path = public, pg_catalog;\nselect json_build_array(datname, datname) from pg_database limit 1",
        "shop",
    )
    assert trapped(cluster)


def _ask(cluster: dict[str, Any]) -> Any:
    """The question of a real server's socket, at this cluster's."""
    ask, run = postgres_host.ask, subprocess.run

    def moved(query: str, name: str, port: int) -> Any:
        def there(command: list[str], **options: Any) -> Any:
            return run([cluster["socket"] if word == "/var/run/postgresql" else word for word in command], **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_host.subprocess, "run", there)
            return ask(query, name, port)

    return moved


def test_a_table_that_became_a_view_is_not_read(cluster: dict[str, Any], server: database.Server) -> None:
    listed = compare._tables(cluster, "shop")["shop.public.person"]
    owner(cluster, TRAP.format(name="letter()", result="text", value="''"))
    owner(cluster, "drop table person; create view person as select 1 as id, letter() as letter")
    with (
        pytest.raises(HostError, match='access to non-system view "person" is restricted'),
        rows(cluster, row_diff.digest(listed, ("id", "letter")), "shop", row_diff.SETTINGS) as lines,
    ):
        list(lines)
    assert not trapped(cluster)


@pytest.mark.parametrize("where", ["trigger", "constraint"])
def test_code_that_came_with_the_copy_is_no_superuser(
    cluster: dict[str, Any], server: database.Server, where: str
) -> None:
    owner(cluster, TRAP.format(name="fires()", result="trigger", value="new"))
    owner(cluster, TRAP.format(name="holds()", result="boolean", value="true"))
    made = {
        "trigger": "create trigger fires before update on person for each row execute function fires()",
        "constraint": "alter table person add check (public.holds())",
    }
    owner(cluster, made[where])
    present(server)
    assert not trapped(cluster)
    assert sql(cluster, "select letter from public.person", f"{GROUP}_1") == "Lorem ipsum"


def test_the_copy_is_the_groups_and_its_role_is_gone(cluster: dict[str, Any], server: database.Server) -> None:
    present(server)
    name = f"{GROUP}_1"
    assert sql(cluster, "select letter from public.person", name) == "Lorem ipsum"
    assert sql(cluster, "select tableowner from pg_tables where tablename = 'person'", name) == GROUP
    assert sql(cluster, f"select count(*) from pg_roles where rolname = '{server.new}'") == "0"
    assert sql(cluster, f"select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = '{name}'") == "t"
    assert sql(cluster, "select letter from public.person", "shop") == SECRET
    assert database.absent(server, name)
    assert nothing_left(cluster)
    assert sql(cluster, f"select count(*) from pg_roles where rolname like '{GROUP}%'") == "0"


def test_without_its_rule_a_copy_is_refused(cluster: dict[str, Any], server: database.Server) -> None:
    rules = Path(cluster["data"], "pg_hba.conf")
    before = rules.read_text()
    try:
        rules.write_text("".join(line for line in before.splitlines(keepends=True) if GROUP not in line))
        sql(cluster, "select pg_reload_conf()")
        with pytest.raises(HostError, match=r"cannot log in: run provision\.yml"):
            present(server)
    finally:
        rules.write_text(before)
        sql(cluster, "select pg_reload_conf()")
    assert nothing_left(cluster)


def test_materialized_views_are_filled_anew_after_the_scrub(cluster: dict[str, Any], server: database.Server) -> None:
    owner(
        cluster,
        "create materialized view zz as select letter from person; create view between as select letter from zz; "
        "create materialized view aa as select letter from between; create materialized view none as select letter from person with no data",
    )
    assert SECRET in owner(cluster, "select * from aa")
    present(server)
    for name in ("zz", "aa"):
        assert sql(cluster, f"select letter from public.{name}", f"{GROUP}_1") == "Lorem ipsum"
    with pytest.raises(HostError, match="has not been populated"):
        sql(cluster, "select letter from public.none", f"{GROUP}_1")


def test_one_that_was_not_is_refused(
    cluster: dict[str, Any], server: database.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(cluster, "create materialized view seen as select letter from person")
    monkeypatch.setattr(database, "REFRESH", "")
    with pytest.raises(HostError, match=r"materialized views have rows that were not scrubbed.*: public.seen|: seen"):
        present(server)
    assert nothing_left(cluster)


def test_rows_that_a_policy_hides_from_the_scrub_are_no_copy(cluster: dict[str, Any], server: database.Server) -> None:
    owner(
        cluster,
        "alter table person enable row level security, force row level security; create policy none on person using (false)",
    )
    with pytest.raises(HostError, match="would be affected by row-level security policy"):
        present(server)
    assert nothing_left(cluster)


@pytest.mark.parametrize("name", ["Event", '"Event"', "public.Event"])
def test_rows_of_a_table_stay_behind_with_its_partitions(
    cluster: dict[str, Any], server: database.Server, name: str
) -> None:
    present(server, without=(name,))
    assert sql(cluster, 'select count(*) from public."Event"', f"{GROUP}_1") == "0"
    assert sql(cluster, "select count(*) from public.person", f"{GROUP}_1") == "1"


@pytest.mark.parametrize(
    ("name", "says"), [("event", 'there is no such table, but "public"."Event"'), ("log_*", "no such table")]
)
def test_a_name_that_means_no_table_is_refused(
    cluster: dict[str, Any], server: database.Server, name: str, says: str
) -> None:
    with pytest.raises(HostError, match=f"app_preview.without has .*{says}"):
        present(server, without=(name,))
    assert nothing_left(cluster)


def test_rows_that_came_along_all_the_same_are_refused(
    cluster: dict[str, Any], server: database.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "COPY", database.COPY.replace('"${@:6}"', ""))
    with pytest.raises(HostError, match=r'the copy has rows of "public"\."event_1", so there is no copy'):
        present(server, without=("Event",))
    assert nothing_left(cluster)


def test_rehearsals_and_dumps_leave_previews_out(cluster: dict[str, Any], server: database.Server) -> None:
    present(server)
    assert sql(cluster, db_copy.DATABASES) == '["shop"]'
    assert {item["name"] for item in json.loads(sql(cluster, dump_sql.DATABASES))} == {"postgres", "shop"}


def test_a_drills_checks_read_and_do_nothing_else(
    cluster: dict[str, Any], server: database.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(cluster, TRAP.format(name="holds()", result="boolean", value="true"))
    owner(cluster, "create view orders as select 1 where public.holds(); alter table person enable row level security")
    sql(cluster, "revoke all on database shop from public")
    monkeypatch.setattr(drill, "last_heartbeat", lambda _: 0.0)
    monkeypatch.setattr(drill, "as_postgres", lambda *_, **__: backup_host.Done(0, "", ""))

    def check(query: str) -> None:
        item = {"name": "orders", "database": "shop", "query": query}
        try:
            drill.check({**cluster, "drill_max_rpo_seconds": 1, "drill_checks": [item]}, {"checks": []}, 0.0, "x")
        finally:
            sql(cluster, f"drop owned by {CHECKER}", "shop")
            sql(cluster, f"drop role {CHECKER}")

    check("select count(*) = 1 from orders")
    check("select count(*) = 1 from person")
    assert not trapped(cluster)
    with pytest.raises(drill.Broken, match="permission denied for table person"):
        check("with gone as (delete from person returning 1) select true")
