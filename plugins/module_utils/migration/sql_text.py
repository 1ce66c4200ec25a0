# SPDX-License-Identifier: Apache-2.0
"""Postgres SQL as text: split into statements, with comments and strings separated from code.

Follows "Lexical Structure" in Postgres' documentation: nested block comments, dollar quotes, E'' strings, quoted identifiers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Parts whose semicolons end no statement, the longest first.
_TOKEN = re.compile(
    r"""(?P<line>--[^\n]*)
      | (?P<block>/\*)
      | (?P<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)
      | (?P<escape>\b[eE]'(?:[^'\\]|\\.|'')*'?)
      | (?P<string>'(?:[^']|'')*'?)
      | (?P<name>"(?:[^"]|"")*"?)
      | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)'
NAME = rf"{_NAME}(?:\s*\.\s*{_NAME})*"


@dataclass(frozen=True)
class Statement:
    """One statement."""

    start: int  # where it begins in the whole text, its leading comments included
    end: int
    line: int  # the line of its first word, from 1
    text: str  # from its first word on, as it is written
    code: str  # the same without comments, and with nothing in its strings
    comments: tuple[str, ...]  # the comments before and in it
    bodies: tuple[str, ...]  # what is between its dollar quotes

    @property
    def head(self) -> str:
        """The code in one line and upper case, quoted names unchanged; to match the kind of statement."""
        return re.sub(r"\s+", " ", self.code).strip()

    def short(self, most: int = 160) -> str:
        """Return the statement in one line, shortened."""
        line = re.sub(r"\s+", " ", self.text).strip()
        return line if len(line) <= most else line[: most - 3] + "..."


def split(sql: str) -> list[Statement]:
    """Split a script into its statements, in order; white space and comments alone are none."""
    found: list[Statement] = []
    start = at = 0
    code: list[str] = []
    comments: list[str] = []
    bodies: list[str] = []
    first: int | None = None

    def note(text: str, where: int) -> None:
        nonlocal first
        code.append(text)
        if first is None and text.strip():
            first = where + len(text) - len(text.lstrip())

    def close(end: int) -> None:
        nonlocal start, first
        if first is not None:
            line = sql.count("\n", 0, first) + 1
            whole = "".join(code)
            found.append(Statement(start, end, line, sql[first:end].rstrip(), whole, tuple(comments), tuple(bodies)))
        start, first = end + 1, None
        code.clear()
        comments.clear()
        bodies.clear()

    while match := _TOKEN.search(sql, at):
        note(sql[at : match.start()], at)
        at = match.end()
        kind, text = match.lastgroup, match[0]
        if kind == "line":
            comments.append(text[2:].strip())
            code.append(" ")
        elif kind == "block":
            at = _block_end(sql, at)
            comments += [line.strip(" *") for line in sql[match.end() : at - 2].splitlines()]
            code.append(" ")
        elif kind == "dollar":
            close_at = sql.find(text, at)
            stop = len(sql) if close_at < 0 else close_at
            bodies.append(sql[at:stop])
            note("''", match.start())
            at = min(len(sql), stop + len(text))
        elif kind in ("string", "escape"):
            note("''", match.start())
        elif kind == "name":
            note(text, match.start())
        else:
            close(match.start())
    note(sql[at:], at)
    close(len(sql))
    return found


def _block_end(sql: str, at: int) -> int:
    """Return the end of a block comment that begins before ``at``; they nest."""
    depth = 1
    while depth:
        match = _BLOCK.search(sql, at)
        if not match:
            return len(sql)
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at


def plain_name(written: str) -> str:
    """Return a name as in the catalogue: unquoted parts in lower case, without the schema ``public``."""
    parts = [part.group() for part in re.finditer(_NAME, written)]
    names = [part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in parts]
    if len(names) > 1 and names[0] == "public":
        names = names[1:]
    return ".".join(names)
