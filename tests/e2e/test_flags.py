# SPDX-License-Identifier: Apache-2.0
"""Feature flags: switched off on every container at once, and kept while Unleash is away."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import APP_HOSTS, QUICK, STATE, Lab, inventory_app, until
from tests.support.load import Ask, Load

VERSION = "v1.0.0"
# Nothing listens there.
AWAY = "http://127.0.0.1:9"
FOLDER = f"{STATE}/apps/marketplace/flags"
ASKS = (Ask("GET", "/api/flags", expect=(200,)), Ask("GET", "/api/version", expect=(200,)))
# The promise: from the switch to what a container answers.
SECONDS = 2
# On the app's host: ask one container until its answer changes; how long after the switch that was.
WATCH = """
import json, os, sys, time, urllib.request
url, file, name, old = sys.argv[1:5]
end = time.time() + 60
while time.time() < end:
    if str(json.load(urllib.request.urlopen(url, timeout=5))[name]) != old:
        print(time.time() - os.stat(file).st_mtime)
        break
    time.sleep(0.02)
"""


def derived(lab: Lab, name: str, what: str) -> str:
    """A secret of the lab's Unleash, made from one in the lab's vault."""
    return hashlib.sha256((lab.secrets()[f"vault_{name}"] + what).encode()).hexdigest()


def app(lab: Lab, url: str, token: str = "") -> dict[str, Any]:
    """The lab's app, with its flags from an Unleash."""
    given = inventory_app()
    backend = given["app_services"]["backend"]
    backend["env"] |= {"UNLEASH_URL": f"{url}/api/"}
    backend["secrets"] = [*backend["secrets"], "UNLEASH_TOKEN"]
    token = token or f"*:development.{derived(lab, 'jwt_secret', 'unleash-client')}"
    return {
        "app_services": given["app_services"],
        "app_secrets": {**given["app_secrets"], "UNLEASH_TOKEN": token},
        "app_flags": json.loads(json.dumps(given["app_flags"], default=str)),
        "feature_flags_enabled": True,
        "feature_flags_url": url,
        "feature_flags_environment": "development",
        "feature_flags_client_token": token,
        "feature_flags_admin_token": f"*:*.{derived(lab, 'jwt_secret', 'unleash-admin')}",
    }


def options(variables: dict[str, Any]) -> tuple[str, ...]:
    return ("-e", json.dumps(variables))


def backends(lab: Lab) -> list[tuple[str, str, str]]:
    """Each container of the live backend: its host, its id, its address there."""
    live, found = lab.live(), []
    for host in APP_HOSTS:
        for item in lab.containers(host).values():
            if item["service"] == "backend" and item["release"] == live and item["slot"]:
                found.append((host, item["id"], lab.on(host, "docker", "port", item["id"], "4000/tcp").split()[0]))
    assert len(found) == len(APP_HOSTS)
    return found


def answers(lab: Lab) -> list[dict[str, Any]]:
    """What each container answers, asked on its host."""
    ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    return [
        json.loads(lab.on(host, "python3", "-c", ask, f"http://{where}/api/flags")) for host, _, where in backends(lab)
    ]


class Watch:
    """Watches every container for another answer."""

    def __init__(self, lab: Lab, name: str, old: str) -> None:
        self.seconds: list[float] = []
        self._threads = [threading.Thread(target=self._watch, args=(lab, *one, name, old)) for one in backends(lab)]
        for thread in self._threads:
            thread.start()

    def _watch(self, lab: Lab, host: str, _container: str, where: str, name: str, old: str) -> None:
        url, file = f"http://{where}/api/flags", f"{FOLDER}/killed.json"
        self.seconds.append(float(lab.on(host, "python3", "-c", WATCH, url, file, name, old, timeout=90)))

    def wait(self) -> list[float]:
        for thread in self._threads:
            thread.join()
        assert len(self.seconds) == len(APP_HOSTS), "every container answered"
        return self.seconds


def keep(lab: Lab, *flags: dict[str, Any]) -> None:
    """What the hosts' timer has kept from a time when Unleash was there."""
    text = json.dumps({"version": 2, "features": flags})
    for host in APP_HOSTS:
        lab.shell(
            host, f"mkdir -p {FOLDER} && chmod 755 {FOLDER} && rm -f {FOLDER}/killed.json {FOLDER}/../flags.jsonl"
        )
        lab.on(host, "sh", "-c", f"cat >{FOLDER}/features.json", stdin=text)


@pytest.fixture
def forgotten(lab: Lab) -> Iterator[None]:
    """No host knows of a flag after the test."""
    yield
    lab.deploy(VERSION, *QUICK).good()
    for host in APP_HOSTS:
        lab.shell(
            host,
            "systemctl disable --now sluice-flags@marketplace.timer; rm -rf /etc/sluice/flags /etc/systemd/system/sluice-flags@* "
            f"/usr/local/sbin/sluice-flags; find {FOLDER} {FOLDER}.jsonl -type f -delete",
            check=False,
        )


def test_a_flag_goes_off_on_every_container_at_once_while_unleash_is_away(
    lab: Lab, v1_0_0: str, forgotten: None
) -> None:
    on = {"name": "debug-panel", "type": "operational", "enabled": True, "strategies": []}
    keep(lab, on)
    variables = app(lab, AWAY)
    lab.deploy(VERSION, *QUICK, *options(variables)).good()
    # Started while Unleash is away, with the flags of before.
    assert [one["debugPanel"] for one in answers(lab)] == [True, True]

    wrong = lab.playbook("playbooks/flags/kill", "-e", "flag=debug-pannel")
    assert wrong.code and "flag=debug-pannel is not in app_flags: did you mean 'debug-panel'?" in wrong.output
    assert [one["debugPanel"] for one in answers(lab)] == [True, True]

    with Load(lab.url, *ASKS, rate=60) as load:
        watch = Watch(lab, "debugPanel", "True")
        run = lab.playbook(
            "playbooks/flags/kill", "-e", "flag=debug-panel", "-e", "release_reason=loud", *options(variables)
        ).good()
        seconds = watch.wait()
    print(f"seen off after {seconds} s; the command took {run.seconds:.1f} s")
    assert load.report.failed == 0, str(load.report)
    assert max(seconds) <= SECONDS
    assert "not in Unleash: Unleash at http://127.0.0.1:9 does not answer" in run.output

    history = lab.playbook("playbooks/app/history").good().output
    assert "kill      debug-panel" in history and "loud" in history
    lab.playbook("playbooks/flags/kill", "-e", "flag=debug-panel", "-e", "flag_killed=false").good()
    until(lambda: [one["debugPanel"] for one in answers(lab)] == [True, True], SECONDS + 10, "it is on again")
