# SPDX-License-Identifier: Apache-2.0
"""A report's two files, and what is said where they cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.sluice.stack.plugins.plugin_utils import report_files


def test_both_are_written_with_their_directory(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "reports"
    line = report_files.write("chaos_report", str(folder), "shop", {"app": "shop"}, "<p>shop</p>")
    assert line == f"  written to {folder}/shop.html and .json"
    assert json.loads((folder / "shop.json").read_text()) == {"app": "shop"}
    assert (folder / "shop.html").read_text() == "<p>shop</p>"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_a_directory_that_cannot_be_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail) as refused:
        report_files.write("chaos_report", f"{tmp_path}/file/reports", "shop", {}, "")
    assert str(refused.value) == f"chaos_report is {tmp_path}/file/reports: Not a directory"
