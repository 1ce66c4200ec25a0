# SPDX-License-Identifier: Apache-2.0
"""The monitoring page in a browser: with answers as Prometheus gives them, under its strict policy."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import dashboards

from tests.support.browser import Browser
from tests.support.lab import until
from tests.support.playbook import REPO

FILES = REPO / "roles" / "dashboard"
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
GATEWAY = "10.213.7.1"
TITLES = "return [...document.querySelectorAll('section h2')].map((one) => one.textContent)"
CHOOSE = """
const chosen = document.getElementById(arguments[0]);
chosen.value = arguments[1];
chosen.dispatchEvent(new Event('change', {bubbles: true}));
"""
EVIL = "<img src=x onerror=alert(1)>"


class Prometheus:
    """Serves the page, and answers what it asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False
        policy = re.search(r'Content-Security-Policy "([^"]+)"', (FILES / "templates" / "nginx.conf.j2").read_text())
        assert policy
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                name = url.path.strip("/") or "index.html"
                status, body = 200, b""
                if name.startswith("api/v1/"):
                    status, data = outer.answer(
                        name.removeprefix("api/v1/"), {key: one[0] for key, one in parse_qs(url.query).items()}
                    )
                    body, name = json.dumps(data).encode(), "x.json"
                elif name == "panels.json":
                    body = json.dumps(dashboards.page()).encode()
                else:
                    body = (FILES / "files" / name).read_bytes()
                self.send_response(status)
                self.send_header("Content-Type", TYPES[Path(name).suffix])
                self.send_header("Content-Security-Policy", policy[1])
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer((GATEWAY, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://{GATEWAY}:{self.server.server_port}/"

    def answer(self, kind: str, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        query = asked["query"]
        self.asked.append(query)
        if self.broken:
            return 503, {"status": "error", "error": "the disk is full"}
        labels = {
            "instance": "app1",
            "app": "shop.a",
            "environment": "live",
            "service": EVIL,
            "alertname": EVIL,
            "release": "r1",
        }
        if kind == "query_range":
            times = range(int(asked["start"]), int(asked["end"]) + 1, int(asked["step"]))
            return 200, _data([{"metric": labels, "values": [[one, "0.25"] for one in times]}])
        return 200, _data([{"metric": labels, "value": [time.time(), "42"]}])


def _data(result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"status": "success", "data": {"result": result}}


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    made = Prometheus()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_page_shows_figures_and_obeys_no_label(prometheus: Prometheus, artefacts: Path) -> None:
    with Browser(artefacts) as browser:
        browser.open(prometheus.url)
        until(lambda: "every 30 s" in browser.text(), 15, "the figures are there")
        text = browser.text()
        assert "Hosts up" in text and "42" in text and "Sluice live" in text
        assert EVIL in text, "as text"
        assert browser.script("return document.querySelectorAll('main img').length") == 0
        assert browser.script("return document.querySelectorAll('polyline').length") >= 4
        assert browser.errors() == []

        for board in ("app", "database", "deploys", "slo"):
            browser.script("location.hash = arguments[0]", board)
            panels = next(one["panels"] for one in dashboards.page()["dashboards"] if one["name"] == board)
            titles = [panel["title"] for panel in panels]
            until(lambda wanted=titles: browser.script(TITLES) == wanted, 10, f"the panels of {board}")
        assert browser.errors() == []

        prometheus.asked.clear()
        browser.script("location.hash = 'app'")
        browser.script(CHOOSE, "app", "shop.a")
        until(
            lambda: any('app=~"shop\\\\.a"' in query for query in prometheus.asked),
            10,
            "the app is asked for, as it is written",
        )
        assert not any("$" in query for query in prometheus.asked)

        prometheus.broken = True
        browser.script(CHOOSE, "range", "3600")
        until(lambda: "panels could not be read: the disk is full" in browser.text(), 10, "it says what is wrong")
