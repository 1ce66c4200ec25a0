# SPDX-License-Identifier: Apache-2.0
"""Changes of who may reach and enter a host (firewall, SSH, sudo, keys), which the host undoes by itself unless they are confirmed.

The way back is prepared before anything changes: copies of the files, and a timer of systemd that restores them. Only a new connection
confirms; one that is open survives a firewall that lets nobody in. The program that restores is the role's, in the shell: it depends on
nothing that a change can break. It also runs at boot, so that a restart in between does not keep an unconfirmed change.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import host_files
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.host_files import Change, Desired, HostFilesError

FOLDER = "/var/lib/sluice-access"
PROGRAM = "/usr/local/lib/sluice/access"
TIMER, SERVICE = "sluice-access-undo.timer", "sluice-access-undo.service"
TABLE = ("/usr/sbin/nft", "--stateless", "list", "table", "inet", "sluice")
COMMAND_SECONDS = LOCK_SECONDS = 30


class AccessError(Exception):
    """The change was not made, or it was undone; the message says which."""


def desired_of(params: Mapping[str, Any]) -> list[Desired]:
    """Return the desired files of a module's parameters, with those of its users."""
    return host_files.desired_of({**params, "blocks": []})


def missing_users(wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the users to create, in their order."""
    have = set(known)
    return [name for name in wanted if name not in have]


def drift(loaded: str, kept: str) -> list[str]:
    """Return in one line that the loaded rules are not those that were loaded by us; empty when they are.

    ``kept`` is what the kernel listed right after it had loaded them, empty without a firewall.
    """
    if loaded == kept:
        return []
    if not loaded:
        return ["table inet sluice: not loaded"]
    return ["table inet sluice: differs from what was loaded"]


def summary(users: Sequence[str], changes: Sequence[Change], rules: Sequence[str]) -> list[str]:
    """Return one line for each difference."""
    return [f"user {name}: created" for name in users] + [change.summary for change in changes] + list(rules)


# -- on the host ------------------------------------------------------------------------------------------------------


def run(*command: str) -> str:
    """Run a command; returns its output. Raises AccessError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AccessError(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        raise AccessError(f"{' '.join(command)}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout


def inside(name: str) -> str:
    """Return the path of a file in the module's own folder."""
    return os.path.join(FOLDER, name)


def text_of(name: str) -> str:
    """Return the text of a file in the module's own folder, empty without it."""
    try:
        with open(inside(name), encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep the host from undoing in between. Raises AccessError when it is at that for too long."""
    try:
        with locked(inside("lock"), LOCK_SECONDS):
            yield
    except TimeoutError as error:
        raise AccessError(f"an earlier change is still being undone: see journalctl -u {SERVICE}") from error


def loaded_rules() -> str:
    """Return our table as the kernel has it, without counters; empty when it has none."""
    try:
        return run(*TABLE)
    except AccessError:
        return ""


def pending() -> str:
    """Return the token of the change that is not confirmed yet, empty without one."""
    return text_of("pending").strip()


def create(name: str) -> None:
    """Create a user who can log in with a key only."""
    run("/usr/sbin/useradd", "--create-home", "--user-group", "--shell", "/bin/bash", name)


def users() -> set[str]:
    """Return the names of the users of this host."""
    return {entry.pw_name for entry in pwd.getpwall()}


def prepare(changes: Sequence[Change], token: str) -> None:
    """Keep the files as they are, and start the timer that restores them."""
    if not os.path.exists(PROGRAM):
        raise AccessError(f"{PROGRAM} is missing: the role baseline installs it")
    shutil.rmtree(inside("before"), ignore_errors=True)
    paths = [change.desired.path for change in changes if change.desired.kind != "directory"]
    for path in paths:
        if os.path.lexists(path):
            copy = inside(f"before{path}")
            os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
            shutil.copy2(path, copy)
            status = os.stat(path)
            os.chown(copy, status.st_uid, status.st_gid)
    write_atomic(inside("paths"), "".join(f"{path}\n" for path in paths))
    write_atomic(inside("pending"), f"{token}\n")
    # Makes systemd read both units, too.
    run("/usr/bin/systemctl", "enable", "--quiet", SERVICE)
    run("/usr/bin/systemctl", "restart", TIMER)


def make(names: Sequence[str], changes: Sequence[Change], token: str) -> None:
    """Make a change with its way back. Raises AccessError when it failed, after it was undone."""
    with held():
        prepare(changes, token)
        try:
            for name in names:
                create(name)
            for change in changes:
                host_files.apply(change)
            run(PROGRAM, "apply")
            return
        except (AccessError, HostFilesError) as error:
            reason = str(error)
    undo()
    raise AccessError(reason)


def undo() -> None:
    """Undo the pending change now."""
    run(PROGRAM, "undo")


def confirm(token: str) -> bool:
    """Keep the change for good; returns whether it was still there to be confirmed."""
    with held():
        if pending() != token:
            return False
        os.unlink(inside("pending"))
    run("/usr/bin/systemctl", "stop", TIMER)
    run("/usr/bin/systemctl", "disable", "--quiet", SERVICE)
    shutil.rmtree(inside("before"), ignore_errors=True)
    return True
