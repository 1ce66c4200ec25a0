# SPDX-License-Identifier: Apache-2.0
"""Directories, files and blocks on a host: the current state, the differences from the desired one, and how to apply it."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import sync_directory, write_atomic

VALIDATE_SECONDS = 60


class HostFilesError(Exception):
    """The desired state cannot be applied; the message names the path and why."""


@dataclass(frozen=True)
class Found:
    """The current state of a path: ``kind`` is ``absent``, ``directory``, ``file`` or ``other``; content only of files."""

    kind: str
    owner: str = ""
    group: str = ""
    mode: int = 0
    content: str = ""
    modified: float = 0.0


@dataclass(frozen=True)
class Desired:
    """The desired state of a path. A ``block`` keeps the rest of its file, and its owner and mode."""

    path: str
    kind: str  # absent, directory, file or block
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    content: str = ""
    validate: str = ""
    # A file that the reader writes when it starts. A desired file newer than it has not been read.
    reader: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Change:
    """One path that differs. ``what`` is empty for a file that is as desired and was not read yet."""

    desired: Desired
    found: Found
    what: list[str] = field(default_factory=list)
    content: str = ""

    @property
    def summary(self) -> str:
        """What changes, in one line."""
        return f"{self.desired.path}: {', '.join(self.what) or f'not read since {self.desired.reader} was written'}"


def attributes(mode: str) -> dict[str, Any]:
    """Return the options that every path has."""
    return {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": mode},
    }


def file_options(**content: Any) -> dict[str, Any]:
    """Return the options of a file; those of its content have ``content`` added."""
    return {
        **attributes("0644"),
        "content": {"type": "str", **content},
        "src": {"type": "str"},
        "validate": {"type": "str"},
        "reader": {"type": "path"},
        "diff": {"type": "bool", "default": True},
    }


def entries(options: dict[str, Any]) -> dict[str, Any]:
    """Return an option that is a list of such maps."""
    return {"type": "list", "elements": "dict", "default": [], "options": options}


# What every module that writes a set of files is asked for; documented in plugins/doc_fragments/files.py.
OPTIONS: dict[str, Any] = {
    "directories": entries(attributes("0755")),
    "files": entries(file_options()),
    "hidden_files": entries(file_options(no_log=True)),
    "absent": {"type": "list", "elements": "path", "default": []},
}


def desired_of(params: Mapping[str, Any]) -> list[Desired]:
    """Return the desired state of a module's parameters in the order it is made: directories, files, blocks, absent paths."""
    result = [
        Desired(item["path"], "directory", item["owner"], item["group"], int(item["mode"], 8))
        for item in params["directories"]
    ]
    for name in ("files", "hidden_files"):
        result += [
            Desired(
                path=item["path"],
                kind="file",
                owner=item["owner"],
                group=item["group"],
                mode=int(item["mode"], 8),
                content=item["content"] or "",
                validate=item["validate"] or "",
                reader=item["reader"] or "",
                hidden=name == "hidden_files" or not item["diff"],
            )
            for item in params[name]
        ]
    result += [
        Desired(item["path"], "block", content=item["block"], reader=item["reader"] or "") for item in params["blocks"]
    ]
    return result + [Desired(path, "absent") for path in params["absent"]]


def with_block(text: str, block: str) -> str:
    """Return a text in which the managed block reads ``block``; a new one goes to the end. The marks are blockinfile's."""
    begin, end = "# BEGIN managed by sluice.stack", "# END managed by sluice.stack"
    lines, new = text.splitlines(), [begin, *block.splitlines(), end]
    if begin in lines and end in lines[lines.index(begin) :]:
        first = lines.index(begin)
        last = lines.index(end, first)
        lines[first : last + 1] = new
    else:
        lines += new
    return "\n".join(lines) + "\n"


def compare(desired: Desired, found: Found, read_at: float | None) -> Change | None:
    """Return how a path differs, or None. ``read_at`` is when its reader started, in seconds of the epoch; None: it did not."""
    if desired.kind == "absent":
        return None if found.kind == "absent" else Change(desired, found, ["removed"])
    kind = "directory" if desired.kind == "directory" else "file"
    content = with_block(found.content, desired.content) if desired.kind == "block" else desired.content
    if found.kind == "absent":
        return Change(desired, found, ["created"], content)
    if found.kind not in (kind, "other") or (found.kind == "other" and kind == "directory"):
        raise HostFilesError(f"{desired.path} is a {found.kind}, not a {kind}: move it away")
    what = []
    if kind == "file" and (found.kind == "other" or found.content != content):
        what.append("content")
    if desired.kind != "block":
        if (found.owner, found.group) != (desired.owner, desired.group):
            what.append(f"owner {found.owner}:{found.group} → {desired.owner}:{desired.group}")
        if found.mode != desired.mode:
            what.append(f"mode {found.mode:04o} → {desired.mode:04o}")
    unread = bool(desired.reader) and (read_at is None or found.modified > read_at)
    return Change(desired, found, what, content) if what or unread else None


def diff_of(change: Change) -> dict[str, str]:
    """Return a change as Ansible shows differences; a hidden file's content is not included."""
    desired, found, path = change.desired, change.found, change.desired.path
    if desired.kind == "directory" or desired.hidden or not {"content", "created", "removed"} & set(change.what):
        return {"prepared": f"{change.summary}\n"}
    after = "" if desired.kind == "absent" else change.content
    return {"before": found.content, "after": after, "before_header": path, "after_header": path}


# -- on the host ------------------------------------------------------------------------------------------------------


def observe(path: str, kind: str) -> Found:
    """Return the current state of a path. A link to a directory counts as one where a directory is desired."""
    try:
        status = os.stat(path) if kind == "directory" else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Found("absent")
    owner, group, mode = user_name(status.st_uid), group_name(status.st_gid), stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Found("directory", owner, group, mode)
    if not stat.S_ISREG(status.st_mode):
        return Found("other", owner, group, mode)
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
        return Found("file", owner, group, mode, handle.read(), status.st_mtime)


def user_name(uid: int) -> str:
    """Return a user's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return a group's name, or its number when it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def started(reader: str) -> float | None:
    """Return when a reader wrote its file, in seconds of the epoch; None when there is none."""
    try:
        return os.stat(reader).st_mtime
    except OSError:
        return None


def changes_for(desired: list[Desired]) -> list[Change]:
    """Return the changes for this host. Raises HostFilesError."""
    found = ((item, compare(item, observe(item.path, item.kind), started(item.reader))) for item in desired)
    return [change for _unused, change in found if change is not None]


def apply(change: Change) -> None:
    """Apply the desired state of one path. Raises HostFilesError."""
    desired, found = change.desired, change.found
    if not change.what:
        return
    try:
        if desired.kind == "absent":
            os.rmdir(desired.path) if found.kind == "directory" else os.unlink(desired.path)
            sync_directory(os.path.dirname(desired.path))
        elif desired.kind == "directory":
            os.makedirs(desired.path, exist_ok=True)
            own(desired)
        elif "content" in change.what or "created" in change.what:
            put(change)
        else:
            own(desired)
    except LookupError as error:
        raise HostFilesError(
            f"{desired.path}: {desired.owner}:{desired.group} is not a user and group on this host ({error})"
        ) from error
    except OSError as error:
        raise HostFilesError(f"{desired.path}: {error.strerror or error}") from error


def own(desired: Desired) -> None:
    """Set a path's owner, group and mode."""
    os.chown(desired.path, pwd.getpwnam(desired.owner).pw_uid, grp.getgrnam(desired.group).gr_gid)
    os.chmod(desired.path, desired.mode)


def put(change: Change) -> None:
    """Write a temporary file, check it, and move it into place."""
    desired, found = change.desired, change.found
    if not os.path.isdir(os.path.dirname(desired.path)):
        raise HostFilesError(f"{desired.path}: its directory is missing")
    kept = desired.kind == "block" and found.kind == "file"
    write_atomic(
        desired.path,
        change.content,
        found.mode if kept else desired.mode,
        found.owner if kept else desired.owner,
        found.group if kept else desired.group,
        check=checker(desired) if desired.validate else None,
    )


def checker(desired: Desired) -> Callable[[str], None]:
    """Return the function that checks the file before it is moved into place."""

    def check(path: str) -> None:
        command = shlex.split(desired.validate.replace("%s", shlex.quote(path)))
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=VALIDATE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostFilesError(f"{desired.path} was not written: {command[0]} did not run: {error}") from error
        if done.returncode:
            output = " ".join((done.stderr or done.stdout).split()).replace(path, desired.path)
            raise HostFilesError(f"{desired.path} was not written: {command[0]} rejected it: {output}")

    return check
