# SPDX-License-Identifier: Apache-2.0
"""Test an app under load: send from one host, judge, compare and write down here."""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleActionFail
from ansible_collections.sluice.stack.plugins.module_utils.contract import load_test
from ansible_collections.sluice.stack.plugins.module_utils.contract.environment import confirmed_environment
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.load import capacity, page, report
from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits
from ansible_collections.sluice.stack.plugins.module_utils.plan.state import confirmed_by_edges
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean
from ansible_collections.sluice.stack.plugins.modules import load_run
from ansible_collections.sluice.stack.plugins.plugin_utils import environment, host_module, report_files, say
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

MODES = ("profile", "capacity")
# Of the command line: a misspelt one would be a test that nobody asked for.
INPUTS = frozenset(f"load_test_{name}" for name in ("mode", "stop", "from", "k6", "directory", "json"))
Run = Callable[[list[dict[str, int]], bool], dict[str, Any]]


class ActionModule(host_module.HostModule):
    """See the documentation in plugins/modules/load_test.py."""

    PROGRAM = Program(load_run)
    _VALID_ARGS = frozenset(
        (
            "state",
            "app",
            "profile",
            "slo",
            "routes",
            "mode",
            "stop",
            "k6",
            "edges",
            "observed_by",
            "directory",
            "json_file",
        )
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check; send; judge, compare, print and write."""
        # Not the module's own run: it is called for each rate that is tried.
        result = super(host_module.HostModule, self).run(tmp, task_vars)
        args, variables = self._task.args, task_vars or {}
        mode, profile = self._asked(args, variables)
        if args.get("state") == "checked":
            return {**result, "changed": False}
        limits = self._limits(profile, args.get("slo"))
        base, hosts = _target(profile, args.get("routes") or [])
        about = {
            "app": args["app"],
            "mode": mode,
            "target": base,
            "from": str(variables.get("inventory_hostname")),
            "live": _live(args, variables["hostvars"]),
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "least": profile["capacity"]["least"],
        }
        if self._task.check_mode:
            plan = _plan(mode, profile, base, limits)
            return {**result, "changed": False, "message": "", "lines": say.show(plan)}
        sent = {
            "k6": args["k6"],
            "base": base,
            "hosts": hosts,
            "limits": limits,
            "requests": profile["requests"] or [load_test.REQUEST.read({}, "", Problems())],
            "scenario": _scenario(profile["scenario"]),
            "ca": profile["ca"] or "",
            "timeout": profile["timeout"],
            "clients": profile["clients"],
        }

        def run(stages: list[dict[str, int]], stop: bool) -> dict[str, Any]:
            answer = self.on_host(self.PROGRAM, {**sent, "stages": stages, "stop": stop}, variables)
            if answer.get("failed"):
                raise AnsibleActionFail(str(answer["msg"]))
            return answer

        say.now(f"Load test of {args['app']} at {base}, from {about['from']}", "bright blue")
        results = (
            _search(run, profile["capacity"])
            if mode == "capacity"
            else [run(profile["stages"], _yes(args.get("stop", True)))]
        )
        stopped = results[0]["stopped"] if mode == "profile" else ""
        made = report.data(about, limits, results, stopped)
        lines = (
            []
            if mode == "capacity"
            else [report.stage_line(stage) for stage in made["stages"] if stage["answered"] or stage["broken"]]
        )
        lines += self._written(made, args)
        message = "" if made["ok"] else f"load test of {args['app']}: {report.headline(made)}"
        return {**result, "changed": False, "result": made, "message": message, "lines": say.show(lines)}

    def _asked(self, args: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the mode and the profile; raises AnsibleActionFail for what must not or cannot run."""
        unknown = {name for name in variables if name.startswith("load_test_")} - INPUTS
        if unknown:
            raise AnsibleActionFail(f"{min(unknown)} is unknown: {did_you_mean(min(unknown), INPUTS, 'load_test_')}")
        mode = str(args.get("mode") or "profile")
        if mode not in MODES:
            raise AnsibleActionFail(f"load_test_mode is {mode!r}: {did_you_mean(mode, MODES)}")
        refused = confirmed_environment(environment.seen(variables, self._templar, self._loader), "a load test")
        if refused:
            raise AnsibleActionFail(refused)
        if not args.get("profile"):
            raise AnsibleActionFail(
                "app_load_test is not set: describe the requests and their rates, see docs/load-test.md"
            )
        problems = Problems()
        profile = load_test.LOAD_TEST.read(args["profile"], "app_load_test", problems)
        if problems.lines:
            raise AnsibleActionFail(problems.lines[0])
        if mode == "profile" and not profile["stages"]:
            raise AnsibleActionFail(
                "app_load_test.stages is empty: add a stage such as {rate: 20, seconds: 60}, or use -e load_test_mode=capacity"
            )
        self._limits(profile, args.get("slo"))
        return mode, profile

    @staticmethod
    def _limits(profile: Mapping[str, Any], slo: Any) -> dict[str, Any]:
        """Return the limits to hold: the profile's own, else the app's SLO."""
        given = profile["limits"] or slo
        if not given:
            raise AnsibleActionFail("nothing says what the app has to hold: set app_slo, or app_load_test.limits")
        problems = Problems()
        keys = {key: given[key] for key in ("availability", "latency") if given.get(key) is not None}
        limits: dict[str, Any] = load_test.LIMITS.read(keys, "app_slo", problems)
        if problems.lines:
            raise AnsibleActionFail(problems.lines[0])
        return limits

    def _written(self, made: report.Data, args: Mapping[str, Any]) -> list[str]:
        """Write the reports; returns what is left to print."""
        directory = os.path.expanduser(str(args.get("directory") or "reports"))
        stem = f"{made['app']}-load-{made['mode']}-"
        last = _last(os.path.join(directory, stem))
        lines = [*report.summary(made), *report.compared(made, last)]
        name = stem + made["time"].replace("-", "").replace(":", "")
        lines.append(report_files.write("load_test_directory", directory, name, made, page.html(made, last)))
        if args.get("json_file"):
            file = os.path.abspath(os.path.expanduser(str(args["json_file"])))
            try:
                write_atomic(file, report_files.json_text(made), 0o644)
            except OSError as error:
                raise AnsibleActionFail(f"load_test_json is {file}: {error.strerror}") from error
        return lines


def _search(run: Run, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Try rates until the highest that holds is known."""
    results: list[dict[str, Any]] = []
    rate = capacity.following([], settings)
    while rate:
        if results:
            time.sleep(settings["settle"])
        results.append(run([{"rate": rate, "seconds": settings["seconds"]}], True))
        trials = [one["stages"][0] for one in results]
        say.now(report.stage_line(trials[-1]))
        rate = capacity.following(trials, settings)
    return results


def _target(profile: Mapping[str, Any], routes: list[Mapping[str, Any]]) -> tuple[str, dict[str, str]]:
    """Return the beginning of each URL, and the addresses that stand in for DNS."""
    base = profile["url"] or next((f"https://{route['host']}" for route in routes if route.get("host")), None)
    if not base:
        raise AnsibleActionFail("app_load_test.url is not set, and no route has a host to take it from: set it")
    if not profile["address"]:
        return base, {}
    try:
        ipaddress.ip_address(profile["address"])
    except ValueError:
        raise AnsibleActionFail(f"app_load_test.address is {profile['address']!r}: it must be an IP address") from None
    return base, {str(urlsplit(base).hostname): profile["address"]}


def _scenario(path: str | None) -> str:
    if not path:
        return ""
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise AnsibleActionFail(f"app_load_test.scenario is {path}: {error}") from error


def _plan(mode: str, profile: Mapping[str, Any], base: str, limits: Mapping[str, Any]) -> list[str]:
    """Return what would be sent."""
    found = profile["capacity"]
    what = (
        [f"  rates from {found['from']}/s to {found['to']}/s, {found['seconds']} s each, to {found['precision']:g} %"]
        if mode == "capacity"
        else [f"  {stage['rate']:>6,}/s for {stage['seconds']} s" for stage in profile["stages"]]
    )
    return [f"Would send to {base}:", *what, f"  limits: {', '.join(Limits.of(limits).names())}"]


def _live(args: Mapping[str, Any], hostvars: Mapping[str, Any]) -> str:
    """Return the release that is live, as the edges say."""
    answers = {
        host: (hostvars[host].get(args.get("observed_by")) or {}).get("observation") for host in args.get("edges") or []
    }
    observed = {host: answer for host, answer in answers.items() if answer}
    history = ledger.merge_texts(item["ledger"] for item in observed.values())
    live, _unused = confirmed_by_edges(list(observed), observed, history)
    return live["release"] if live else ""


def _last(stem: str) -> dict[str, Any] | None:
    """Return the newest report with this stem: names end with their time."""
    for path in sorted(glob.glob(f"{glob.escape(stem)}*.json"), reverse=True):
        try:
            with open(path, encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
            return found if found["stages"] is not None and found["time"] else None
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _yes(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "no", "off", "0")
