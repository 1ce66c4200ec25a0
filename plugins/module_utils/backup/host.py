# SPDX-License-Identifier: Apache-2.0
"""The database host as the backup program uses it: its settings, commands as the cluster's user, questions to a server."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.files import read_json

SETTINGS = "/etc/sluice/backup.json"
STATE = "/var/lib/sluice/backup"
DRILL_RECORD = os.path.join(STATE, "drill.json")
PROGRAM = "/usr/local/sbin/sluice-backup"
USER = "postgres"
POLL_SECONDS = 0.1
CLOSE_SECONDS = 60.0
# Whoever owns a database can put functions and operators into it that fit a call better than the server's own do. The cluster's user would run them.
SUPERUSER_SETTINGS = {"search_path": "pg_catalog"}
STOP_SECONDS = 600.0

# The names of previews' databases, as a pattern. They come and go, and what is in them is a pull request's: shop_preview_123.
PREVIEWS = "_preview_([0-9]+|template|new)$"


class HostError(Exception):
    """Something on the host is not as it has to be; the message says what is wrong and what to do."""


class Login(NamedTuple):
    """A role to log in as in place of the cluster's user: for SQL that runs what others put into a database.

    ``set role`` in a session of the superuser would not do: any function may reset it.
    """

    user: str
    password: str
    settings: Mapping[str, str] = {}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        """All it printed."""
        return f"{self.out}\n{self.err}".strip()


def settings(path: str, missing: str) -> dict[str, Any]:
    """Return what a role wrote about this host. Raises HostError, which says what is ``missing`` without it."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise HostError(f"{path} is missing: {missing}")
    return found


def database_settings() -> dict[str, Any]:
    """Return what the role `backup` wrote about this host. Raises HostError."""
    return settings(SETTINGS, "this host's database is not backed up from here; run provision.yml")


def as_postgres(argv: Sequence[str], timeout: float = 60, text: str | None = None, login: Login | None = None) -> Done:
    """Run a command as the cluster's user, connecting as ``login`` if given. Raises HostError when it takes longer than ``timeout`` seconds."""
    try:
        done = subprocess.run(
            list(argv),
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            **_as_user(login),
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{' '.join(argv[:2])} still ran after {timeout:g} s and was stopped") from error
    return Done(done.returncode, done.stdout, done.stderr)


def _as_user(login: Login | None = None, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What makes a process the cluster's user's, whatever the caller's surroundings, and its sessions ``login``'s."""
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(USER)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(USER, entry.pw_gid)}
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if login:
        env |= {"PGUSER": login.user, "PGPASSWORD": login.password, "PGOPTIONS": _options(login.settings)}
    else:
        env["PGOPTIONS"] = _options({**(settings or {}), **SUPERUSER_SETTINGS})
    return {"cwd": "/", "env": env, **user}


def _options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def backup(*words: str, timeout: float) -> None:
    """Have the backup program make a backup in every repository: ``full`` or ``incr``, and its options. Raises HostError."""
    try:
        done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"no backup was made: {error}") from error
    if done.returncode:
        raise HostError(f"no backup was made: {' '.join((done.stdout + done.stderr).split())}")


def sql(
    host: Mapping[str, Any],
    query: str,
    database: str = "postgres",
    timeout: float = 60,
    login: Login | None = None,
) -> str:
    """The answer to a query, unaligned and without headings. Raises HostError.

    ``host`` needs ``socket`` and ``port`` only. The query goes by standard input. It is the superuser's, who finds nothing but the server's own by
    plain names, or ``login``'s.
    """
    done = as_postgres(_psql(host, database), timeout, query, login)
    if done.code:
        raise HostError(_refused(host, done.err))
    return done.out.strip()


@contextlib.contextmanager
def rows(
    host: Mapping[str, Any], statement: str, database: str, settings: Mapping[str, str]
) -> Iterator[Iterator[str]]:
    """The lines that a ``copy ... to stdout`` writes, while it writes them; none for an empty statement. Raises HostError.

    What was read counts only when the block is left without an error: a stream that breaks ends early.
    """
    if not statement:
        yield iter(())
        return
    process = _as_user(settings=settings)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            [*_psql(host, database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **process
        ) as psql,
    ):
        if not (psql.stdin and psql.stdout):
            raise AssertionError("both are pipes")
        try:
            with contextlib.suppress(BrokenPipeError):
                psql.stdin.write(statement + ";\n")
                psql.stdin.close()
            yield psql.stdout
            psql.wait(CLOSE_SECONDS)
        finally:
            psql.kill()
        if psql.returncode:
            errors.seek(0)
            raise HostError(_refused(host, errors.read()))


def _psql(host: Mapping[str, Any], database: str) -> list[str]:
    return [
        "psql",
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        host["socket"],
        "-p",
        str(host["port"]),
        "-d",
        connection(database),
    ]


def connection(name: str) -> str:
    """A database's name as a connection string: a bare name could be taken for one."""
    return "dbname='" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refused(host: Mapping[str, Any], text: str) -> str:
    lines = text.strip().splitlines() or ["it printed nothing"]
    # Below its message a server points at the place.
    why = next((line for line in lines if "ERROR:" in line or "FATAL:" in line), lines[-1])
    return f"the database on port {host['port']} did not answer: {why}"


def control_data(host: Mapping[str, Any], folder: str) -> dict[str, str]:
    """What pg_controldata says of a data directory; empty when there is none."""
    done = as_postgres([f"/usr/lib/postgresql/{host['version']}/bin/pg_controldata", folder])
    pairs = (line.partition(":") for line in done.out.splitlines())
    return {name.strip(): value.strip() for name, _unused, value in pairs} if done.code == 0 else {}


def existing(folder: str) -> str:
    """Return ``folder``, or the nearest directory above it that exists."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def free_bytes(folder: str) -> int:
    """Return the free space on the file system that ``folder`` is, or would be, on."""
    found = os.statvfs(existing(folder))
    return found.f_bavail * found.f_frsize


def require_space(folder: str, needed: int, what: str, advice: str = "make space") -> dict[str, Any]:
    """Return {folder, needed, free}. Raises HostError unless ``needed`` bytes are free, which ``what`` takes."""
    free = free_bytes(folder)
    if free < needed:
        raise HostError(
            f"{folder} has {free / 2**30:.1f} GiB free and {what} needs {needed / 2**30:.1f} beyond what is there; {advice}"
        )
    return {"folder": folder, "needed": needed, "free": free}


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Whether ``ready`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def systemctl(*arguments: str, seconds: float = 60) -> int:
    """Run systemctl; its exit code. Raises HostError when it takes longer than ``seconds``."""
    try:
        return subprocess.run(["systemctl", *arguments], capture_output=True, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise HostError(f"systemctl {' '.join(arguments)} still ran after {seconds:g} s") from error


def stop_unit(unit: str) -> None:
    """Stop a unit. Raises HostError."""
    if systemctl("stop", unit, seconds=STOP_SECONDS):
        raise HostError(f"{unit} could not be stopped; nothing was changed: systemctl status {unit}")
