# SPDX-License-Identifier: Apache-2.0
"""A set of directories and files: what differs, and that it is made so."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import host_files
from ansible_collections.sluice.stack.plugins.module_utils.host_files import Desired, Found, HostFilesError

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = grp.getgrgid(os.getegid()).gr_name
THERE = Found("file", "root", "root", 0o644, "a\n", modified=100.0)


def wanted(**changed: Any) -> Desired:
    return Desired(**{"path": "/etc/x", "kind": "file", "content": "a\n", **changed})


def test_what_is_as_desired_is_no_change() -> None:
    assert host_files.compare(wanted(), THERE, None) is None
    assert host_files.compare(wanted(kind="absent"), Found("absent"), None) is None
    assert (
        host_files.compare(wanted(kind="directory", mode=0o755), Found("directory", "root", "root", 0o755), None)
        is None
    )


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"content": "b\n"}, "/etc/x: content"),
        ({"mode": 0o600}, "/etc/x: mode 0644 → 0600"),
        ({"owner": "postgres"}, "/etc/x: owner root:root → postgres:root"),
        ({"group": "redis", "content": "b"}, "/etc/x: content, owner root:root → root:redis"),
        ({"kind": "absent"}, "/etc/x: removed"),
    ],
)
def test_each_part_that_differs_is_named(changed: dict[str, Any], what: str) -> None:
    change = host_files.compare(wanted(**changed), THERE, None)
    assert change and change.summary == what


def test_what_is_missing_is_created_and_a_link_is_replaced() -> None:
    missing = host_files.compare(wanted(), Found("absent"), None)
    assert missing and missing.what == ["created"]
    link = host_files.compare(wanted(), Found("other", "root", "root", 0o777), None)
    assert link and "content" in link.what


@pytest.mark.parametrize(("kind", "there"), [("file", "directory"), ("directory", "file"), ("directory", "other")])
def test_another_kind_is_refused(kind: str, there: str) -> None:
    with pytest.raises(HostFilesError, match=rf"^/etc/x is a {there}, not a {kind}: move it away$"):
        host_files.compare(wanted(kind=kind), Found(there), None)


@pytest.mark.parametrize(("read_at", "unread"), [(None, True), (99.0, True), (100.0, False), (101.0, False)])
def test_a_file_its_reader_has_not_read_is_a_change_without_a_write(read_at: float | None, unread: bool) -> None:
    change = host_files.compare(wanted(reader="/run/x.pid"), THERE, read_at)
    assert bool(change) is unread
    if change:
        assert change.what == [] and change.summary == "/etc/x: not read since /run/x.pid was written"


def test_a_block_leaves_the_rest_alone() -> None:
    begun = "bind all\n# BEGIN managed by sluice.stack\nold\n# END managed by sluice.stack\nlast\n"
    text = host_files.with_block(begun, "new\nlines\n")
    assert text == "bind all\n# BEGIN managed by sluice.stack\nnew\nlines\n# END managed by sluice.stack\nlast\n"
    assert host_files.with_block(text, "new\nlines\n") == text
    assert host_files.with_block("no newline", "x") == (
        "no newline\n# BEGIN managed by sluice.stack\nx\n# END managed by sluice.stack\n"
    )


def test_a_difference_is_shown_and_a_hidden_one_is_not() -> None:
    shown = host_files.compare(wanted(content="secret\n"), THERE, None)
    hidden = host_files.compare(wanted(content="secret\n", hidden=True), THERE, None)
    assert shown and hidden
    assert host_files.diff_of(shown)["after"] == "secret\n"
    assert host_files.diff_of(hidden) == {"prepared": "/etc/x: content\n"}


def mine(path: Path, **changed: Any) -> Desired:
    return Desired(**{"path": str(path), "kind": "file", "owner": ME, "group": MINE, **changed})


def make(*desired: Desired) -> list[str]:
    changes = host_files.changes_for(list(desired))
    for change in changes:
        host_files.apply(change)
    return [change.desired.path for change in changes]


def test_a_set_is_made_and_then_is_no_change(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.symlink_to("/nowhere")
    folder, path = tmp_path / "a/b", tmp_path / "a/b/c.conf"
    desired = [
        mine(folder, kind="directory", mode=0o750),
        mine(path, content="é\n", mode=0o640),
        mine(gone, kind="absent"),
    ]
    assert make(*desired) == [str(folder), str(path), str(gone)]
    assert path.read_text() == "é\n" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750 and not gone.is_symlink()
    assert make(*desired) == []
    path.chmod(0o600)
    assert make(*desired) == [str(path)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_its_checker_refuses_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("good\n")
    path.chmod(0o644)
    with pytest.raises(HostFilesError, match=rf"^{path} was not written: grep rejected it: "):
        make(mine(path, content="bad\n", validate="grep -q good %s"))
    assert path.read_text() == "good\n" and os.listdir(tmp_path) == ["x.conf"]
    assert make(mine(path, content="good too\n", validate="grep -q good %s")) == [str(path)]


def test_faults_are_one_line_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "missing/x"
    with pytest.raises(HostFilesError, match=rf"^{path}: its directory is missing$"):
        make(mine(path))
    with pytest.raises(
        HostFilesError, match=rf"^{tmp_path}/x: nobody-here:{MINE} is not a user and group on this host"
    ):
        make(mine(tmp_path / "x", owner="nobody-here"))


def test_parameters_become_a_set_in_its_order() -> None:
    item = {
        "owner": "root",
        "group": "root",
        "mode": "0600",
        "content": "x",
        "validate": None,
        "reader": None,
        "diff": True,
    }
    params = {
        "directories": [{"path": "/d", "owner": "root", "group": "root", "mode": "0755"}],
        "files": [{"path": "/f", **item}, {"path": "/code", **item, "diff": False}],
        "hidden_files": [{"path": "/h", **item}],
        "blocks": [{"path": "/b", "block": "x", "reader": None}],
        "absent": ["/a"],
    }
    desired = host_files.desired_of(params)
    assert [(one.path, one.kind, one.hidden) for one in desired] == [
        ("/d", "directory", False),
        ("/f", "file", False),
        ("/code", "file", True),
        ("/h", "file", True),
        ("/b", "block", False),
        ("/a", "absent", False),
    ]
    assert desired[1].mode == 0o600
