# SPDX-License-Identifier: Apache-2.0
"""Who runs what and why: what a CI hands over is text of others."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.plugin_utils import identity


@pytest.mark.parametrize(
    ("environ", "who"),
    [
        ({"GITHUB_ACTOR": "octocat"}, "octocat@github"),
        ({"GITHUB_ACTOR": "dependabot[bot]"}, "dependabot[bot]@github"),
        ({"GITLAB_USER_LOGIN": "ann.b"}, "ann.b@gitlab"),
    ],
)
def test_who_is_the_login_at_the_ci(environ: dict[str, str], who: str) -> None:
    assert identity.who(environ) == who


@pytest.mark.parametrize("login", ["", "a b", "{{ lookup('pipe', 'id') }}", "x\n", "é", "a" * 65])
def test_a_login_that_is_none_is_not_taken(login: str) -> None:
    assert identity.who({"GITHUB_ACTOR": login, "SUDO_USER": "ann"}).startswith("ann@")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Fix the till\n\nDetails", "Fix the till"),
        ("\n  Fix\tit \x1b[31m", "Fix it [31m"),
        ("", ""),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_why_is_one_line_that_no_terminal_obeys(text: str, line: str) -> None:
    assert identity.one_line(text) == line
    assert identity.run("deploy", "/", environ={"SLUICE_REASON": text, "SUDO_USER": "ann"})["reason"] == line
    assert identity.run("deploy", "/", environ={"CI_COMMIT_TITLE": text, "SUDO_USER": "ann"})["reason"] == line
    assert identity.run("deploy", "/", "told", {"SLUICE_REASON": text, "SUDO_USER": "ann"})["reason"] == "told"


REVISION, CREATED = "org.opencontainers.image.revision", "org.opencontainers.image.created"


class Engine:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def get(self, _: str) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "revision", "created"),
    [
        (
            {"Config": {"Labels": {REVISION: "0f3c2d1", CREATED: "2026-11-22T22:58:11.5Z"}}, "Created": "x"},
            "0f3c2d1",
            "2026-11-22T22:58:11+00:00",
        ),
        ({"Config": {"Labels": None}, "Created": "2026-11-22T22:58:11.123456789Z"}, "", "2026-11-22T22:58:11+00:00"),
        ({"Config": {"Labels": {REVISION: "<b>", CREATED: "2026-99-22T22:58:11Z"}}}, "", ""),
        ({}, "", ""),
        (docker_host.EngineError("gone"), "", ""),
    ],
)
def test_an_images_labels_are_read_with_care(answer: object, revision: str, created: str) -> None:
    engine: docker_host.Engine = Engine(answer)  # type: ignore[assignment]
    assert docker_host.origin(engine, "x") == {"revision": revision, "created": created}
