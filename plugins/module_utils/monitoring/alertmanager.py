# SPDX-License-Identifier: Apache-2.0
"""The configuration of Alertmanager: who hears of what, and what is held back. Pure.

https://prometheus.io/docs/alerting/latest/configuration/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    Kind,
    Problems,
    flag,
    number,
    sequence,
    shown,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.alert import PAGE, SEVERITIES, TICKET
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Config = dict[str, Any]

SECRETS = "/etc/prometheus/secrets"
# Alertmanager names no receiver of ours like this.
NOBODY, DEAD_MAN = "nobody", "dead-man"
# Of rules that are not ours, whose authors use other words.
WORDS = {PAGE: "page|critical", TICKET: "ticket|warning"}
TIMES: dict[str, Config] = {
    PAGE: {"group_wait": "10s", "group_interval": "1m", "repeat_interval": "1h"},
    TICKET: {"group_wait": "1m", "group_interval": "10m", "repeat_interval": "1d"},
}

TITLE = "{{ .Status | toUpper }}: {{ .CommonLabels.alertname }}{{ with .CommonLabels.app }} of {{ . }}{{ end }}"
BODY = (
    '{{ range .Alerts }}{{ .Annotations.summary }} ({{ .Labels.severity }}{{ if eq .Status "resolved" }}, over{{ end }})\n'
    "{{ .Annotations.description }}\n{{ .Annotations.runbook_url }}\n{{ end }}"
)

_URL = (r"https?://\S+", "an http or https address")
_COMMON = {"severities": sequence(text(choices=SEVERITIES), default=list(SEVERITIES)), "resolved": flag(True)}
RECEIVERS: dict[str, Kind] = {
    "slack": struct({"type": text(), "url": text(REQUIRED, *_URL, secret=True), "channel": text(""), **_COMMON}),
    "webhook": struct({"type": text(), "url": text(REQUIRED, *_URL, secret=True), **_COMMON}),
    "pagerduty": struct(
        {
            "type": text(),
            "key": text(secret=True),
            "url": text("https://events.pagerduty.com/v2/enqueue", *_URL),
            **_COMMON,
        }
    ),
    "mail": struct(
        {
            "type": text(),
            "to": text(),
            "from": text(),
            "server": text(REQUIRED, r"[^\s:]+:\d+", "host:port"),
            "user": text(""),
            "password": text("", secret=True),
            "tls": flag(True),
            **_COMMON,
        }
    ),
}
NAME = r"[a-z][a-z0-9-]{0,30}"
_DEAD_MAN = struct({"url": text(REQUIRED, *_URL, secret=True), "every": number(60, 10, 86400, whole=True)})


@dataclass(frozen=True)
class _Read:
    receivers: dict[str, Config]
    dead_man: Config | None


def _read(settings: Mapping[str, Any], problems: Problems) -> _Read:
    found: dict[str, Config] = {}
    given = settings.get("receivers") or {}
    if not isinstance(given, Mapping):
        problems.add("monitoring_receivers", f"must be a map, not {shown(given)}", given)
        given = {}
    for name, one in given.items():
        path = f"monitoring_receivers.{name}"
        kind = one.get("type") if isinstance(one, Mapping) else None
        if kind not in RECEIVERS:
            problems.add(f"{path}.type", f"is {shown(kind)}: {did_you_mean(str(kind), RECEIVERS)}", one)
        elif name in (NOBODY, DEAD_MAN) or not _named(str(name)):
            problems.add(path, "is not a name for a receiver: use lower-case letters, digits and '-'", one)
        else:
            found[str(name)] = RECEIVERS[kind].read(one, path, problems)
    dead_man = settings.get("dead_man") or None
    return _Read(found, _DEAD_MAN.read(dead_man, "monitoring_dead_man", problems) if dead_man else None)


def _named(name: str) -> bool:
    return name[:1].isalpha() and name.islower() and name.replace("-", "").isalnum() and len(name) <= 31


def problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a line for each fault of the settings; none shows a secret."""
    found = Problems()
    _read(settings, found)
    return found.lines


def secrets(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return file name in SECRETS → content, for what Alertmanager can read from a file. Mode 0640, its own group."""
    read = _read(settings, Problems())
    fields = {"slack": "url", "pagerduty": "key", "mail": "password"}
    values = {name: str(one.get(fields.get(one["type"], ""), "")) for name, one in read.receivers.items()}
    return {f"alertmanager-{name}": value for name, value in values.items() if value}


def config(settings: Mapping[str, Any]) -> Config:
    """Return alertmanager.yml of ``receivers`` and ``dead_man``, which must have no ``problems``.

    The address of a webhook stands in it: amtool of Debian 12, where this is tested too, knows no file for it. So the file's mode is 0640, too.
    """
    read = _read(settings, Problems())
    routes: list[Config] = [{"receiver": DEAD_MAN if read.dead_man else NOBODY, "matchers": ['alertname="Watchdog"']}]
    if read.dead_man:
        every = f"{read.dead_man['every']}s"
        routes[0] |= {"group_wait": "0s", "group_interval": every, "repeat_interval": every}
    routes += [
        {"receiver": name, "matchers": [f'severity=~"{WORDS[severity]}"'], "continue": True, **TIMES[severity]}
        for name, one in read.receivers.items()
        for severity in one["severities"]
    ]
    receivers: list[Config] = [{"name": NOBODY}]
    if read.dead_man:
        # Only that it fires is of interest.
        receivers.append({"name": DEAD_MAN, "webhook_configs": [{"url": read.dead_man["url"], "send_resolved": False}]})
    receivers += [{"name": name, **_INTEGRATIONS[one["type"]](name, one)} for name, one in read.receivers.items()]
    return {
        "route": {"receiver": NOBODY, "group_by": ["alertname", "app", "instance"], "routes": routes},
        "receivers": receivers,
        "inhibit_rules": inhibitions(),
    }


def _file(name: str) -> str:
    return f"{SECRETS}/alertmanager-{name}"


def _slack(name: str, one: Config) -> Config:
    channel = {"channel": one["channel"]} if one["channel"] else {}
    message = {"title": TITLE, "text": BODY, "send_resolved": one["resolved"]}
    return {"slack_configs": [{"api_url_file": _file(name), **channel, **message}]}


def _webhook(_name: str, one: Config) -> Config:
    return {"webhook_configs": [{"url": one["url"], "send_resolved": one["resolved"]}]}


def _pagerduty(name: str, one: Config) -> Config:
    details = {"details": BODY}
    message = {"description": TITLE, "details": details, "severity": "critical", "send_resolved": one["resolved"]}
    return {"pagerduty_configs": [{"routing_key_file": _file(name), "url": one["url"], **message}]}


def _mail(name: str, one: Config) -> Config:
    login = {"auth_username": one["user"], "auth_password_file": _file(name)} if one["user"] else {}
    message = {"headers": {"Subject": TITLE}, "text": BODY, "html": "", "send_resolved": one["resolved"]}
    about = {"to": one["to"], "from": one["from"], "smarthost": one["server"], "require_tls": one["tls"]}
    return {"email_configs": [{**about, **login, **message}]}


_INTEGRATIONS: dict[str, Callable[[str, Config], Config]] = {
    "slack": _slack,
    "webhook": _webhook,
    "pagerduty": _pagerduty,
    "mail": _mail,
}


def inhibitions() -> list[Config]:
    """What holds back what: the cause is told, and not its consequences."""

    def one(cause: str, held: str, *equal: str) -> Config:
        return {
            "source_matchers": [f'alertname="{cause}"'],
            "target_matchers": [f'alertname=~"{held}"'],
            "equal": list(equal),
        }

    return [
        {
            "source_matchers": ['alertname="HostDown"'],
            "target_matchers": ['alertname!="HostDown"'],
            "equal": ["instance"],
        },
        one("PostgresDown", "ReplicaLag|ConnectionsNearLimit|WalArchiveLag", "instance"),
        one("RedisDown", "RedisMemoryNearlyFull", "instance"),
        one("DiskNearlyFull", "DiskFillsIn24h", "instance", "mountpoint"),
        one("CertificateEndingNow", "CertificateEnding", "instance", "name"),
        one("ErrorBudgetBurnsFast", "ErrorBudgetBurns", "app", "slo"),
    ]
