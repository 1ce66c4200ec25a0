# SPDX-License-Identifier: Apache-2.0
"""The size of an image, as a registry tells it; a registry that does not tell stops nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.docker import registry
from ansible_collections.sluice.stack.plugins.module_utils.plain_http import Answer

NEW, OLD = "registry.test:5000/shop/web@sha256:new", "registry.test:5000/shop/web@sha256:old"
LAYERS = {"new": {"base": 100, "app2": 7}, "old": {"base": 100, "app1": 5}}


def manifest(name: str) -> Answer:
    layers = [{"digest": digest, "size": size} for digest, size in LAYERS[name].items()]
    return Answer(200, {}, json.dumps({"layers": layers}).encode())


class Asked:
    """A registry's answers by path, and the questions it got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Any]) -> None:
        self.questions: list[tuple[str, str]] = []
        self.answers = answers
        monkeypatch.setattr(plain_http, "request", self._request)

    def _request(self, address: Any, _: str, target: str, *, headers: Mapping[str, str], **more: Any) -> Answer:
        assert more["authorities"] == "/etc/docker/certs.d/registry.test:5000/ca.crt", "never without TLS"
        self.questions.append((f"{address[0]}{target}", headers.get("Authorization", "")))
        answer = self.answers.get(target.rsplit("/", maxsplit=1)[-1])
        if callable(answer):
            answer = answer(headers)
        if answer is None:
            raise plain_http.NoAnswer("refused")
        return answer


def engine(*present: str) -> Any:
    answers = {
        "/version": {"Os": "linux", "Arch": "arm64"},
        "/images/json": [{"RepoDigests": [one]} for one in present],
    }
    return SimpleNamespace(get=answers.__getitem__)


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own: anna, sesame."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    text = json.dumps({"auths": {"registry.test:5000": {"auth": "YW5uYTpzZXNhbWU="}}})
    (tmp_path / "config.json").write_text(text)


def test_layers_of_an_image_that_is_there_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, {"sha256:new": manifest("new"), "sha256:old": manifest("old")})
    found = registry.sizes(engine("registry.test:5000/other@sha256:x", OLD), NEW, 3)
    assert found == {"size": 107, "layers": {"app2": 7}}
    assert asked.questions[0] == ("registry.test/v2/shop/web/manifests/sha256:new", "Basic YW5uYTpzZXNhbWU=")


def test_on_a_fresh_host_all_of_them_are(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, {"sha256:new": manifest("new")})
    assert registry.sizes(engine(), NEW, 3) == {"size": 107, "layers": LAYERS["new"]}


def test_without_the_manifest_of_what_is_there_the_size_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, {"sha256:new": manifest("new")})
    assert registry.sizes(engine(OLD), NEW, 3) == {"size": 107}


def test_of_an_image_for_several_platforms_the_hosts_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    index = {
        "manifests": [
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
        ]
    }
    Asked(monkeypatch, {"sha256:new": Answer(200, {}, json.dumps(index).encode()), "sha256:arm": manifest("new")})
    assert registry.sizes(engine(), NEW, 3)["size"] == 107


def test_a_token_is_fetched_where_a_registry_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"www-authenticate": 'Bearer realm="https://auth.test/token",service="r",scope="repository:shop/web:pull"'}

    def guarded(headers: Mapping[str, str]) -> Answer:
        return manifest("new") if headers.get("Authorization") == "Bearer t0" else Answer(401, wanted, b"")

    token = "token?service=r&scope=repository%3Ashop%2Fweb%3Apull"
    asked = Asked(monkeypatch, {"sha256:new": guarded, token: Answer(200, {}, b'{"token": "t0"}')})
    assert registry.sizes(engine(), NEW, 3)["size"] == 107
    assert asked.questions[1] == (f"auth.test/{token}", "Basic YW5uYTpzZXNhbWU=")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Answer(404, {}, b"{}"),
        Answer(200, {}, b"not JSON"),
        Answer(401, {"www-authenticate": "Basic realm=x"}, b""),
        Answer(401, {"www-authenticate": 'Bearer realm="http://plain.test/token"'}, b""),
        Answer(200, {}, b'{"manifests": []}'),
    ],
)
def test_what_cannot_be_learned_is_not_known(monkeypatch: pytest.MonkeyPatch, answer: Answer | None) -> None:
    Asked(monkeypatch, {"sha256:new": answer})
    assert registry.sizes(engine(), NEW, 3) == {}
