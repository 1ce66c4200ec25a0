# SPDX-License-Identifier: Apache-2.0
"""The prober's process, and what it has seen so far."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ansible_collections.sluice.stack.plugins.module_utils.chaos import prober
from ansible_collections.sluice.stack.plugins.module_utils.chaos.judge import Sample


class Watch:
    """Asks while the block runs. Closing its input ends the process, which happens too when this one is killed."""

    def __init__(self, probes: Sequence[Mapping[str, Any]], rate: float, timeout: float) -> None:
        self._settings = {"probes": list(probes), "rate": rate, "timeout": timeout}
        self._timeout = timeout
        self._samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", prober.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._write(json.dumps(self._settings) + "\n")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def samples(self) -> list[Sample]:
        """The requests that have ended so far."""
        return self._samples[:]

    def stop(self) -> list[Sample]:
        """Ask no more, wait for the answers, and return everything."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(self._timeout + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(5)
        return self.samples()

    def _write(self, text: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._samples.append(Sample(*json.loads(line)))


def now() -> float:
    """The clock of the samples."""
    return time.monotonic()
