# SPDX-License-Identifier: Apache-2.0
"""Prometheus looks at what the inventory has, and is asked through one module."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import prometheus, query

SETTINGS: dict[str, Any] = {
    "seconds": 15,
    "host": "mon1",
    "labels": {},
    "external_labels": {},
    "rules": ["slo"],
    "remote_write": [],
    "more": [],
}
EDGE: dict[str, Any] = {
    "name": "edge1",
    "address": "10.0.0.11",
    "http_port": 80,
    "https_port": 443,
    "tls": True,
    "source": "acme",
    "hosts": {},
}
ROUTES = [{"host": "app.example.com", "path": "/api", "service": "api"}, {"path": "/", "service": "web"}]


def test_every_exporter_is_a_target_of_its_job() -> None:
    hosts = [
        {"name": "db1", "address": "10.0.0.31", "jobs": {"node": 9100, "postgres": 9187}},
        {"name": "db2", "address": "fd00::1", "jobs": {"node": 9101}},
    ]
    found = prometheus.targets(hosts, [], {"environment": "staging"})
    assert found["node"] == [
        {"targets": ["10.0.0.31:9100"], "labels": {"instance": "db1", "environment": "staging"}},
        {"targets": ["[fd00::1]:9101"], "labels": {"instance": "db2", "environment": "staging"}},
    ]
    assert found["postgres"][0]["targets"] == ["10.0.0.31:9187"]
    assert found["redis"] == found["edge"] == found["blackbox"] == [], "a file without targets takes the old ones away"


def test_a_route_is_probed_as_a_visitor_comes_in() -> None:
    probes = prometheus.routes([EDGE], "shop", ROUTES, {})
    assert [(one["url"], one["hostname"], one["route"]) for one in probes] == [
        ("https://10.0.0.11:443/api", "app.example.com", "app.example.com/api"),
        ("http://10.0.0.11:80/", "", "/"),
    ]
    default = prometheus.routes([{**EDGE, "hosts": {"default": {"source": "files"}}}], "shop", ROUTES, {})
    assert default[1]["url"] == "https://10.0.0.11:443/"
    plain = prometheus.routes([{**EDGE, "tls": False}], "shop", ROUTES, {})
    assert plain[0]["url"] == "http://10.0.0.11:80/api"
    one = prometheus.targets([], probes, {})["blackbox"][0]
    assert one["labels"] == {
        "instance": "edge1",
        "app": "shop",
        "route": "app.example.com/api",
        "__param_module": "answer",
        "__param_hostname": "app.example.com",
    }


def test_a_path_of_ones_choice_has_to_be_good() -> None:
    probe = prometheus.routes([EDGE], "shop", ROUTES, {"/": "/health"})[1]
    assert (probe["url"], probe["module"]) == ("http://10.0.0.11:80/health", "good")
    verified = {"path": "/", "service": "web", "verify": "/ready"}
    assert prometheus.routes([EDGE], "shop", [verified], {})[0]["url"] == "http://10.0.0.11:80/ready"
    assert prometheus.routes([EDGE], "shop", [verified], {"/": "/health"})[0]["url"] == "http://10.0.0.11:80/health"
    modules = prometheus.blackbox(ca=False)["modules"]
    assert (
        404 in modules["answer"]["http"]["valid_status_codes"]
        and 404 not in modules["good"]["http"]["valid_status_codes"]
    )
    assert 500 not in modules["answer"]["http"]["valid_status_codes"]
    assert (
        "tls_config" not in modules["good"]["http"]
        and prometheus.blackbox(ca=True)["modules"]["good"]["http"]["tls_config"]
    )


def test_the_configuration() -> None:
    found = prometheus.config(SETTINGS)
    assert found["rule_files"] == ["/etc/prometheus/rules/slo.yml"] and "remote_write" not in found
    assert {job["job_name"] for job in found["scrape_configs"]} == {
        *prometheus.JOBS,
        *("blackbox", "prometheus", "alertmanager"),
    }
    assert prometheus.config({**SETTINGS, "remote_write": [{"url": "https://x"}]})["remote_write"] == [
        {"url": "https://x"}
    ]


class Answers:
    """A Prometheus."""

    def __init__(self, status: int, body: bytes) -> None:
        self.answer, self.target = plain_http.Answer(status, {}, body), ""

    def __call__(self, _address: Any, _method: str, target: str, **_more: Any) -> plain_http.Answer:
        self.target = target
        return self.answer


def test_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    series = b'[{"metric": {"app": "shop"}, "value": [1, "0.5"]}, {"metric": {}, "value": [1, "NaN"]}]'
    served = Answers(200, b'{"status": "success", "data": {"resultType": "vector", "result": ' + series + b"}}")
    monkeypatch.setattr(plain_http, "request", served)
    rows = query.ask(9090, 'up{a="b c"}', 12.5, 5)
    assert rows == [{"metric": {"app": "shop"}, "value": 0.5}, {"metric": {}, "value": None}]
    assert "query=up%7Ba%3D%22b+c%22%7D" in served.target and "time=12.500" in served.target
    monkeypatch.setattr(
        plain_http,
        "request",
        Answers(200, b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}'),
    )
    assert query.ask(9090, "2", None, 5) == [{"metric": {}, "value": 2.0}]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"status": "error", "error": "parse error"}', "parse error"),
        (502, b"<html>", "status 502"),
        (200, b'{"status": "success", "data": {"resultType": "matrix", "result": []}}', "matrix"),
    ],
)
def test_what_is_no_answer(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str) -> None:
    monkeypatch.setattr(plain_http, "request", Answers(status, body))
    with pytest.raises(query.QueryError, match=said):
        query.ask(9090, "up", None, 5)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_unused: Any, **_more: Any) -> None:
        raise plain_http.NoAnswer("refused")

    monkeypatch.setattr(plain_http, "request", refused)
    with pytest.raises(query.QueryError, match=r"127\.0\.0\.1:9090 \(refused\).*journalctl -u prometheus"):
        query.ask(9090, "up", None, 5)
