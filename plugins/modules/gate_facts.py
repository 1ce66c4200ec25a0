#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Look at what the gates of a deploy are judged by, in one round."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gate_facts
short_description: Look at what gates are judged by on a host
version_added: 0.2.0
description:
  - Reads what M(sluice.stack.gate_verdict) judges, without taking the lease. Nothing is changed.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  roles:
    description: The host's role for the app.
    type: list
    elements: str
    choices: [app, edge]
    default: []
  release:
    description: Whether to observe the release, certificates, disk and memory.
    type: bool
    default: false
  images:
    description: Image references to resolve to digests from this host, with their signatures.
    type: list
    elements: str
    default: []
  backups:
    description: The programs whose status is read.
    type: list
    elements: str
    choices: [sluice-backup, sluice-files]
    default: []
  registry_seconds:
    description: The timeout for a registry, in seconds.
    type: float
    default: 15
  monitoring:
    description: Whether to ask this host's Prometheus for alerts and error budgets.
    type: bool
    default: false
  monitoring_wait:
    description: For how many seconds to wait until no error budget of the app burns too fast.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Gates | Look at what they are judged by
  sluice.stack.gate_facts:
    app: marketplace
    roles: [app]
    release: true
    images: [registry.example.com/marketplace/backend:v1.4.2]
  register: gate_facts
"""

RETURN = r"""
facts:
  description:
    - C(observation) is what M(sluice.stack.release_fence) observes, C(memory_free) the bytes of memory that programs could have; with O(release=true).
    - C(images) has the digest of each reference and its signatures, or an error.
    - C(backups) has the problems of each program and the end of the newest backup of each source, C(drill) the record of the last drill.
    - C(monitoring) has C(alerts), the rules and what is firing, and C(budgets), what is left of each error budget and which burn too fast.
  returned: success
  type: dict
  sample:
    backups: {sluice-backup: {problems: [], newest: {"": 1795389300.0}}}
    drill: {verdict: proved, begun: 1795300000.0}
"""

import json
import subprocess
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import registry
from ansible_collections.sluice.stack.plugins.module_utils.docker.docker_host import Engine, EngineError, resolve_digest
from ansible_collections.sluice.stack.plugins.module_utils.docker.observe import app_host, edge_host, every_host
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import firing
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import pinned

BACKUP_SECONDS = 120.0

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "roles": {"type": "list", "elements": "str", "choices": ["app", "edge"], "default": []},
        "release": {"type": "bool", "default": False},
        "images": {"type": "list", "elements": "str", "default": []},
        "backups": {"type": "list", "elements": "str", "choices": ["sluice-backup", "sluice-files"], "default": []},
        "registry_seconds": {"type": "float", "default": 15},
        "monitoring": {"type": "bool", "default": False},
        "monitoring_wait": {"type": "float", "default": 0},
    },
    "supports_check_mode": True,
}


def observe(app: str, roles: list[str]) -> dict[str, Any]:
    """Observe the host's part of the live release, and its free memory."""
    found = every_host(app)
    if "edge" in roles:
        found["edge"] = edge_host(app, time.time())
    if "app" in roles:
        found |= app_host(app, Engine())
    return {"observation": found, "memory_free": memory_free()}


def memory_free() -> int:
    """Return the bytes that programs could have without swapping."""
    with open("/proc/meminfo", encoding="ascii") as handle:
        return next((int(line.split()[1]) * 1024 for line in handle if line.startswith("MemAvailable:")), 0)


def image_of(engine: Engine, reference: str, seconds: float) -> dict[str, Any]:
    """Return the digest of a reference and the image's signatures, or an error."""
    found = resolve_digest(engine, reference, seconds)
    if "digest" not in found:
        return {**found}
    return {**found, **registry.signatures(engine, pinned(reference, found["digest"]), seconds)}


def backup_of(program: str) -> dict[str, Any]:
    """Return what a backup program says; that it cannot be run is a problem."""
    try:
        done = subprocess.run(
            [f"/usr/local/sbin/{program}", "--json", "status"],
            capture_output=True,
            text=True,
            timeout=BACKUP_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout)
    except FileNotFoundError:
        return {"problems": ["it is not installed: provision.yml does that"], "newest": {}, "drill": None}
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return {"problems": [f"it gave no status ({type(error).__name__})"], "newest": {}, "drill": None}
    if found.get("failed"):
        return {"problems": [str(found["failed"])], "newest": {}, "drill": None}
    return {"problems": found["problems"], "newest": newest(found["repositories"]), "drill": found.get("drill")}


def newest(repositories: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return source → end of its newest backup in any repository."""
    ends: dict[str, float] = {}
    for item in (item for repository in repositories for item in repository["backups"]):
        ends[item["source"]] = max(ends.get(item["source"], 0.0), item["ended"])
    return ends


def main() -> None:
    """Parse, look, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    facts: dict[str, Any] = {}
    try:
        if params["release"]:
            facts |= observe(params["app"], params["roles"])
        if params["images"]:
            look = partial(image_of, Engine(), seconds=params["registry_seconds"])
            facts["images"] = dict(zip(params["images"], together(look, params["images"]), strict=True))
        if params["monitoring"]:
            facts["monitoring"] = {
                "budgets": firing.settled(firing.LOCAL, params["app"], params["monitoring_wait"]),
                "alerts": firing.alerts(firing.LOCAL),
            }
        answers = {program: backup_of(program) for program in params["backups"]}
        if answers:
            facts["backups"] = answers
            facts["drill"] = answers.get("sluice-backup", {}).get("drill")
    except EngineError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, facts=facts)


if __name__ == "__main__":
    main()
