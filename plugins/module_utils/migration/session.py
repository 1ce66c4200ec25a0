# SPDX-License-Identifier: Apache-2.0
"""A session at a Postgres server, by libpq: Debian's python3-psycopg2, which the role docker_host installs."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from ansible_collections.sluice.stack.plugins.module_utils.migration.url import Target, conninfo

# Modules run under `python3 -I -S` (no site-packages at all), which keeps what a host has installed out of them. This one package is
# wanted, so its directory is added here, where it is used, at the end of the path; every other module still sees the standard library alone.
PACKAGES = "/usr/lib/python3/dist-packages"
BEAT_SECONDS = 2.0
Row = dict[str, Any]


class DatabaseError(Exception):
    """The database cannot be used, or refused a statement; ``sqlstate`` is Postgres' code for it, when it came from there."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def literal(text: str) -> str:
    """A string literal of SQL."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def driver() -> Any:
    """psycopg2. Raises DatabaseError on a host that was not provisioned since the collection needs it."""
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    try:
        import psycopg2  # noqa: PLC0415 - only steps that speak to a database load it
        import psycopg2.extensions  # noqa: PLC0415
    except ImportError as error:
        raise DatabaseError(
            f"this host's Python has no psycopg2 ({error}): run provision.yml, which installs the package python3-psycopg2"
        ) from error
    return psycopg2


class Connection:
    """An open session, without transactions of the driver's own. ``timeout`` bounds each query, in seconds."""

    def __init__(self, target: Target, read: Callable[[str], bytes], timeout: float = 30) -> None:
        """Connect; ``read`` returns a file of the image, by its path. Raises DatabaseError."""
        self._driver, self._target, self._timeout = driver(), target, timeout
        with _files(target, read) as files:
            try:
                self._raw = self._driver.connect(conninfo({**target.parameters, **files}))
            except self._driver.Error as error:
                raise DatabaseError(_unreachable(target, _line(error)), error.pgcode or "") from error
        self._raw.autocommit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    @property
    def version(self) -> int:
        """The server's major version."""
        return int(self._raw.server_version) // 10000

    def query(self, sql: str, timeout: float | None = None, beat: Callable[[], None] | None = None) -> list[Row]:
        """Run one or more statements as they are; the rows of the last one. ``beat`` is called about every two seconds.

        Raises DatabaseError, and what ``beat`` raises; the session is over after the latter and after a timeout.
        """
        seconds = timeout or self._timeout
        extensions = self._driver.extensions
        # libpq would wait for as long as it takes. The function is the process's, so it is there for this query alone.
        extensions.set_wait_callback(partial(_wait, deadline=time.monotonic() + seconds, beat=beat))
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(sql)
                names = [column.name for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in (cursor.fetchall() if names else ())]
        except TimeoutError as error:
            raise DatabaseError(f"{self._target}: no answer within {seconds:g} s") from error
        except self._driver.Error as error:
            if "COPY" in str(error) and not error.pgcode:
                raise DatabaseError(
                    "COPY is not for migrations: the data would have to come from the client"
                ) from error
            raise _refusal(error) from error
        finally:
            extensions.set_wait_callback(None)

    def close(self) -> None:
        """End the session."""
        self._raw.close()


def _unreachable(target: Target, said: str) -> str:
    """Why there is no connection, and what to do where libpq's own words leave that open."""
    if unknown := re.search(r'invalid connection option "(\w+)"', said):
        return (
            f"the URL has the parameter {unknown[1]}, which libpq does not know: remove it, or let app_migration.database name a variable "
            "whose URL is for migrations alone"
        )
    if "certificate verify failed" in said:
        said += ": no authority in the URL's sslrootcert has signed the server's certificate"
    return f"{target}: {said}"


def _wait(raw: Any, deadline: float, beat: Callable[[], None] | None) -> None:
    """Wait until libpq is done with what it was given: https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries."""
    while state := raw.poll():  # 0: done, 1: wait to read, 2: wait to write
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ready = select.select([raw] * (state == 1), [raw] * (state == 2), [], min(left, BEAT_SECONDS))
        if beat and not any(ready):
            beat()


def _refusal(error: Any) -> DatabaseError:
    """Postgres' own words, with its code."""
    said = error.diag.message_primary or _line(error)
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    code = error.pgcode or ""
    return DatabaseError(f"{said}{detail} (SQLSTATE {code})" if code else f"{said}{detail}", code)


def _line(error: Exception) -> str:
    """What libpq reports, in one line: it has one for each host and address that it tried."""
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))


@contextmanager
def _files(target: Target, read: Callable[[str], bytes]) -> Iterator[dict[str, str]]:
    """Copies of the image's files on this host while libpq connects, in a directory that only this user can enter: parameter → path."""
    if not target.files:
        yield {}
        return
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - most URLs name no file

    with TemporaryDirectory(prefix="sluice-") as folder:
        copies = {}
        for name in target.files:
            path = target.parameters[name]
            try:
                content = read(path)
            except FileNotFoundError as error:
                raise DatabaseError(f"the URL has {name}={path}, but {error}") from error
            copies[name] = os.path.join(folder, name)
            with open(os.open(copies[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(content)
        yield copies
