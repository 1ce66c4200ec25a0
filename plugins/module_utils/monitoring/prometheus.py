# SPDX-License-Identifier: Apache-2.0
"""Prometheus' configuration and what it looks at, from the inventory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.routes import label
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls

Target = dict[str, Any]  # one entry of a file of targets: targets, labels

FOLDER = "/etc/prometheus"
# The exporters of hosts, each a job of its name.
JOBS = ("node", "postgres", "redis", "edge")
# As a deploy judges: a route may begin without a page, or ask for a password. A path that was chosen for probes has to be good.
ANY_ANSWER, GOOD_ANSWER = "answer", "good"


def config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return prometheus.yml: ``settings`` are seconds, external_labels, host, rules (names), labels, remote_write, more (of scrape_configs)."""
    own = {"instance": settings["host"], **settings["labels"]}
    files = [
        {"job_name": job, "file_sd_configs": [{"files": [f"{FOLDER}/targets/{job}.json"]}]}
        # Sluice's figures have a moment in their names where one matters.
        for job in JOBS
    ]
    here = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": own}]}
        for job, port in (("prometheus", 9090), ("alertmanager", 9093))
    ]
    blackbox = {
        "job_name": "blackbox",
        "metrics_path": "/probe",
        "file_sd_configs": [{"files": [f"{FOLDER}/targets/blackbox.json"]}],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"target_label": "__address__", "replacement": "127.0.0.1:9115"},
        ],
    }
    return {
        "global": {
            "scrape_interval": f"{settings['seconds']}s",
            "evaluation_interval": f"{settings['seconds']}s",
            **({"external_labels": settings["external_labels"]} if settings["external_labels"] else {}),
        },
        "rule_files": [f"{FOLDER}/rules/{name}.yml" for name in sorted(settings["rules"])],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
        "scrape_configs": [*files, blackbox, *here, *settings["more"]],
        **({"remote_write": settings["remote_write"]} if settings["remote_write"] else {}),
    }


def targets(
    hosts: Iterable[Mapping[str, Any]], probes: Iterable[Mapping[str, Any]], labels: Mapping[str, str]
) -> dict[str, list[Target]]:
    """Return the targets of each job: ``hosts`` are {name, address, jobs: {job: port}}, ``probes`` what ``routes`` gives; ``labels`` are on all."""
    found: dict[str, list[Target]] = {job: [] for job in (*JOBS, "blackbox")}
    for host in hosts:
        address = f"[{host['address']}]" if ":" in host["address"] else host["address"]
        for job, port in host["jobs"].items():
            found[job].append({"targets": [f"{address}:{port}"], "labels": {"instance": host["name"], **labels}})
    for probe in probes:
        given = {"__param_module": probe["module"], "__param_hostname": probe["hostname"]}
        shown = {name: probe[name] for name in ("instance", "app", "route")}
        hidden = {name: value for name, value in given.items() if value}
        found["blackbox"].append({"targets": [probe["url"]], "labels": {**shown, **labels, **hidden}})
    return found


def routes(
    edges: Sequence[Mapping[str, Any]], app: str, given: Iterable[Mapping[str, Any]], paths: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return a probe of each route through each edge, as a visitor comes in.

    ``edges`` are {name, address, http_port, https_port, tls: whether it has any, source and hosts as in edge_tls}; ``given`` is
    app_routes, ``paths`` the path to ask for instead of a route's own or its ``verify``, by the route's name.
    """
    found = []
    for edge in edges:
        tls = Tls(int(edge["https_port"]) if edge["tls"] else 0, False, edge["source"], edge["hosts"])
        address = f"[{edge['address']}]" if ":" in edge["address"] else edge["address"]
        for route in given:
            host, path = str(route.get("host") or ""), str(route["path"])
            name = label(host, path)
            place = f"https://{address}:{tls.port}" if tls.of(host) else f"http://{address}:{int(edge['http_port'])}"
            asked = paths.get(name) or route.get("verify") or path
            found.append(
                {
                    "instance": edge["name"],
                    "app": app,
                    "route": name,
                    "url": place + str(asked),
                    "hostname": host,
                    "module": GOOD_ANSWER if name in paths else ANY_ANSWER,
                }
            )
    return found


def blackbox(ca: bool) -> dict[str, Any]:
    """Return blackbox.yml: a module for any answer of an app and one for a good one. A certificate that does not hold is no answer."""
    http: dict[str, Any] = {"follow_redirects": False, "preferred_ip_protocol": "ip4"}
    if ca:
        http["tls_config"] = {"ca_file": f"{FOLDER}/probe_ca.pem"}
    codes = {ANY_ANSWER: [*range(200, 500)], GOOD_ANSWER: [*range(200, 400)]}
    return {
        "modules": {
            name: {"prober": "http", "timeout": "5s", "http": {**http, "valid_status_codes": found}}
            for name, found in codes.items()
        }
    }
