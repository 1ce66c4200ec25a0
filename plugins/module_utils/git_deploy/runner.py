# SPDX-License-Identifier: Apache-2.0
"""The runs of an environment: one after the other, until its queue is empty. systemd starts it when there is a request."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.policy import Environment
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy.queue import Queue, QueueError

SETTINGS = "/etc/sluice/git-deploy"
DONE, BROKEN = 0, 1
# The codes of a report, and what each means to whoever pushes.
ENDINGS = {
    DONE: "is deployed",
    BROKEN: "was broken off; nothing is locked, and pushing again continues",
    2: "was refused before any change",
    3: "failed; the release before serves",
    4: "failed, and somebody has to look",
}
# More of a log than this is dropped; the run goes on.
LOG_BYTES = 8 * 1024 * 1024
STOP_SECONDS = 20


class Runner:
    """Takes the requests of an environment and runs them."""

    def __init__(self, environment: Environment, settings: Mapping[str, Any], queue: Queue) -> None:
        self._environment, self._settings, self._queue = environment, settings, queue
        self._work = os.path.join(queue.home, "work")
        self._held = os.path.join(SETTINGS, environment.name)
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def run(self) -> None:
        """Run what waits."""
        self.settle()
        while not self.stopped:
            taken = self._queue.take()
            if taken is None:
                return
            self._one(taken)
            self._forget()

    def settle(self) -> None:
        """Give a result to runs that have none, as they ended with this program or its machine."""
        for identity in self._queue.runs():
            if not self._queue.ended(identity):
                self._end(identity, BROKEN, "interrupted: what ran it went down")

    def stop(self, *_unused: Any) -> None:
        """End the run at hand. Its leases expire at once, by processes that watch it."""
        self.stopped = True
        signal.alarm(STOP_SECONDS)
        self._signal(signal.SIGTERM)

    def kill(self, *_unused: Any) -> None:
        """End a run that did not stop."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _one(self, identity: str) -> None:
        with open(self._queue.path(identity, "log"), "ab", buffering=0) as log:
            try:
                request = self._queue.request(identity)
                log.write(
                    f"{self._environment.name}: {request['version']}, commit {request['commit'][:12]}, by {request['pusher']}\n".encode()
                )
                with self._files(identity) as folder:
                    returned = self._ansible(request, identity, folder, log)
            except (QueueError, OSError, subprocess.SubprocessError) as error:
                self._end(identity, BROKEN, str(error))
                return
        reports = sorted(glob.glob(self._queue.path(identity, "report/*.json")))
        if self.stopped:
            self._end(identity, BROKEN, "stopped on this host")
        elif reports:
            self._end(identity, int(read_json(reports[-1])["code"]))
        else:
            self._end(identity, DONE if returned == 0 else BROKEN)

    @contextlib.contextmanager
    def _files(self, identity: str) -> Iterator[str]:
        """The pushed files in a directory, for as long as they are needed."""
        folder, archive = os.path.join(self._work, "files"), self._queue.path(identity, "files.tar")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        try:
            if os.path.exists(archive):
                unpack = [
                    "tar",
                    "--extract",
                    "--no-same-owner",
                    "--no-same-permissions",
                    "--file",
                    archive,
                    "--directory",
                    folder,
                ]
                subprocess.run(unpack, check=True, timeout=300)
                os.unlink(archive)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _ansible(self, request: Mapping[str, str], identity: str, folder: str, log: IO[bytes]) -> int:
        """Deploy; returns the exit code."""
        program = self._settings["program"]
        vaults = sorted(glob.glob(os.path.join(self._held, "vault", "*")))
        inventory = os.path.join(folder, self._environment.inventory)
        if not os.path.exists(inventory):
            where = "the commit" if self._environment.pushed else "this host"
            raise QueueError(
                f"{where} has no {self._environment.inventory}, the inventory of {self._environment.name} (git_deploy_environments)"
            )
        argv = [
            # Nobody would read what it says without us.
            *("setpriv", "--pdeathsig", "TERM"),
            f"{program}/bin/ansible-playbook",
            "sluice.stack.deploy",
            *("--inventory", inventory),
            *(word for path in vaults for word in ("--vault-id", f"{os.path.basename(path)}@{path}")),
            # The lease may be held from elsewhere: a person, another host.
            *("--extra-vars", f"release_wait_seconds={int(self._settings['wait_seconds'])}"),
        ]
        environment = {
            "PATH": f"{program}/bin:/usr/bin:/bin",
            # For what Ansible keeps. SSH looks into the user's own home, which is the directory above.
            "HOME": self._work,
            "LANG": "C.UTF-8",
            **{name: str(value) for name, value in read_json(os.path.join(self._held, "variables.json"), {}).items()},
            "ANSIBLE_CONFIG": os.path.join(SETTINGS, "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": f"{program}/collections",
            "SLUICE_REPORT_DIRECTORY": self._queue.path(identity, "report"),
            # Read by the deploy as it is, and never as a template.
            "APP_VERSION": request["version"],
            # Who may push what was asked before: the push confirms it.
            "SLUICE_CONFIRM_ENVIRONMENT": self._environment.name,
            # Who runs it, in the ledger, the report and notices.
            "SUDO_USER": request["pusher"],
        }
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if self.stopped:  # between
                self.stop()
            _copy(self._process.stdout or (), log)
            return self._process.wait(timeout=STOP_SECONDS)
        finally:
            self.kill()
            self._process = None

    def _end(self, identity: str, code: int, why: str = "") -> None:
        version = identity.partition("Z-")[2]
        line = f"{self._environment.name}: {version} {ENDINGS.get(code, ENDINGS[BROKEN])}{f' ({why})' if why else ''}"
        with open(self._queue.path(identity, "log"), "ab") as log:
            log.write(f"{line}\n".encode())
        write_json(
            self._queue.path(identity, "result.json"), {"code": code, "result": line, "ended": time.time()}, mode=0o640
        )

    def _forget(self) -> None:
        for identity in self._queue.runs()[: -int(self._settings["keep_runs"])]:
            shutil.rmtree(self._queue.path(identity), ignore_errors=True)


def _copy(source: Iterable[bytes], log: IO[bytes]) -> None:
    """Copy lines to the log until the source ends, up to a bound."""
    written = 0
    for line in source:
        if written <= LOG_BYTES:
            log.write(line if line.endswith(b"\n") else line + b"\n")
            written += len(line)
            if written > LOG_BYTES:
                log.write(b"(more than the log holds)\n")
