# SPDX-License-Identifier: Apache-2.0
"""All checks, in the order of the table. Each takes the facts of one host and says what is wrong, what is fine, or why it cannot tell. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sluice.stack.plugins.module_utils.security import access, running, sites, state
from ansible_collections.sluice.stack.plugins.module_utils.security.check import Look
from ansible_collections.sluice.stack.plugins.module_utils.security.rule import Facts, NotHere, Rule, Unknown

PROVISION = "ansible-playbook provision.yml"
RULES = (
    Rule(
        "ssh_settings",
        "critical",
        access.ssh_settings,
        f"{PROVISION} --tags baseline; look for what overrides /etc/ssh/sshd_config.d/00-sluice.conf",
    ),
    Rule(
        "ssh_algorithms",
        "high",
        access.ssh_algorithms,
        f"{PROVISION} --tags baseline",
    ),
    Rule("accounts", "critical", access.accounts, "remove the account, or lock its password: passwd --lock NAME"),
    Rule("docker_group", "medium", access.docker_group, "gpasswd --delete NAME docker; use sudo"),
    Rule(
        "ports",
        "critical",
        access.ports,
        "stop the program, let it listen on 127.0.0.1, or declare the port in baseline_firewall_extra",
    ),
    Rule("ports_dropped", "medium", access.dropped, f"{PROVISION} --tags baseline: the firewall lets it through"),
    Rule(
        "listening",
        "low",
        access.listening,
        "let it listen on 127.0.0.1 or stack_address, or declare the port in baseline_firewall_extra",
    ),
    Rule("firewall", "high", access.firewall, f"{PROVISION} --tags baseline"),
    Rule(
        "containers_escape",
        "critical",
        running.containers_escape,
        "run it without; a proxy such as docker-socket-proxy for what reads the engine",
    ),
    Rule("containers_user", "medium", running.containers_user, "USER in its image, or a user for the container"),
    Rule(
        "containers_rights",
        "medium",
        running.containers_rights,
        "--cap-drop=ALL --security-opt=no-new-privileges, as services of an app have",
    ),
    Rule(
        "containers_published",
        "medium",
        running.containers_published,
        "publish on one address: --publish 127.0.0.1:PORT:PORT",
    ),
    Rule("engine", "critical", running.engine, "chmod 660 /var/run/docker.sock; no hosts: [tcp://…] in daemon.json"),
    Rule(
        "upgrades",
        "high",
        running.upgrades,
        "apt-get update && apt-get upgrade on the host, or wait for its daily upgrade",
    ),
    Rule("upgrades_daily", "medium", running.upgrades_daily, "baseline_upgrades: true, then provision"),
    Rule("reboot", "medium", running.reboot, "ansible-playbook playbooks/hosts/reboot.yml"),
    Rule("secret_files", "high", state.secret_files, "chmod o= FILE, then change the secret"),
    Rule("writable_files", "high", state.writable_files, "chmod o-w FILE"),
    Rule("kernel", "low", state.kernel, f"{PROVISION} --tags baseline; look for a later file in /etc/sysctl.d"),
    Rule("lynis", "low", state.lynis, "grep -E 'warning|suggestion' /var/log/lynis-report.dat on the host"),
    Rule(
        "plain_http",
        "high",
        sites.plain_http,
        "give the route a host and edge_tls_source another value than none: docs/tls.md",
    ),
    Rule("certificate", "high", sites.certificate, "ansible-playbook status.yml says why: docs/tls.md"),
    Rule(
        "tls_versions",
        "high",
        sites.tls_versions,
        f"{PROVISION} --tags nginx; look for ssl_protocols in files of yours",
    ),
    Rule("tls_grade", "medium", sites.tls_grade, f"{PROVISION} --tags nginx"),
    Rule("headers", "medium", sites.headers, "let the app set it, or Nginx: docs/edge.md"),
)
REACHED = "reached"
NAMES = (REACHED, *(rule.name for rule in RULES))


def looks(host: str, facts: Facts | None, why: str = "") -> list[Look]:
    """Return what every check saw on a host. Without facts, ``why`` says what went wrong."""
    if facts is None:
        return [Look(REACHED, host, "high", "the audit says nothing about this host: make it reachable", (why,))]
    return [look for rule in RULES for look in _look(rule, host, facts)]


def _look(rule: Rule, host: str, facts: Facts) -> Iterator[Look]:
    try:
        found = rule.look(facts)
    except NotHere:
        return
    except Unknown as error:
        yield Look(rule.name, host, rule.severity, error.fix, unknown=str(error))
        return
    yield Look(rule.name, host, rule.severity, rule.fix, tuple(found.problems), found.fine)
