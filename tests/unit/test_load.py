# SPDX-License-Identifier: Apache-2.0
"""Load tests: the budget of a stage, the count of k6's samples, the search for the capacity, the report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import load_test
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.load import capacity, page, report, script
from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits
from ansible_collections.sluice.stack.plugins.module_utils.load.tally import Tally
from hypothesis import given
from hypothesis import strategies as st

SLO = {"availability": 99.9, "latency": {"p99": 0.5}}
# As k6 1.1 writes it with these system tags.
HEAD = "metric_name,timestamp,metric_value,expected_response,scenario,status,extra_tags,metadata\n"


def sample(
    kind: str = "http_req_duration", at: int = 0, value: float = 100, expected: str = "true", scenario: str = "s0"
) -> str:
    return f"{kind},{1_795_874_208_000 + at},{value:.6f},{expected},{scenario},200,,\n"


def counted(lines: list[str], stages: list[dict[str, int]] | None = None, slo: dict[str, Any] = SLO) -> Tally:
    tally = Tally(stages or [{"rate": 100, "seconds": 10}], Limits.of(slo))
    for line in [HEAD, *lines]:
        tally.line(line)
    return tally


def test_a_stage_is_lost_with_the_request_that_its_budget_does_not_have() -> None:
    tally = counted([sample()] * 500)
    # 0.1 % of the 1,000 that are planned is one.
    (one,) = [tally.line(sample(expected="false"))]
    assert one and tally.spent(one) == []
    assert (two := tally.line(sample(expected="false"))) and tally.spent(two) == ["availability 99.9 %"]


def test_slow_answers_spend_a_budget_of_their_own() -> None:
    tally = counted([sample(value=501)] * 9 + [sample(value=499)] * 900)
    assert (stage := tally.line(sample(value=501))) and tally.spent(stage) == []
    assert (stage := tally.line(sample(value=501))) and tally.spent(stage) == ["p99 500 ms"]


@given(st.lists(st.sampled_from(["good", "slow", "failed", "unsent"]), min_size=1, max_size=60))
def test_a_test_that_was_stopped_would_not_have_passed(kinds: list[str]) -> None:
    lines = {
        "good": sample(),
        "slow": sample(value=900),
        "failed": sample(expected="false"),
        "unsent": sample("dropped_iterations", value=1, expected=""),
    }
    slo = {"availability": 90, "latency": {"p80": 0.5}}
    tally = Tally([{"rate": len(kinds), "seconds": 1}], Limits.of(slo))
    tally.line(HEAD)
    spent: list[str] = []
    for kind in kinds:
        stage = tally.line(lines[kind])
        assert stage
        spent = spent or tally.spent(stage)
    assert set(spent) <= set(tally.stages()[0]["broken"])


def test_requests_that_no_client_was_free_for_failed() -> None:
    tally = counted([sample()] * 98 + [sample("dropped_iterations", value=1, expected="")] * 2)
    (stage,) = tally.stages()
    assert (stage["answered"], stage["failed"], stage["unsent"]) == (98, 0, 2)
    assert stage["broken"] == ["availability 99.9 %"]


def test_stages_seconds_and_quantiles() -> None:
    fast, slow = [sample(at=10 * place) for place in range(100)], [sample(at=2500, value=400, scenario="s1")] * 50
    tally = counted([*fast, *slow], [{"rate": 100, "seconds": 1}, {"rate": 50, "seconds": 1}])
    first, second = tally.stages()
    assert first["p99"] == pytest.approx(0.1, rel=0.02) and second["p50"] == pytest.approx(0.4, rel=0.02)
    assert [(one["second"], one["answered"]) for one in tally.series()] == [(0, 100), (2, 50)]


def test_a_setup_of_a_script_and_other_samples_do_not_count() -> None:
    tally = counted([sample(scenario=""), sample("vus", value=5), sample("http_reqs", value=1), sample()])
    assert tally.stages()[0]["answered"] == 1


def test_several_requests_a_turn_have_a_larger_budget() -> None:
    turn = [sample()] * 4 + [sample("iterations", value=1)]
    tally = counted(turn * 100)
    for _unused in range(4):
        stage = tally.line(sample(expected="false"))
        assert stage and tally.spent(stage) == []
    assert (stage := tally.line(sample(expected="false"))) and tally.spent(stage)


def test_a_failed_check_of_a_script_is_a_failure() -> None:
    assert counted([sample()] * 10 + [sample("checks", value=0)]).stages()[0]["broken"] == ["availability 99.9 %"]


def test_a_stage_without_requests_holds_nothing() -> None:
    assert counted([]).stages()[0]["broken"] == ["nothing was sent"]


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 5, 20]))
def test_the_search_finds_any_knee(knee: int, begin: int, end: int, precision: int) -> None:
    settings = {"from": min(begin, end), "to": max(begin, end), "precision": precision}
    trials: list[dict[str, Any]] = []
    while rate := capacity.following(trials, settings):
        assert 1 <= rate <= settings["to"] and rate not in [one["rate"] for one in trials]
        trials.append({"rate": rate, "broken": ["p99"] if rate > knee else []})
    found, real = capacity.held(trials), min(knee, settings["to"])
    assert len(trials) < capacity.MOST_TRIALS
    assert found <= real <= found + max(1, found * precision / 100)


def test_the_search_ends_where_nothing_holds() -> None:
    trials: list[dict[str, Any]] = []
    while rate := capacity.following(trials, {"from": 8, "to": 100, "precision": 5}):
        trials.append({"rate": rate, "broken": ["p99"]})
    assert [one["rate"] for one in trials] == [8, 4, 2, 1] and capacity.held(trials) == 0


def test_k6_gets_every_stage_after_the_one_before() -> None:
    params = {
        "stages": [{"rate": 10, "seconds": 5}, {"rate": 900, "seconds": 7}],
        "clients": 500,
        "timeout": 2.0,
        "hosts": {},
        "scenario": "",
        "base": "https://a.test/",
        "ca": "PEM",
        "requests": [{"path": "/", "expect": "200-299,404", "headers": {"X-Token": "secret"}}],
    }
    made = script.files(params)
    assert set(made) == {"settings.json", "main.js", "ca.pem"} and "secret" not in made["main.js"]
    settings = json.loads(made["settings.json"])
    first, second = settings["options"]["scenarios"].values()
    assert (first["startTime"], second["startTime"], second["rate"], second["maxVUs"]) == ("0s", "5s", 900, 500)
    assert first["preAllocatedVUs"] == first["maxVUs"] == 20, "one that is added on the way costs a turn"
    assert settings["requests"][0]["expect"] == [{"min": 200, "max": 299}, {"min": 404, "max": 404}]
    assert settings["base"] == "https://a.test" and script.seconds(params) == 15


def test_a_script_of_ones_own_gets_its_rate_from_the_profile() -> None:
    own = "export const options = { vus: 9999 }; export default function () {}"
    params = {"stages": [{"rate": 1, "seconds": 1}], "clients": 5, "timeout": 1.0, "hosts": {}, "scenario": own}
    made = script.files({**params, "base": "", "ca": "", "requests": []})
    assert made["scenario.js"] == own and "own.options" not in made["main.js"]
    assert not json.loads(made["settings.json"])["options"]["discardResponseBodies"]


RUN = {"app": "shop", "target": "https://shop.test", "from": "load1", "live": "r2", "time": "2026-11-28T14:00:00Z"}


def result(rate: int, p99: float, failed: int = 0, broken: tuple[str, ...] = ()) -> dict[str, Any]:
    counts = {
        "answered": 100 - failed,
        "failed": failed,
        "unsent": 0,
        "p50": p99 / 2,
        "p90": p99,
        "p99": p99,
        "max": p99,
    }
    stage = {"rate": rate, "seconds": 10, **counts, "broken": list(broken)}
    return {"stages": [stage], "series": [{"second": 0, **counts}], "stopped": "", "busy": 0.1}


def made(mode: str, results: list[dict[str, Any]], least: int = 0) -> report.Data:
    return report.data({**RUN, "mode": mode, "least": least}, SLO, results, "")


def test_the_verdict_names_each_limit_as_the_gate_reads_it() -> None:
    good, bad = made("profile", [result(50, 0.1)]), made("profile", [result(50, 0.7, 0, ("p99 500 ms",))])
    assert good["ok"] and [one["name"] for one in good["checks"]] == ["availability 99.9 %", "p99 500 ms"]
    assert not bad["ok"] and report.headline(bad) == "broke p99 500 ms"


def test_a_capacity_and_the_least_that_was_asked_for() -> None:
    trials = [result(100, 0.1), result(200, 0.9, 0, ("p99 500 ms",)), result(150, 0.2)]
    found = made("capacity", trials)
    assert found["capacity"] == 150 and found["ok"]
    assert report.headline(found) == "capacity 150/s holds availability 99.9 %, p99 500 ms; 200/s did not"
    assert not made("capacity", trials, least=160)["ok"]
    assert [one["second"] for one in found["series"]] == [0, 1, 2]
    assert not made("capacity", [result(1, 0.9, 0, ("p99 500 ms",))])["ok"]


def test_the_comparison_shows_what_changed_and_only_that() -> None:
    last, now = made("profile", [result(50, 0.1)]), made("profile", [result(50, 0.2, failed=5)])
    (line,) = report.compared(now, last)
    assert "p99 at 50/s 100 ms → 200 ms (+100 %)" in line and "failed at 50/s 0 % → 5 %" in line
    assert "no notable change" in report.compared(now, now)[0]
    assert report.compared(now, None) == []
    assert report.comparison(made("profile", [result(60, 0.1)]), last) == [], "another rate is no comparison"


def test_the_page_has_no_script_and_escapes_what_it_shows() -> None:
    evil = {**made("profile", [result(50, 0.1)]), "target": "https://<script>alert(1)</script>"}
    text = page.html(evil, made("profile", [result(50, 0.2)]))
    assert "<script" not in text and "default-src 'none'" in text
    assert "Latency in each second" in text and "Against 2026-11-28T14:00:00Z, release r2" in text
    assert "Latency at each rate" in page.html(made("capacity", [result(50, 0.1), result(100, 0.2)]), None)


def problems(profile: dict[str, Any], routes: tuple[dict[str, Any], ...] = ({"host": "a.test"},)) -> list[str]:
    found = Problems()
    read = load_test.LOAD_TEST.read(profile, "app_load_test", found)
    if not found.lines:
        contract = {"app_load_test": read, "app_routes": routes}
        load_test.check(contract, {"app_load_test": profile}, found)
    return found.lines


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"stages": [{"rate": 10_001, "seconds": 1}]}, "app_load_test.stages[0].rate is 10001: it must be 1 to 10000"),
        ({"stages": [{"rate": 1, "seconds": 3600}] * 3}, "app_load_test.stages take 10800 s: at most 7200 s in all"),
        (
            {"stages": [{"rate": 9000, "seconds": 600}]},
            "app_load_test.stages send 5,400,000 requests: at most 5,000,000",
        ),
        ({"capacity": {"from": 200, "to": 100}}, "app_load_test.capacity.from is 200, above capacity.to, 100"),
        (
            {"limits": {"latency": {"99": 1}}},
            "app_load_test.limits.latency.99 is not a valid name: it must be a quantile such as p50, p99 or p999",
        ),
        (
            {"scenario": "a.js", "requests": [{}]},
            "app_load_test.scenario and app_load_test.requests are both set: remove one",
        ),
        ({"clients": 6000}, "app_load_test.clients is 6000: it must be 1 to 5000"),
    ],
)
def test_a_profile_is_bounded(profile: dict[str, Any], message: str) -> None:
    assert problems(profile) == [message]


def test_a_header_or_body_is_not_shown() -> None:
    wrong = {"requests": [{"headers": {"Authorization": ["hunter2"]}, "body": {"password": "hunter2"}}]}
    lines = problems(wrong)
    assert len(lines) == 2 and "hunter2" not in "".join(lines)


def test_a_target_is_a_host_and_not_a_path_or_a_password() -> None:
    assert problems({"url": "https://user:word@a.test"}) and problems({"url": "https://a.test/x"})
    assert problems({}, ({"host": None},)) == [
        "app_load_test.url is not set, and no route has a host to take it from: set it"
    ]
