# SPDX-License-Identifier: Apache-2.0
"""Who gets in: SSH, accounts, the firewall, and what answers from outside. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.sluice.stack.plugins.module_utils.security import declared
from ansible_collections.sluice.stack.plugins.module_utils.security.rule import Answer, Facts, Unknown, part

ELSEWHERE = "run it where the host can be reached, or name its address in security_addresses"


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
