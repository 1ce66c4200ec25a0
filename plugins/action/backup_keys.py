# SPDX-License-Identifier: Apache-2.0
"""Export the keys of all backups, encrypted to a recipient of age: they never lie on a disk as they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.backup import escrow
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.plugin_utils import say

SECONDS = 60.0


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/backup_keys.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("recipients", "environment", "path"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, encrypt, write."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        now = datetime.now(UTC)
        try:
            recipients = escrow.recipients(args.get("recipients"))
            hosts = {host: {name: hostvars[host].get(name) for name in escrow.VARIABLES} for host in sorted(hostvars)}
            kept = escrow.document(hosts, str(args.get("environment") or ""), f"{now:%Y-%m-%dT%H:%M:%SZ}")
        except escrow.EscrowError as error:
            raise AnsibleActionFail(str(error)) from None
        path = os.path.abspath(str(args["path"]))
        if not self._task.check_mode:
            write_atomic(path, _encrypted(kept, recipients), 0o600)
        return {**result, "changed": True, "hosts": list(kept["hosts"]), "lines": say.show(escrow.lines(kept, path))}


def _encrypted(kept: Mapping[str, Any], recipients: Sequence[str]) -> str:
    """Return the document as age encrypts it. It goes by standard input."""
    program = shutil.which("age")
    if not program:
        raise AnsibleActionFail("the program age is missing on the controller: apt-get install age")
    words = [word for one in recipients for word in ("--recipient", one)]
    text = json.dumps(kept, indent=2, default=str)
    try:
        done = subprocess.run(
            [program, "--encrypt", "--armor", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AnsibleActionFail(f"age did not encrypt the keys: {type(error).__name__}") from None
    if done.returncode or not done.stdout.startswith("-----BEGIN AGE ENCRYPTED FILE-----"):
        raise AnsibleActionFail(f"age did not encrypt the keys: {' '.join(done.stderr.split())[:200]}")
    return done.stdout
