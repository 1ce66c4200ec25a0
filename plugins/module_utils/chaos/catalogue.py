# SPDX-License-Identifier: Apache-2.0
"""The experiments as data: what each does where, for how long, and what is promised meanwhile. Pure.

The commands behind them are in actions.py; docs/chaos.md has the same table for people.
"""

from __future__ import annotations

from typing import NamedTuple

ALL = "all"


class Promise(NamedTuple):
    """How many requests may fail, in per cent of those while the fault lasts, and how many seconds after its end the last one may."""

    failed: float = 0.0
    recovers: float = 0.0

    def words(self) -> str:
        """For people."""
        if not self.failed:
            return "no failed request"
        share = "requests may fail" if self.failed >= 100 else f"at most {self.failed:g} % fail"
        return f"{share}, none {self.recovers:g} s after"


class Experiment(NamedTuple):
    """One experiment.

    ``group`` is where it is done, on one host, ``seconds`` how long. ``lasts``: the fault is there until it is undone, otherwise it is over at once
    and watched for so long. ``alone`` is promised where the group has one host, nothing where it cannot be done there. ``loses`` says which
    data are gone afterwards. ``lease``: it holds the app's lease, so that no deploy runs beside it.
    """

    name: str
    what: str
    group: str
    seconds: float
    promise: Promise
    undo: str
    lasts: bool = True
    alone: Promise | None = Promise()
    loses: str = ""
    lease: bool = True


# How long what the app needs may be missed after it is back: the app's own connections have to notice.
BACK = Promise(100, 15)

EXPERIMENTS = (
    Experiment(
        "container_killed",
        "kill -9 of a container of the live release",
        "app",
        15,
        Promise(),
        "the engine starts it again",
        lasts=False,
        alone=Promise(100, 30),
    ),
    Experiment(
        "docker_restarted",
        "restart the container engine of an app host",
        "app",
        15,
        Promise(),
        "start the engine",
        lasts=False,
    ),
    Experiment(
        "network_cut_app",
        "drop what the edges and one app host send each other",
        "app",
        20,
        # What is under way on open connections waits for the route's timeout, and nobody says that it waits in vain.
        Promise(5),
        "remove the table of the firewall",
        alone=None,
    ),
    Experiment(
        "network_cut_database",
        "drop what the app hosts and Postgres send each other",
        "db",
        15,
        BACK,
        "remove the table of the firewall",
        alone=BACK,
    ),
    Experiment(
        "network_cut_cache",
        "drop what the app hosts and Redis send each other",
        "cache",
        15,
        BACK,
        "remove the table of the firewall",
        alone=BACK,
    ),
    Experiment(
        "network_slow",
        "delay what an app host sends by 200 ms",
        "app",
        20,
        Promise(),
        "remove the delay",
    ),
    Experiment("edge_down", "stop Nginx of an edge", "edge", 15, Promise(), "start Nginx", alone=None),
    Experiment(
        "database_restarted",
        "restart Postgres; a row committed just before has to be there",
        "db",
        10,
        BACK,
        "start Postgres",
        lasts=False,
        alone=BACK,
    ),
    Experiment(
        "database_paused", "stop all processes of Postgres (SIGSTOP)", "db", 10, BACK, "continue them", alone=BACK
    ),
    Experiment("redis_restarted", "restart Redis", "cache", 10, BACK, "start Redis", lasts=False, alone=BACK),
    Experiment(
        "redis_flushed",
        "delete all keys of Redis",
        "cache",
        10,
        Promise(),
        "none: the keys are gone",
        lasts=False,
        loses="all keys of Redis",
    ),
    Experiment("disk_full", "fill a file system up to a margin", "app", 15, Promise(), "remove the file"),
    Experiment("cpu_pressure", "keep the processors of an app host busy", "app", 15, Promise(), "stop it"),
    Experiment("memory_pressure", "take the memory of an app host up to a margin", "app", 15, Promise(), "stop it"),
    Experiment("clock_off", "set the clock of an app host 90 s ahead", "app", 20, Promise(), "set it back"),
    Experiment(
        "registry_away",
        "drop what an app host sends to the registries",
        "app",
        15,
        Promise(),
        "remove the table of the firewall",
    ),
    Experiment(
        "object_store_away",
        "drop what the database host sends to the backups' object stores",
        "db",
        15,
        Promise(),
        "remove the table of the firewall",
    ),
    Experiment(
        "acme_away",
        "drop what an edge sends to the certificate authority",
        "edge",
        15,
        Promise(),
        "remove the table of the firewall",
    ),
    Experiment(
        "secret_store_away",
        "drop what an app host sends to the stores of secrets",
        "app",
        15,
        Promise(),
        "remove the table of the firewall",
    ),
    Experiment(
        "dns_away",
        "drop the questions of an app host for names",
        "app",
        15,
        Promise(),
        "remove the table of the firewall",
    ),
    Experiment(
        "host_rebooted",
        "reboot an app host that is not drained",
        "app",
        15,
        Promise(),
        "it starts by itself",
        alone=None,
    ),
    Experiment(
        "deploy_killed",
        "kill -9 of a deploy, at a moment of chance",
        "edge",
        15,
        Promise(),
        "the same deploy again, to its end",
        lease=False,
    ),
)
NAMES = tuple(one.name for one in EXPERIMENTS)
BY_NAME = {one.name: one for one in EXPERIMENTS}
