# SPDX-License-Identifier: Apache-2.0
"""The checks: each takes the facts of one host and says what is wrong, what is fine, or why it cannot tell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import LATE_AT, span
from ansible_collections.sluice.stack.plugins.module_utils.security import declared
from ansible_collections.sluice.stack.plugins.module_utils.security.check import Look

Facts = Mapping[str, Any]
DAY = 86400.0
# Package lists and reports of lynis older than that say nothing about today.
LISTS_AGE, LYNIS_AGE = 3 * DAY, 35 * DAY
# With one of these a container leaves its walls.
STRONG = frozenset(
    ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "NET_ADMIN", "BPF", "SYS_BOOT")
)
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock")
# Writable in a container they are the host itself.
HOLY = (
    "/",
    "/etc",
    "/root",
    "/home",
    "/usr",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/var",
    "/var/run",
    "/run",
    "/var/lib",
    "/var/lib/docker",
)
REFRESH = "apt-get update on the host"
ELSEWHERE = "run it where the host can be reached, or name its address in security_addresses"
RUN_LYNIS = "on the host: apt-get install lynis && lynis audit system --quick"
ENGINE_PORTS = (2375, 4243)
ANY = ("0.0.0.0", "::", "")  # noqa: S104  (compared, not bound)


class Unknown(Exception):
    """The check cannot tell; the message says why, and ``fix`` what would help."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix


class NotHere(Exception):
    """The check is about something this host does not have."""


class Answer(NamedTuple):
    """What is wrong, a line each, and what is fine when nothing is."""

    problems: Sequence[str]
    fine: str


class Rule(NamedTuple):
    """A check: its name, how bad a failure is, what to do about it, and the function that looks."""

    name: str
    severity: str
    look: Callable[[Facts], Answer]
    fix: str


def part(facts: Facts, name: str, fix: str = "") -> Any:
    """Return a part of the facts; raises Unknown, with what would help, where the host could not give it."""
    found = facts["host"][name]
    if isinstance(found, Mapping) and "missing" in found:
        raise Unknown(str(found["missing"]), fix)
    return found


# -- who gets in -------------------------------------------------------------------------------------------------------


def ssh_settings(facts: Facts) -> Answer:
    """Keys only, and no password for anybody."""
    found = part(facts, "sshd")
    wrong = [
        f"{name} {found[name]}"
        for name, good in {
            "passwordauthentication": ("no",),
            "kbdinteractiveauthentication": ("no",),
            "permitrootlogin": ("no", "prohibit-password", "without-password", "forced-commands-only"),
            "permitemptypasswords": ("no",),
            "hostbasedauthentication": ("no",),
            "permituserenvironment": ("no",),
        }.items()
        if name in found and found[name] not in good
    ]
    return Answer(wrong, "keys only")


def accounts(facts: Facts) -> Answer:
    """One root, and nobody without a password or a lock."""
    found = part(facts, "accounts")
    wrong = [f"{name} is root under another name" for name in found["root"]]
    wrong += [f"{name} needs no password" for name in found["empty"]]
    return Answer(wrong, "one root, no empty password")


def docker_group(facts: Facts) -> Answer:
    """The group docker is root by another name."""
    return Answer(
        [f"{name} is in group docker" for name in part(facts, "accounts")["docker"]], "nobody in group docker"
    )


def firewall(facts: Facts) -> Answer:
    """The rules are those that were loaded by the role, and are loaded at boot."""
    found = part(facts, "firewall")
    if not found["loaded"]:
        return Answer(["table inet sluice is not loaded"], "")
    return Answer(
        [*found["drift"], *([] if found["at_boot"] else ["nftables is not started at boot"])], "loaded, also at boot"
    )


def ports(facts: Facts) -> Answer:
    """From outside, only declared ports are open."""
    wrong = [
        f"{address} port {port} is open{_who(facts, port)}"
        for address, states in _answered(facts)
        for port, state in states.items()
        if state == "open" and not declared.open_to(_rules(facts), int(port), facts["outside"]["sources"])
    ]
    return Answer(wrong, f"{_tried(facts)}, open: {_open(facts)}")


def dropped(facts: Facts) -> Answer:
    """From outside, a port that is not declared gives no answer, not even a refusal."""
    found = []
    for address, states in _answered(facts):
        refused = [
            int(port)
            for port, state in states.items()
            if state == "refused" and not declared.open_to(_rules(facts), int(port), facts["outside"]["sources"])
        ]
        if refused:
            more = " …" if len(refused) > 5 else ""
            found.append(f"{address} refuses instead of dropping: {' '.join(map(str, sorted(refused)[:5]))}{more}")
    return Answer(found, _tried(facts))


def listening(facts: Facts) -> Answer:
    """What listens beyond the loopback is declared for somebody: else only the firewall is in front of it."""
    found = {
        (one["port"], one["program"])
        for one in part(facts, "listening")
        if not declared.loopback(one["address"]) and not declared.to_anybody(_rules(facts), one["port"])
    }
    wrong = [f"{program or 'a program'} on port {port}" for port, program in sorted(found)]
    return Answer(wrong, "all of it is declared")


def ssh_algorithms(facts: Facts) -> Answer:
    """Nothing that ssh-audit fails."""
    return _told(facts, "ssh_audit", "ssh-audit has nothing against it")


# -- what runs ---------------------------------------------------------------------------------------------------------


def containers_escape(facts: Facts) -> Answer:
    """No container is root on its host: privileged, with the engine's socket, the host's files or its processes."""
    wrong = []
    for one in _running(facts):
        reasons = ["is privileged"] if one["privileged"] else []
        reasons += [f"has capability {name}" for name in sorted(STRONG & set(one["added"]))]
        reasons += [f"mounts {mount['source']}" for mount in one["mounts"] if _is_host(mount)]
        reasons += ["sees the host's processes"] if "pid" in one["namespaces"] else []
        wrong += [f"{one['name']} {reason}" for reason in reasons]
    return Answer(wrong, _count(facts))


def containers_user(facts: Facts) -> Answer:
    """No container runs as root."""
    wrong = [
        f"{one['name']} runs as root" for one in _running(facts) if one["user"].partition(":")[0] in ("", "0", "root")
    ]
    return Answer(wrong, _count(facts))


def containers_rights(facts: Facts) -> Answer:
    """Each container gave up what the engine gives by default."""
    wrong = []
    for one in _running(facts):
        reasons = [] if one["privileged"] or "ALL" in one["dropped"] else ["keeps the default capabilities"]
        if not any(
            option.startswith("no-new-privileges") and not option.endswith("false") for option in one["options"]
        ):
            reasons.append("may gain privileges")
        reasons += [
            f"has no {kind}"
            for kind in ("seccomp", "apparmor")
            if any(f"{kind}{mark}unconfined" in one["options"] for mark in "=:")
        ]
        reasons += [f"is in the host's {name} namespace" for name in one["namespaces"] if name != "pid"]
        wrong += [f"{one['name']} {reason}" for reason in reasons]
    return Answer(wrong, _count(facts))


def containers_published(facts: Facts) -> Answer:
    """A port is published on one address: on all of them, only the firewall is in front of it."""
    wrong = [
        f"{one['name']} publishes {port} on all addresses"
        for one in _running(facts)
        for port in sorted({port for address, port in one["published"] if address in ANY})
    ]
    return Answer(wrong, _count(facts))


def engine(facts: Facts) -> Answer:
    """The engine obeys root and its group, and nobody over the network without a certificate."""
    found = part(facts, "containers")
    if not found["engine"]:
        raise NotHere
    wrong = ["anybody may use its socket"] if found["socket_mode"] & 0o006 else []
    open_ports = {
        one["port"]
        for one in part(facts, "listening")
        if one["port"] in ENGINE_PORTS and not declared.loopback(one["address"])
    }
    return Answer(
        [*wrong, *(f"it listens on port {port}" for port in sorted(open_ports))], "its socket is for root and its group"
    )


def upgrades(facts: Facts) -> Answer:
    """No security upgrade is waiting."""
    found = part(facts, "upgrades")
    if found["age"] is None:
        raise Unknown("the host has no package lists", REFRESH)
    if found["security"]:
        return Answer(found["security"], "")
    if found["age"] > LISTS_AGE:
        raise Unknown(f"its package lists are {span(found['age'])} old", REFRESH)
    return Answer([], f"none pending, package lists {span(found['age'])} old")


def upgrades_daily(facts: Facts) -> Answer:
    """They are installed by themselves."""
    return Answer([] if part(facts, "upgrades")["daily"] else ["apt-daily-upgrade.timer is off"], "daily")


def reboot(facts: Facts) -> Answer:
    """What was upgraded is what runs."""
    found = part(facts, "upgrades")
    return Answer(
        [f"a reboot is due for {', '.join(found['reboot_for']) or 'an upgrade'}"] if found["reboot"] else [],
        "not needed",
    )


# -- what lies there ---------------------------------------------------------------------------------------------------


def secret_files(facts: Facts) -> Answer:
    """No secret is readable by everybody."""
    found = part(facts, "files")
    return Answer([f"anybody can read {path}" for path in found["readable"]], f"{found['seen']} files looked at")


def writable_files(facts: Facts) -> Answer:
    """No configuration or program is writable by everybody."""
    found = part(facts, "files")
    return Answer([f"anybody can write {path}" for path in found["writable"]], f"{found['seen']} files looked at")


def kernel(facts: Facts) -> Answer:
    """The kernel has the settings that were written."""
    found = part(facts, "kernel")
    wrong = [f"{name} is {one['found'] or 'unknown'}, not {one['wanted']}" for name, one in found["different"].items()]
    return Answer(wrong, f"{found['settings']} settings in force")


def lynis(facts: Facts) -> Answer:
    """The last report of lynis has a good index and no warning."""
    found = part(facts, "lynis", RUN_LYNIS)
    if found["index"] is None or found["age"] > LYNIS_AGE:
        raise Unknown(f"its last report is {span(found['age'])} old or incomplete", RUN_LYNIS)
    least = facts["limits"]["lynis"]
    wrong = [f"index {found['index']}, below {least}"] if found["index"] < least else []
    return Answer([*wrong, *(warning.replace("|", ": ") for warning in found["warnings"])], f"index {found['index']}")


# -- what visitors get -------------------------------------------------------------------------------------------------


def plain_http(facts: Facts) -> Answer:
    """Every route is served over TLS, and HTTP is sent on to it."""
    wrong = []
    for site in _sites(facts):
        if not site["tls"]:
            wrong.append(f"{site['host'] or 'routes without a host'}: served without TLS")
        elif site["redirect"] not in (0, 301, 308):
            wrong.append(f"{site['host']}: HTTP is answered with {site['redirect']} instead of a redirect")
    return Answer(wrong, "all of it is over TLS")


def certificate(facts: Facts) -> Answer:
    """Clients trust each certificate, and it is renewed in time."""
    wrong, fine = [], []
    for site in _secure(facts):
        found = site["certificate"]
        if found.get("missing"):
            wrong.append(f"{site['host']}: {found['missing']}")
            continue
        left, life = found["ends"] - facts["now"], found["ends"] - found["begins"]
        if left <= 0:
            wrong.append(f"{site['host']}: expired {span(-left)} ago")
        elif found["untrusted"]:
            wrong.append(f"{site['host']}: {found['untrusted']}")
        elif left < life * LATE_AT:
            wrong.append(f"{site['host']}: {span(left)} left and not renewed")
        fine.append(f"{site['host']} {span(left)} left")
    return Answer(wrong, ", ".join(fine))


def tls_versions(facts: Facts) -> Answer:
    """TLS 1.2 or newer only."""
    wrong = [f"{site['host']}: accepts {version}" for site in _secure(facts) for version in site["old_versions"]]
    return Answer(wrong, "TLS 1.2 or newer")


def tls_grade(facts: Facts) -> Answer:
    """What sslyze holds against Mozilla's intermediate configuration."""
    wrong: list[str] = []
    for site in _secure(facts):
        found = site["sslyze"]
        if "missing" in found:
            raise Unknown(found["missing"], "on the controller: pipx install sslyze")
        wrong += [f"{site['host']}: {line}" for line in found["problems"]]
    return Answer(wrong, "as Mozilla's intermediate configuration asks")


def headers(facts: Facts) -> Answer:
    """Each route's answer tells browsers to be careful, and nobody which version of a program it is from."""
    wrong = []
    for site in _sites(facts):
        for path, found in site["headers"].items():
            wrong += [f"{site['host']}{path}: {line}" for line in header_problems(found, site["tls"])]
    return Answer(wrong, "as they should be")


def header_problems(found: Mapping[str, str], tls: bool) -> Iterator[str]:
    """Yield what is wrong with the headers of an answer; their names are in lower case."""
    if tls and "max-age=" not in found.get("strict-transport-security", ""):
        yield "no Strict-Transport-Security"
    if found.get("x-content-type-options", "").lower() != "nosniff":
        yield "no X-Content-Type-Options: nosniff"
    if "x-frame-options" not in found and "frame-ancestors" not in found.get("content-security-policy", ""):
        yield "may be framed: no X-Frame-Options, no frame-ancestors"
    if "referrer-policy" not in found:
        yield "no Referrer-Policy"
    for name in ("server", "x-powered-by", "x-aspnet-version"):
        if any(letter.isdigit() for letter in found.get(name, "")) or (name != "server" and name in found):
            yield f"{name} says {found[name]}"


# -- shared ------------------------------------------------------------------------------------------------------------


def _running(facts: Facts) -> Sequence[Mapping[str, Any]]:
    found = part(facts, "containers")
    if not found["engine"]:
        raise NotHere
    return list(found["running"])


def _count(facts: Facts) -> str:
    count = len(part(facts, "containers")["running"])
    return f"{count} container{'' if count == 1 else 's'}"


def _is_host(mount: Mapping[str, Any]) -> bool:
    source = str(mount["source"]).rstrip("/") or "/"
    return source in SOCKETS or (source in HOLY and (mount["writable"] or source in ("/", "/var/run", "/run")))


def _rules(facts: Facts) -> list[declared.Rule]:
    return declared.rules(facts["declared"])


def _answered(facts: Facts) -> list[tuple[str, Mapping[str, str]]]:
    """Return what each address answered; raises Unknown where none can be reached from here."""
    found = facts["outside"]["ports"]
    there = [(address, item["states"]) for address, item in found.items() if item["reached"]]
    if not there:
        raise Unknown(
            f"{', '.join(found) or 'no address'} cannot be reached from here",
            ELSEWHERE,
        )
    return there


def _tried(facts: Facts) -> str:
    there = _answered(facts)
    count = len(next(iter(there))[1])
    away = [address for address, item in facts["outside"]["ports"].items() if not item["reached"]]
    return f"{count} ports of {', '.join(address for address, _unused in there)}" + (
        f" (not of {', '.join(away)}: no answer)" if away else ""
    )


def _open(facts: Facts) -> str:
    ports_open = {
        int(port) for _unused, states in _answered(facts) for port, state in states.items() if state == "open"
    }
    return " ".join(map(str, sorted(ports_open))) or "none"


def _who(facts: Facts, port: str) -> str:
    found = facts["host"]["listening"]
    programs = {one["program"] for one in found if one["port"] == int(port)} if isinstance(found, list) else set()
    return f" ({', '.join(sorted(filter(None, programs)))})" if any(programs) else ""


def _told(facts: Facts, tool: str, fine: str) -> Answer:
    found = facts["outside"][tool]
    if "missing" in found:
        raise Unknown(found["missing"], f"on the controller: pipx install {tool.replace('_', '-')}")
    return Answer(found["problems"], fine)


def _sites(facts: Facts) -> list[Mapping[str, Any]]:
    sites = list(facts["outside"]["sites"])
    if not sites:
        raise NotHere
    away = [site for site in sites if site.get("missing")]
    if away:
        raise Unknown(str(away[0]["missing"]))
    return sites


def _secure(facts: Facts) -> list[Mapping[str, Any]]:
    found = [site for site in _sites(facts) if site["tls"]]
    if not found:
        raise NotHere
    return found


PROVISION = "ansible-playbook provision.yml"
RULES = (
    Rule(
        "ssh_settings",
        "critical",
        ssh_settings,
        f"{PROVISION} --tags baseline; look for what overrides /etc/ssh/sshd_config.d/00-sluice.conf",
    ),
    Rule(
        "ssh_algorithms",
        "high",
        ssh_algorithms,
        f"{PROVISION} --tags baseline",
    ),
    Rule("accounts", "critical", accounts, "remove the account, or lock its password: passwd --lock NAME"),
    Rule("docker_group", "medium", docker_group, "gpasswd --delete NAME docker; use sudo"),
    Rule(
        "ports",
        "critical",
        ports,
        "stop the program, let it listen on 127.0.0.1, or declare the port in baseline_firewall_extra",
    ),
    Rule("ports_dropped", "medium", dropped, f"{PROVISION} --tags baseline: the firewall lets it through"),
    Rule(
        "listening",
        "low",
        listening,
        "let it listen on 127.0.0.1 or stack_address, or declare the port in baseline_firewall_extra",
    ),
    Rule("firewall", "high", firewall, f"{PROVISION} --tags baseline"),
    Rule(
        "containers_escape",
        "critical",
        containers_escape,
        "run it without; a proxy such as docker-socket-proxy for what reads the engine",
    ),
    Rule("containers_user", "medium", containers_user, "USER in its image, or a user for the container"),
    Rule(
        "containers_rights",
        "medium",
        containers_rights,
        "--cap-drop=ALL --security-opt=no-new-privileges, as services of an app have",
    ),
    Rule(
        "containers_published", "medium", containers_published, "publish on one address: --publish 127.0.0.1:PORT:PORT"
    ),
    Rule("engine", "critical", engine, "chmod 660 /var/run/docker.sock; no hosts: [tcp://…] in daemon.json"),
    Rule("upgrades", "high", upgrades, "apt-get update && apt-get upgrade on the host, or wait for its daily upgrade"),
    Rule("upgrades_daily", "medium", upgrades_daily, "baseline_upgrades: true, then provision"),
    Rule("reboot", "medium", reboot, "ansible-playbook playbooks/hosts/reboot.yml"),
    Rule("secret_files", "high", secret_files, "chmod o= FILE, then change the secret"),
    Rule("writable_files", "high", writable_files, "chmod o-w FILE"),
    Rule("kernel", "low", kernel, f"{PROVISION} --tags baseline; look for a later file in /etc/sysctl.d"),
    Rule("lynis", "low", lynis, "grep -E 'warning|suggestion' /var/log/lynis-report.dat on the host"),
    Rule(
        "plain_http",
        "high",
        plain_http,
        "give the route a host and edge_tls_source another value than none: docs/tls.md",
    ),
    Rule("certificate", "high", certificate, "ansible-playbook status.yml says why: docs/tls.md"),
    Rule("tls_versions", "high", tls_versions, f"{PROVISION} --tags nginx; look for ssl_protocols in files of yours"),
    Rule("tls_grade", "medium", tls_grade, f"{PROVISION} --tags nginx"),
    Rule("headers", "medium", headers, "let the app set it, or Nginx: docs/edge.md"),
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
