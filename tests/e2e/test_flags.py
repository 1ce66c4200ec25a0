# SPDX-License-Identifier: Apache-2.0
"""Feature flags: switched off on every container at once, kept while Unleash is away, and rolled out to as many as was said."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.images import Variants
from tests.support.lab import APP_HOSTS, INVENTORY, PREFIX, QUICK, REGISTRY, STATE, Lab, inventory_app, until
from tests.support.load import Ask, Load
from tests.support.playbook import REPO, Run, Started, environment

VERSION = "v1.0.0"
UNLEASH = "v8.2.0"
# How the lab's network, and so its app hosts and their containers, know the edge.
DOMAIN = f"{PREFIX}-edge1.{PREFIX}"
# Nothing listens there.
AWAY = "http://127.0.0.1:9"
FOLDER = f"{STATE}/apps/marketplace/flags"
# The role is not on the hosts: nothing is kept for starts without Unleash.
UNKEPT = ("-e", "feature_flags_enabled=false")
ASKS = (Ask("GET", "/api/flags", expect=(200,)), Ask("GET", "/api/version", expect=(200,)))
# The promise: from the switch to what a container answers.
SECONDS = 2
PEOPLE = 20_000
# On the app's host: ask one container until its answer changes; how long after the switch that was.
WATCH = """
import json, os, sys, time, urllib.request
url, file, name, old = sys.argv[1:5]
end = time.time() + 60
while time.time() < end:
    began = time.time()
    if str(json.load(urllib.request.urlopen(url, timeout=5))[name]) != old:
        print(time.time() - os.stat(file).st_mtime)
        break
    time.sleep(0.02)
"""
# In a container of the app, with the client that the app has: who of so many people has the flag, and which variant.
EVALUATE = """
import { LiveFlags } from '/app/dist/flags.js';
const log = { info() {}, warn() {}, error: console.error };
const flags = new LiveFlags({ url: process.env.UNLEASH_URL, token: process.env.UNLEASH_TOKEN, folder: '/nowhere' }, log, () => {});
await flags.ready();
const people = Array.from({ length: Number(process.argv[1]) }, (_, index) => `person-${index}`);
const on = people.map((id, index) => (flags.isOn('new-payment-flow', id) ? index : -1)).filter((index) => index >= 0);
const again = people.filter((id) => flags.isOn('new-payment-flow', id)).length;
const reserve = people.filter((id) => flags.variant('booking-button', id, 'off') === 'reserve').length;
const book = people.filter((id) => flags.variant('booking-button', id, 'off') === 'book').length;
process.stdout.write(JSON.stringify({ on, again, reserve, book }), () => process.exit());
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


class Server:
    """Unleash as an app of its own on the lab's hosts."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.inventory = folder / "unleash"
        variables = self.inventory / "group_vars" / "all"
        variables.mkdir(parents=True)
        (self.inventory / "hosts.yml").symlink_to(REPO / INVENTORY / "hosts.yml")
        example = REPO / "examples/unleash/inventory/group_vars/all/app.yml"
        described = yaml.safe_load(example.read_text())
        server = described["app_services"]["server"]
        server["image"] = f"{REGISTRY}/unleash/server"
        server["env"]["UNLEASH_URL"] = f"http://{DOMAIN}"
        subnet = REGISTRY.rpartition(".")[0]
        described["app_routes"][0] |= {"host": DOMAIN, "allow": [f"{subnet}.0/24"]}
        password = derived(lab, "postgres_app_password", "unleash")
        described |= {
            "app_secrets": {
                "DATABASE_URL": f"postgresql://unleash:{password}@{subnet}.31:5432/unleash",
                "UNLEASH_DEFAULT_ADMIN_PASSWORD": derived(lab, "jwt_secret", "unleash"),
                "INIT_ADMIN_API_TOKENS": f"*:*.{derived(lab, 'jwt_secret', 'unleash-admin')}",
                "INIT_BACKEND_API_TOKENS": f"*:development.{derived(lab, 'jwt_secret', 'unleash-client')}",
            },
            "app_backup": {"restore_point": False},
            "app_drain_seconds": 1,
            "stack_address": "{{ ansible_host }}",
            "nginx_tls_redirect": False,
            "edge_tls": {"default": {"source": "files"}},
            "edge_tls_source": "none",
        }
        (variables / "app.yml").write_text(yaml.safe_dump(described))

    def deploy(self, version: str) -> Run:
        return self._run("deploy.yml", "-e", f"app_version={version}", *QUICK)

    def remove(self) -> None:
        """Take it from the hosts; its database stays."""
        self._run("playbooks/app/remove.yml", "-e", "remove_confirm=unleash", "-e", "remove_data=true").good()

    def _run(self, playbook: str, *extra: str) -> Run:
        home = {"MOLECULE_PROJECT_DIRECTORY": str(REPO)}
        return Started([playbook, "-i", str(self.inventory), *extra], home).wait()


def sql(lab: Lab, text: str, database: str = "postgres") -> None:
    """Do something to the database server. What is not there yet cannot be emptied, and need not."""
    lab.on("db1", "runuser", "-u", "postgres", "--", "psql", "-q", "-d", database, stdin=text)


def engine(lab: Lab, command: str, *more: str) -> None:
    """Stop or start Unleash on all hosts, as a failure would."""
    for host in APP_HOSTS:
        lab.shell(
            host, f"docker ps -aq --filter label=stack.sluice.app=unleash | xargs -r docker {command} {' '.join(more)}"
        )


@pytest.fixture
def undeployed(lab: Lab, tmp_path: Path, forgotten: None) -> Iterator[Server]:
    """Unleash in the registry, with an empty database."""
    subprocess.run([REPO / "scripts" / "lab-unleash"], check=True, env=environment({}))
    sql(lab, "drop database unleash with (force)")
    sql(lab, "create database unleash owner unleash")
    server = Server(lab, tmp_path)
    yield server
    server.remove()


@pytest.fixture
def unleash(undeployed: Server) -> Server:
    """Unleash, deployed."""
    undeployed.deploy(UNLEASH).good()
    return undeployed


def evaluated(lab: Lab) -> dict[str, Any]:
    """Who has the flag, by the client in a container of the app and what Unleash says to it."""
    host, container, _ = backends(lab)[0]
    command = ("docker", "exec", container, "node", "--input-type=module", "-e", EVALUATE, str(PEOPLE))
    return dict(json.loads(lab.on(host, *command).splitlines()[-1]))


@pytest.mark.soak
def test_flags_as_code_reach_as_many_as_was_said(lab: Lab, v1_0_0: str, unleash: Server) -> None:
    variables = app(lab, f"http://{DOMAIN}")
    first = lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    assert "differs     new-payment-flow: not in Unleash yet" in first.output
    second = lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    assert sum(host["changed"] for host in second.recap.values()) == 0
    lab.deploy(VERSION, *QUICK, *options(variables)).good()

    # 10 → 50 → 100 %: as many as was said, the same ones each time, and nobody loses it on the way.
    before: set[int] = set()
    for share in (10, 50, 100):
        variables["app_flags"]["new-payment-flow"]["strategies"] = [{"rollout": share, "stickiness": "userId"}]
        lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
        seen = evaluated(lab)
        print(f"{share} %: {100 * len(seen['on']) / PEOPLE:.2f} %; reserve {100 * seen['reserve'] / PEOPLE:.2f} %")
        assert abs(100 * len(seen["on"]) / PEOPLE - share) < 1
        assert len(seen["on"]) == seen["again"] and before <= set(seen["on"])
        assert abs(100 * seen["reserve"] / PEOPLE - 50) < 1 and seen["reserve"] + seen["book"] == PEOPLE
        before = set(seen["on"])
    until(lambda: all(one["newPaymentFlow"] for one in answers(lab)), 15, "the app has it, too")

    # Somebody clicks. The next run says so and puts it right.
    click = f"http://{DOMAIN}/api/admin/projects/default/features/new-payment-flow/environments/development/off"
    ask = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], b'', {'Authorization': sys.argv[2]}))"
    lab.on("app1", "python3", "-c", ask, click, variables["feature_flags_admin_token"])
    look = lab.playbook("playbooks/flags/flags", "--check", "--diff", *options(variables), *UNKEPT).good()
    assert "differs     new-payment-flow: enabled: off → on" in look.output
    assert evaluated(lab)["on"] == []
    lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    until(lambda: all(one["newPaymentFlow"] for one in answers(lab)), 15, "it is on again")


@pytest.mark.soak
def test_the_last_known_flags_hold_while_unleash_is_away(lab: Lab, v1_0_0: str, unleash: Server) -> None:
    variables = app(lab, f"http://{DOMAIN}")
    variables["app_flags"]["new-payment-flow"]["strategies"] = [{"rollout": 100}]
    role = ("provision", "--tags", "feature_flags", *options(variables))
    lab.playbook(*role, "--check", "--diff").good()
    lab.playbook(*role).good()
    assert sum(host["changed"] for host in lab.playbook(*role).good().recap.values()) == 0
    lab.playbook("playbooks/flags/flags", *options(variables)).good()

    with Load(lab.url, *ASKS, rate=40, seconds=460) as load:
        # Gone before the app starts: the flags that the hosts kept.
        engine(lab, "stop", "-t", "1")
        lab.deploy(VERSION, *QUICK, *options(variables)).good()
        assert all(one["newPaymentFlow"] for one in answers(lab))
        # There again, without its database.
        sql(lab, "alter database unleash allow_connections false")
        sql(lab, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'unleash'")
        engine(lab, "start")
        for host in APP_HOSTS:
            lab.shell(host, "systemctl start sluice-flags@marketplace.service")
        assert all(one["newPaymentFlow"] for one in answers(lab))
        sql(lab, "alter database unleash allow_connections true")
        # A token that it does not accept.
        lab.deploy(VERSION, *QUICK, *options(app(lab, f"http://{DOMAIN}", "*:development.wrong"))).good()
        assert all(one["newPaymentFlow"] for one in answers(lab))
        watch = Watch(lab, "newPaymentFlow", "True")
        killed = lab.playbook("playbooks/flags/kill", "-e", "flag=new-payment-flow", *options(variables)).good()
        print(f"seen off after {watch.wait()} s; the command took {killed.seconds:.1f} s")
        assert max(watch.seconds) <= SECONDS
    assert load.report.failed == 0, str(load.report)


# -- rollouts

# The app with a fault: what answers that the button says "reserve" fails every other time.
BAD_SIDE = """
import http from 'node:http';
const { writeHead } = http.ServerResponse.prototype;
let number = 0;
http.ServerResponse.prototype.writeHead = function (status, ...more) {
  const bad = String(more.at(-1)?.['feature-flags']).includes('booking-button=reserve') && number++ % 2 === 0;
  return writeHead.call(this, bad ? 500 : status, ...more);
};
"""
# Every request is another visitor: it has no cookie.
VISITORS = (Ask("GET", "/api/flags", expect=(200, 500)),)
STEPS = {
    "steps": [20, 60, 100],
    "interval": 15,
    "checks": 3,
    "analysis": {
        "min_requests": 150,
        "min_blocks": 12,
        "block_seconds": 1,
        "max_p99_seconds": 20,
        "slowdown_refused": 20,
    },
}


def gradual(lab: Lab) -> dict[str, Any]:
    """The lab's app with flags that are rolled out."""
    variables = app(lab, f"http://{DOMAIN}")
    for name in ("new-payment-flow", "booking-button"):
        variables["app_flags"][name]["strategies"] = [{"rollout": "gradual", "stickiness": "userId"}]
    return {**variables, "app_rollout": STEPS}


def logged(lab: Lab, flag: str) -> set[str]:
    """What the edge's log says of a flag."""
    lines = lab.shell("edge1", "tail -n 400 /var/log/nginx/access.log").splitlines()
    said = [part.strip() for line in lines for part in json.loads(line)["flags"].split(",")]
    return {part.partition("=")[2] for part in said if part.startswith(f"{flag}=")}


@pytest.mark.soak
def test_a_rollout_goes_on_where_it_was_and_ends_with_everybody(
    lab: Lab, v1_0_0: str, unleash: Server, tmp_path: Path
) -> None:
    variables = gradual(lab)
    lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    lab.deploy(VERSION, *QUICK, *options(variables)).good()
    # The header is for the log, and for nobody else.
    assert "Feature-Flags" not in lab.ask("/api/flags").headers
    rollout = ("playbooks/flags/rollout", "-e", f"rollout_report={tmp_path}", *options(variables))

    with Load(lab.url, *VISITORS, rate=60, seconds=400) as load:
        # The controller is killed in its first step: the flag stays there, and the next run goes on from there.
        first = lab.start(*rollout, "-e", "flag=new-payment-flow")
        until(lambda: "on" in logged(lab, "new-payment-flow"), 60, "some have it")
        second = lab.playbook(*rollout, "-e", "flag=booking-button")
        assert second.code and "rollout by" in second.output, "two at once"
        first.kill()
        look = lab.playbook(*rollout, "-e", "flag=new-payment-flow", "--check").good()
        assert "is at 20 %, and goes to 20 → 60 → 100 %" in look.output
        done = lab.playbook(*rollout, "-e", "flag=new-payment-flow", timeout=400).good()
        assert "new-payment-flow: at 100 %" in done.output
    assert not load.report.failed, str(load.report)
    assert all(one["newPaymentFlow"] for one in answers(lab))
    # Its share is the rollout's business.
    again = lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    assert sum(host["changed"] for host in again.recap.values()) == 0
    assert len(list(tmp_path.glob("marketplace-rollout-new-payment-flow-*.html"))) == 1


@pytest.mark.soak
def test_a_side_that_is_worse_is_taken_from_everybody(
    lab: Lab, v1_0_0: str, unleash: Server, variant: Variants, tmp_path: Path
) -> None:
    variables = gradual(lab)
    bad = variant.push(
        "v1.1.0-bad-side",
        ["node", "--import", "./dist/bad-side.js", "dist/main.js"],
        files={"app/dist/bad-side.js": BAD_SIDE},
    )
    lab.playbook("playbooks/flags/flags", *options(variables), *UNKEPT).good()
    rollout = ("playbooks/flags/rollout", "-e", f"rollout_report={tmp_path}", *options(variables))
    lab.deploy(bad, *QUICK, *options({**variables, "app_watch": {"seconds": 0}})).good()
    with Load(lab.url, *VISITORS, rate=60, seconds=300):
        worse = lab.playbook(*rollout, "-e", "flag=booking-button", timeout=300)
        assert worse.code and "it was taken from everybody: worse at 20 %" in worse.output
        assert "reserve against book: fail: " in worse.output
        until(lambda: {one["bookingButton"] for one in answers(lab)} == {"book"}, SECONDS, "nobody has it")
    history = lab.playbook("playbooks/app/history").good().output
    assert "rollout   booking-button" in history and "to 20 %" in history
    assert "kill      booking-button" in history and "rollout: worse at 20 %" in history
    refused = lab.playbook(*rollout, "-e", "flag=booking-button")
    assert refused.code and "booking-button is switched off" in refused.output
    assert len(list(tmp_path.glob("marketplace-rollout-booking-button-*.html"))) == 1

    result = lab.playbook("playbooks/flags/result", "-e", "flag=booking-button", *rollout[1:]).good()
    assert "reserve against book" in result.output and "fails more" in result.output
