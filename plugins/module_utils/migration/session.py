# SPDX-License-Identifier: Apache-2.0
"""A session at a Postgres server through libpq: Debian's python3-psycopg2, which the role docker_host installs."""

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

# Modules run under `python3 -I -S` (no site-packages), independent of the host's packages. Only this package is needed, so its directory
# is appended to the path here, where it is used; all other modules see only the standard library.
PACKAGES = "/usr/lib/python3/dist-packages"
BEAT_SECONDS = 2.0
Row = dict[str, Any]


class DatabaseError(Exception):
    """The database cannot be used, or rejected a statement; ``sqlstate`` is Postgres' code, if any."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def literal(text: str) -> str:
    """Return text as a string literal of SQL."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def driver() -> Any:
    """Import psycopg2. Raises DatabaseError on a host provisioned by an older version of the collection."""
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    try:
        import psycopg2  # noqa: PLC0415 - only steps that use a database load it
        import psycopg2.extensions  # noqa: PLC0415
    except ImportError as error:
        raise DatabaseError(
            f"this host's Python has no psycopg2 ({error}): run provision.yml, which installs the package python3-psycopg2"
        ) from error
    return psycopg2


class Connection:
    """An open session in autocommit mode. ``timeout`` bounds each query, in seconds."""

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
        """Run one or more statements as they are; returns the rows of the last one. ``beat`` is called about every two seconds.

        Raises DatabaseError, and what ``beat`` raises; the session is closed after the latter and after a timeout.
        """
        seconds = timeout or self._timeout
        extensions = self._driver.extensions
        # libpq would wait forever. The callback is global to the process, so it is set for this query only.
        extensions.set_wait_callback(partial(_wait, deadline=time.monotonic() + seconds, beat=beat))
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(sql)
                names = [column.name for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in (cursor.fetchall() if names else ())]
        except TimeoutError as error:
            raise DatabaseError(f"{self._target}: no response within {seconds:g} s") from error
        except self._driver.Error as error:
            if "COPY" in str(error) and not error.pgcode:
                raise DatabaseError(
                    "COPY FROM STDIN is not supported in migrations: the client has no data to send"
                ) from error
            raise _refusal(error) from error
        finally:
            extensions.set_wait_callback(None)

    def close(self) -> None:
        """End the session."""
        self._raw.close()


def _unreachable(target: Target, text: str) -> str:
    """Return why the connection failed, and what to do where libpq's message does not say it."""
    if unknown := re.search(r'invalid connection option "(\w+)"', text):
        return (
            f"the URL has the parameter {unknown[1]}, which libpq does not know: remove it, or set app_migration.database to a variable "
            "whose URL is only for migrations"
        )
    if "certificate verify failed" in text:
        text += ": no CA in the URL's sslrootcert has signed the server's certificate"
    return f"{target}: {text}"


def _wait(raw: Any, deadline: float, beat: Callable[[], None] | None) -> None:
    """Wait until libpq has finished: https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries."""
    while state := raw.poll():  # 0: done, 1: wait to read, 2: wait to write
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ready = select.select([raw] * (state == 1), [raw] * (state == 2), [], min(left, BEAT_SECONDS))
        if beat and not any(ready):
            beat()


def _refusal(error: Any) -> DatabaseError:
    """Convert Postgres' error, with its code."""
    text = error.diag.message_primary or _line(error)
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    code = error.pgcode or ""
    return DatabaseError(f"{text}{detail} (SQLSTATE {code})" if code else f"{text}{detail}", code)


def _line(error: Exception) -> str:
    """Return libpq's report in one line: it has a line for each host and address that it tried."""
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))


@contextmanager
def _files(target: Target, read: Callable[[str], bytes]) -> Iterator[dict[str, str]]:
    """Copy the image's files to this host while libpq connects, in a directory only this user can access: parameter → path."""
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
