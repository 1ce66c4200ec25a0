# SPDX-License-Identifier: Apache-2.0
"""app_chaos: whether playbooks/checks/chaos.yml may harm this app, how far, and what is promised meanwhile."""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import NAMES
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    REQUIRED,
    flag,
    mapping,
    number,
    sequence,
    size,
    struct,
    text,
)

PATH = (r"/[^\s]*", "an absolute path")
PROBE = struct(
    {
        "host": text(""),  # empty: the edge's address
        "path": text(REQUIRED, *PATH),
        "method": text("GET", choices=("GET", "POST")),
        "body": text(""),  # of a POST, JSON
    }
)

CHAOS = struct(
    {
        "enabled": flag(False),
        "skip": sequence(text(choices=NAMES), default=[]),  # of a game day
        "probes": sequence(PROBE, default=[]),  # asked besides the routes' own
        "rate": number(20, 1, 1000),  # requests a second, over all routes and edges
        "timeout": number(10, 1, 60),  # seconds for an answer
        "seconds": number(None, 1, 600),  # how long a fault lasts; none: as long as the experiment says
        # The app's own promises: failed in per cent, recovers in seconds.
        "promises": mapping(
            struct({"failed": number(None, 0, 100), "recovers": number(None, 0, 600)}),
            {},
            "|".join(NAMES),
            "an experiment",
        ),
        "cpus": number(0, 0, 1024, whole=True),  # 0: all
        "memory_margin": size(512 * 2**20),  # what is left
        "memory_limit": size(8 * 2**30),  # what is taken at most
        "disk_path": text("/var/lib/docker", *PATH),
        "disk_margin": size(512 * 2**20),
        "disk_limit": size(10 * 2**30),
        "reboot_containers": flag(False),  # hosts that are containers come back by themselves
    },
    default={},
)
