# SPDX-License-Identifier: Apache-2.0
"""Load is what was asked for, stops when the limits are broken, and is refused where it must not be: with the real k6."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.load import k6

from tests.support.dry_run import run
from tests.support.knee import Knee
from tests.support.lab import until

K6 = shutil.which("k6") or Path(sys.executable).parent / "k6"
ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/checks/load_test.yml"
PROFILE = {"url": "https://shop.test", "stages": [{"rate": 1, "seconds": 1}], "limits": {"availability": 99}}
GET = {"path": "/", "method": "GET", "headers": {}, "body": None, "expect": "200-399", "weight": 1}


@pytest.fixture
def server() -> Iterator[Knee]:
    with Knee(at_once=8, seconds=0.01) as knee:
        yield knee


DEFAULTS: dict[str, Any] = {
    "k6": str(K6),
    "hosts": {},
    "requests": [GET],
    "scenario": "",
    "ca": "",
    "timeout": 2.0,
    "clients": 100,
    "stop": True,
    "limits": {"availability": 99.9, "latency": {"p99": 0.5}},
    "stages": [{"rate": 20, "seconds": 2}],
}


def send(server: Knee, **given: Any) -> dict[str, Any]:
    return k6.send({**DEFAULTS, "base": server.url, **given})


def test_it_sends_what_the_profile_says(server: Knee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(k6.tempfile, "tempdir", str(tmp_path))
    post = {"path": "/orders?x=1", "method": "POST", "headers": {"Authorization": "Bearer t"}, "body": '{"n": 1}'}
    found = send(server, requests=[GET, {**GET, **post, "weight": 3}])
    (stage,) = found["stages"]
    assert 38 <= stage["answered"] <= 42 and stage["failed"] == stage["unsent"] == 0 and stage["broken"] == []
    posts = [(path, headers["Authorization"], body) for method, path, headers, body in server.asked if method == "POST"]
    assert set(posts) == {("/orders?x=1", "Bearer t", '{"n": 1}')}
    assert 0 < len([one for one in server.asked if one[0] == "GET"]) < len(posts)
    assert list(tmp_path.iterdir()) == [], "what it was told is gone"


def test_it_stops_when_the_limits_are_broken_unless_asked_not_to(server: Knee) -> None:
    server.broken = True
    found = send(server)
    assert found["stopped"] == "availability 99.9 %" and found["stages"][0]["failed"] < 20
    found = send(server, stop=False)
    assert found["stopped"] == "" and found["stages"][0]["failed"] >= 38
    assert found["stages"][0]["broken"] == ["availability 99.9 %"]


def test_it_ends_when_nobody_is_left_who_reads_the_result(server: Knee) -> None:
    """A controller that is gone has closed its end of the connection."""
    asked = json.dumps({"base": server.url, "stages": [{"rate": 20, "seconds": 300}]})
    code = f"""
import json, sys
sys.path[:0] = {sys.path!r}
from tests.contract.test_load_test import DEFAULTS, k6
k6.send({{**DEFAULTS, **json.loads({asked!r})}})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    try:
        until(lambda: len(server.asked) > 20, 20, "it sends")
        assert process.poll() is None, "the control: it goes on while somebody listens"
        process.stdout.close()
        process.wait(15)
    finally:
        process.kill()


def test_a_script_of_ones_own_runs_at_the_rate_of_the_profile(server: Knee) -> None:
    own = f"""
    import http from 'k6/http';
    export const options = {{ vus: 50, duration: '1h' }};
    export default function () {{ http.get('{server.url}/own'); http.get('{server.url}/own'); }}
    """
    (stage,) = send(server, scenario=own, requests=[], stages=[{"rate": 10, "seconds": 2}])["stages"]
    assert 38 <= stage["answered"] <= 44 and {one[1] for one in server.asked} == {"/own"}


def test_a_script_that_does_not_run_is_an_error_and_no_verdict(server: Knee) -> None:
    with pytest.raises(k6.LoadError, match="k6 ended with code"):
        send(server, scenario="export default function ( {", requests=[])
    with pytest.raises(k6.LoadError, match="does not start"):
        send(server, k6="/nonexistent/k6")


def refused(*arguments: str, profile: dict[str, Any] = PROFILE) -> str:
    done = run("-e", json.dumps({"app_load_test": profile}), *arguments, playbook=PLAYBOOK)
    assert done.code != 0 and not done.reached("k6")
    (line,) = done.errors
    return line


def test_a_protected_environment_needs_its_name() -> None:
    here = ("-e", "load_test_from=controller", "-e", '{"environment_name": "live", "environment_protected": true}')
    line = refused(*here, "-e", "confirm_environment=staging")
    assert line.startswith("a load test in live is refused: confirm_environment is 'staging'")
    # The control: with its name it goes on, to hosts that cannot be reached.
    done = run(
        *("-e", json.dumps({"app_load_test": PROFILE}), *here, "-e", "confirm_environment=live"), playbook=PLAYBOOK
    )
    assert "refused" not in done.output and done.reached("observe")


@pytest.mark.parametrize(
    ("arguments", "profile", "line"),
    [
        ((), PROFILE, "nobody sends: add a host to group load"),
        (("-e", "load_test_stopp=false"), PROFILE, "load_test_stopp is unknown: did you mean 'load_test_stop'?"),
        ((), {**PROFILE, "stages": []}, "app_load_test.stages is empty"),
        (
            (),
            {**PROFILE, "limits": None},
            "nothing says what the app has to hold: set app_slo, or app_load_test.limits",
        ),
    ],
)
def test_what_cannot_run_is_one_line(arguments: tuple[str, ...], profile: dict[str, Any], line: str) -> None:
    here = () if line.startswith("nobody") else ("-e", "load_test_from=controller")
    assert refused(*here, *arguments, profile=profile).startswith(line)
