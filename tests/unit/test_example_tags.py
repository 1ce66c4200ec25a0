# SPDX-License-Identifier: Apache-2.0
"""The example's image tags: what a ref may name, and that no ref takes the images of another."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.example import CI, load

SHA = "0123456789abcdef0123456789abcdef01234567"


tags = load("tags")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("refs/heads/develop", ["develop-0123456789ab", "develop"]),
        ("refs/heads/main", ["main-0123456789ab", "main", "latest"]),
        ("refs/heads/feature/Pay later!", ["feature-Pay-later-0123456789ab", "feature-Pay-later"]),
        ("refs/heads/main/latest", ["main-latest-0123456789ab", "main-latest"]),
        ("refs/heads/$(id)", ["id-0123456789ab", "id"]),
        ("refs/pull/17/merge", ["pr-17"]),
        ("refs/tags/v1.2.3", ["v1.2.3", "1.2", "1"]),
        ("refs/tags/v1.2.3-rc.1", ["v1.2.3-rc.1"]),
    ],
)
def test_tags(ref: str, expected: list[str]) -> None:
    assert tags.tags(ref, SHA) == expected


@pytest.mark.parametrize(
    "ref",
    [
        "refs/tags/v1{{lookup('pipe','id')}}",
        "refs/tags/v1.0.{{lookup('pipe','id')}}",
        "refs/tags/v1.2.3-$(id)",
        "refs/tags/v1.2.3\n",
        "refs/tags/v01.2.3",
        "refs/tags/v1.2",
        "refs/tags/latest",
        "refs/tags/v1.2.3-" + "a" * 100,
        "refs/pull/0/merge",
        "refs/pull/17/../../merge",
        "refs/notes/x",
        "",
    ],
)
def test_what_is_no_version_names_no_image(ref: str) -> None:
    with pytest.raises(tags.RefError):
        tags.tags(ref, SHA)


@pytest.mark.parametrize(
    "name",
    ["latest", "cache", "pr-17", "pr/17", "v1.2.3", "v1.2.3-rc.1", "1", "1.2", "v1", f"develop-{SHA[:12]}", "..", "!"],
)
def test_a_branch_does_not_take_the_images_of_another_ref(name: str) -> None:
    with pytest.raises(tags.RefError, match="rename it"):
        tags.tags(f"refs/heads/{name}", SHA)


def test_a_commit_is_a_whole_one() -> None:
    with pytest.raises(tags.RefError, match="no commit"):
        tags.tags("refs/heads/main", "01234567")


def test_the_program_prints_the_tags_and_refuses_in_one_line() -> None:
    def run(ref: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GITHUB_REF": ref, "GITHUB_SHA": SHA}
        return subprocess.run(
            [sys.executable, CI / "tags.py", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    assert run("refs/tags/v1.2.3").stdout.split() == ["v1.2.3", "1.2", "1"]
    assert run("refs/heads/develop", "--version").stdout.split() == ["develop-0123456789ab"]
    refused = run("refs/tags/v1.0.{{lookup('pipe','id')}}")
    assert refused.returncode == 64 and not refused.stdout and "is no version" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
