# SPDX-License-Identifier: Apache-2.0
"""What lies on a host: files, kernel settings, the last report of lynis. Pure."""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import span
from ansible_collections.sluice.stack.plugins.module_utils.security.rule import Answer, Facts, Unknown, part

# A report of lynis older than that says nothing about today.
LYNIS_AGE = 35 * 86400.0
RUN_LYNIS = "on the host: apt-get install lynis && lynis audit system --quick"


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
