# SPDX-License-Identifier: Apache-2.0
"""What the database's URL says of TLS holds for the host that migrates, too: libpq verifies, or refuses in one line."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.support.images import Variants
from tests.support.lab import APP, REGISTRY, Lab, inventory_app
from tests.support.playbook import REPO, Run

ROLE = "tls_only"
HBA = "/etc/postgresql/17/main/pg_hba.conf"
GOOD, WRONG = "tls/good.pem", "/app/tls/wrong.pem"  # from the image's working directory, and from its root
LOOKED = "\n  pending    "
REFUSED = "deploy failed in step pending: app1: the database of the migration, MIGRATION_URL of service backend: "


@pytest.fixture(scope="module")
def looks(lab: Lab, v1_0_0: str, variant: Variants) -> Iterator[Callable[..., Run]]:
    """Look which migrations are pending, with a query of the URL; as a user who gets in with TLS alone."""
    password = secrets.token_hex(12)
    authority = lab.on("db1", "cat", "/etc/sluice/postgres/authority.pem")
    files = {
        f"app/{GOOD}": authority,
        WRONG.lstrip("/"): (REPO / ".lab/ca/ca.pem").read_text(),
        "app/run": uuid.uuid4().hex,
    }
    tag = variant.push("v1.2.0-tls", files=files)
    lab.on("app1", "docker", "pull", "--quiet", f"{REGISTRY}/{APP}/backend:{tag}")
    rules = f"hostnossl all {ROLE} all reject\\nhostssl all {ROLE} all scram-sha-256"
    lab.sql(
        f"create role {ROLE} login password '{password}' in role pg_read_all_data; grant connect on database {APP} to {ROLE}"
    )
    lab.shell("db1", f"cp -p {HBA} {HBA}.kept && sed -i '1i {rules}' {HBA}")
    lab.sql("select pg_reload_conf()")

    def look(query: str, host: str | None = None) -> Run:
        migration = {**inventory_app()["app_migration"], "database": "MIGRATION_URL"}
        url = f"postgresql://{ROLE}:{password}@{host or lab.address('db1')}:5432/{APP}?{query}"
        run = lab.deploy(
            tag, "--check", "-e", json.dumps({"app_migration": migration, "app_env": {"MIGRATION_URL": url}})
        )
        assert password not in run.output
        return run

    yield look
    lab.shell("db1", f"mv {HBA}.kept {HBA}")
    lab.sql(f"select pg_reload_conf(); drop owned by {ROLE}; drop role {ROLE}")


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&connection_limit=5",
        f"sslmode=require&sslrootcert={GOOD}",
        pytest.param(f"sslmode=verify-ca&sslrootcert={GOOD}", marks=pytest.mark.soak),
        f"sslmode=verify-full&sslrootcert=/app/{GOOD}",
    ],
)
def test_what_the_url_wants_is_had(looks: Callable[..., Run], query: str) -> None:
    assert LOOKED in looks(query).good().output


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=disable", "no encryption"),
        # As libpq has it: with an authority, require is verify-ca.
        (f"sslmode=require&sslrootcert={WRONG}", "certificate verify failed"),
        pytest.param(f"sslmode=verify-ca&sslrootcert={WRONG}", "certificate verify failed", marks=pytest.mark.soak),
        (f"sslmode=verify-full&sslrootcert={WRONG}", "certificate verify failed"),
        ("sslmode=require&sslrootcert=/app/none.pem", "the URL has sslrootcert=/app/none.pem, but image "),
        ("conection_limit=5", "the URL has the parameter conection_limit, which libpq does not know"),
    ],
)
def test_what_does_not_hold_is_refused_in_one_line(looks: Callable[..., Run], query: str, words: str) -> None:
    message = looks(query).error()
    assert message.startswith(REFUSED), message
    assert words in message
    assert "\n" not in message


def test_another_name_than_the_certificates_is_refused(lab: Lab, looks: Callable[..., Run]) -> None:
    name = "elsewhere.test"
    lab.shell("app1", f"echo '{lab.address('db1')} {name}' >> /etc/hosts")
    try:
        assert LOOKED in looks(f"sslmode=verify-ca&sslrootcert={GOOD}", name).good().output
        message = looks(f"sslmode=verify-full&sslrootcert={GOOD}", name).error()
    finally:
        lab.shell("app1", f"sed '/{name}/d' /etc/hosts > /tmp/hosts && cat /tmp/hosts > /etc/hosts && rm /tmp/hosts")
    assert message.startswith(REFUSED), message
    assert f'does not match host name "{name}"' in message
