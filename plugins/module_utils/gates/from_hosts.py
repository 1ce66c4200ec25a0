# SPDX-License-Identifier: Apache-2.0
"""Gates that are judged by what the hosts said. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, UNKNOWN, Result, named, span
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger, manifest

Options = Mapping[str, Any]
# sluice-certificates looks every few minutes.
STATUS_AGE = 86400.0
# The engines of database backups that sluice-backup runs.
MADE_HERE = ("pgbackrest", "pg_dump")


def _unheard(name: str, facts: Facts, hosts: Sequence[str]) -> Result | None:
    """The result where a host that is needed did not answer."""
    missing = [host for host in hosts if host not in facts.hosts]
    if not missing:
        return None
    why = f"{missing[0]}: {facts.unanswered.get(missing[0], 'no answer')}"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return Result(name, UNKNOWN, f"{why}{more}", "bring it back, or exclude it with -e release_exclude_hosts=name")


def backup(facts: Facts, options: Options) -> Result:
    """Every kind of backup is healthy, and the newest of each is young enough."""
    programs = {host: item["backups"] for host, item in sorted(facts.hosts.items()) if item.get("backups")}
    missing = _unheard("backup", facts, [facts.database] if facts.database and facts.engine in MADE_HERE else [])
    if missing:
        return missing
    if not programs:
        who = "the database's provider makes them" if facts.engine == "external" else "nothing is backed up from here"
        return Result(
            "backup", UNKNOWN, who, "set backup_repositories and run provision.yml, or waive it with a reason"
        )
    faults, ages = [], []
    for host, found in programs.items():
        for program, answer in found.items():
            where = f"{host}: {program}"
            faults += [f"{where}: {line}" for line in answer["problems"]]
            # Of each source in some repository; a repository that is behind is one of the problems.
            for source, ended in answer["newest"].items():
                age = facts.now - ended
                ages.append(age)
                if age > options["max_age"]:
                    about = f" of {source}" if source else ""
                    faults.append(
                        f"{where}: the newest{about} is {span(age)} old, more than {span(options['max_age'])}"
                    )
            if not answer["newest"] and not answer["problems"]:
                faults.append(f"{where}: there is none yet")
    if faults:
        return Result(
            "backup",
            FAILED,
            named(faults, 2),
            "see playbooks/backup/status.yml; make one with sluice-backup full on the host",
        )
    return Result("backup", OK, f"{', '.join(programs)}: the oldest of the newest is {span(max(ages))} old")


def drill(facts: Facts, options: Options) -> Result:
    """A restore of the database was proved within the time."""
    if not facts.database or facts.engine not in MADE_HERE:
        return Result("drill", UNKNOWN, "the database is not backed up from here", "waive it with a reason")
    missing = _unheard("drill", facts, [facts.database])
    if missing:
        return missing
    record = facts.hosts[facts.database].get("drill")
    fix = "run playbooks/backup/drill.yml"
    if not record:
        return Result("drill", FAILED, f"{facts.database}: no restore was ever tried", fix)
    age = facts.now - record["begun"]
    if record["verdict"] != "proved":
        return Result("drill", FAILED, f"{facts.database}: the last drill {record['verdict']}: {record['reason']}", fix)
    if age > options["max_age"]:
        return Result(
            "drill",
            FAILED,
            f"{facts.database}: a restore was proved {span(age)} ago, more than {span(options['max_age'])}",
            fix,
        )
    return Result("drill", OK, f"{facts.database}: a restore was proved {span(age)} ago")


def _summary(facts: Facts) -> dict[str, Any]:
    observed = {host: item["observation"] for host, item in facts.hosts.items() if "observation" in item}
    lost = {host: why for host, why in facts.unanswered.items() if host in (*facts.edges, *facts.apps)}
    return status.summarise(facts.app, facts.edges, facts.apps, observed, lost)


def rollback_target(facts: Facts, _unused: Options) -> Result:
    """After this release there is one to go back to: the live one, which is whole."""
    missing = _unheard("rollback_target", facts, facts.edges)
    if missing:
        return missing
    found = _summary(facts)
    if not found["live"] or not found["manifest"]:
        return Result(
            "rollback_target",
            FAILED,
            "nothing is live: after a first deploy there is nothing to go back to",
            "waive it for the first release",
        )
    live = found["live"]["release"]
    if manifest.version_in(live) == facts.version and found["previous"]:
        live = found["previous"]
        history = ledger.merge_texts(
            item["observation"]["ledger"] for item in facts.hosts.values() if "observation" in item
        )
        if live not in history.manifests:
            return Result(
                "rollback_target", FAILED, f"release {live} is in no ledger any more", "raise app_keep_releases"
            )
    elif found["state"] != "live":
        return Result(
            "rollback_target",
            FAILED,
            f"release {live} is {found['state']}: {_parts(found)}",
            "repair it first: deploy its version again",
        )
    return Result("rollback_target", OK, f"release {live}")


def live(facts: Facts, _unused: Options) -> Result:
    """The version is live on every host."""
    found = _summary(facts)
    if not found["live"]:
        return Result("live", FAILED, "nothing is live", "deploy it")
    version = found["manifest"]["version"] if found["manifest"] else "of an unknown version"
    what = f"{version}, release {found['live']['release']}"
    if version != facts.version:
        return Result(
            "live", FAILED, f"{what}, not {facts.version}", "deploy it, or name the version that should be live"
        )
    if found["state"] != "live":
        return Result(
            "live",
            FAILED,
            f"{what} is {found['state']}: {_parts(found)}",
            "run deploy.yml with this version again, it repairs",
        )
    return Result("live", OK, f"{what}, on {', '.join(sorted(facts.apps))}")


def _parts(found: Mapping[str, Any]) -> str:
    return named([*found["lagging"], *found["partial"], *found["unreachable"]])


def certificates(facts: Facts, options: Options) -> Result:
    """Every certificate of the edges lasts long enough, and nothing is wrong with renewing it."""
    missing = _unheard("certificates", facts, facts.edges)
    if missing:
        return missing
    faults, least, count = [], float("inf"), 0
    for host in facts.edges:
        found = facts.hosts[host]["observation"]["edge"].get("certificates")
        if not found:
            continue
        faults += [f"{host}: {line}" for line in found["problems"]]
        if found["age"] > STATUS_AGE:
            faults.append(f"{host}: sluice-certificates has not run for {span(found['age'])}")
        for one in found["names"]:
            if "ends" not in one:
                continue
            count, left = count + 1, one["ends"] - found["time"] - found["age"]
            least = min(least, left)
            if left < options["days"] * 86400:
                faults.append(
                    f"{host}: {one['name']} ends in {span(max(0.0, left))}, less than {options['days']:g} days"
                )
    if faults:
        return Result(
            "certificates", FAILED, named(faults, 2), "see docs/tls.md; sluice-certificates renew on the edge says why"
        )
    if not count:
        return Result("certificates", OK, "no host name has TLS")
    return Result("certificates", OK, f"{count} certificates, the first ends in {span(least)}")


def capacity(facts: Facts, options: Options) -> Result:
    """Every app host has room for one release more."""
    missing = _unheard("capacity", facts, facts.apps)
    if missing:
        return missing
    faults, disks, memories = [], [], []
    for host in facts.apps:
        disk, memory = facts.hosts[host]["observation"]["disk_free"], facts.hosts[host]["memory_free"]
        disks.append(disk)
        memories.append(memory)
        if disk < options["disk"]:
            faults.append(f"{host}: {_size(disk)} of disk free, less than {_size(options['disk'])}")
        if memory < options["memory"]:
            faults.append(f"{host}: {_size(memory)} of memory free, less than {_size(options['memory'])}")
    if faults:
        return Result("capacity", FAILED, named(faults, 2), "free some, or add an app host")
    return Result(
        "capacity",
        OK,
        f"at least {_size(min(disks))} of disk and {_size(min(memories))} of memory free on each app host",
    )


def flags(facts: Facts, _unused: Options) -> Result:
    """Unleash has told every app host of the flags that the code asks for."""
    missing = _unheard("flags", facts, facts.apps)
    if missing:
        return missing
    told = {host: facts.hosts[host]["observation"].get("flags") for host in facts.apps}
    untold = [host for host, names in told.items() if names is None]
    if facts.flags and untold:
        fix = "set feature_flags_* and run provision.yml --tags feature_flags, or wait for Unleash"
        return Result("flags", UNKNOWN, f"{named(untold)}: Unleash has told nothing yet", fix)
    faults = [f"{host}: {name}" for host, names in told.items() for name in facts.flags if name not in (names or ())]
    if faults:
        return Result("flags", FAILED, f"not in Unleash: {named(faults)}", "run playbooks/flags/flags.yml")
    return Result("flags", OK, f"{len(facts.flags)} that the code asks for are in Unleash")


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def alerts(facts: Facts, options: Options) -> Result:
    """Prometheus has alerting rules, they can be evaluated, and none of the severities is firing."""
    found, where = facts.alerts, options["url"] or "Prometheus"
    if "error" in found or not found:
        return _not_asked("alerts", where, found)
    rules = found["rules"]
    if not rules:
        return Result("alerts", FAILED, f"{where} has no alerting rules", "configure alerts")
    broken = [one["name"] for one in rules if one["health"] == "err"]
    if broken:
        return Result("alerts", FAILED, f"rules that cannot be evaluated: {named(broken)}", "correct their expressions")
    firing = sorted({one["name"] for one in found["firing"] if one["severity"] in options["firing"]})
    if firing:
        return Result("alerts", FAILED, f"firing: {named(firing)}", "end the incident first")
    return Result("alerts", OK, f"{len(rules)} rules, none of {', '.join(options['firing'])} firing")


def error_budget(facts: Facts, options: Options) -> Result:
    """No error budget of the app burns too fast, and enough is left of each."""
    name, found = "error_budget", facts.budgets
    if "error" in found or not found:
        return _not_asked(name, "Prometheus", found)
    left = found["left"]
    if found["burning"]:
        fix = "end the incident first, or waive it when this release does"
        return Result(name, FAILED, f"it burns too fast: {named(found['burning'])}", fix)
    if not left:
        fix = "set app_slo, run provision.yml, and check that Prometheus reaches the edges"
        return Result(name, UNKNOWN, f"Prometheus knows no error budget of {facts.app}", fix)
    said = named([f"{share:.0%} of {slo}" for slo, share in sorted(left.items())])
    if min(left.values()) <= options["least"]:
        least = f"not more than {options['least']:.0%}"
        return Result(name, FAILED, f"left: {said}, {least}", "stability first, or waive it with a reason")
    return Result(name, OK, f"left: {said}")


def _not_asked(name: str, where: str, found: Mapping[str, Any]) -> Result:
    why = found.get("error", "not asked: no host of group monitors answered")
    return Result(name, UNKNOWN, f"{where}: {why}", "check that Prometheus is up")
