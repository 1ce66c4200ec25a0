# SPDX-License-Identifier: Apache-2.0
"""Reports of a run: JSON for programs, Markdown for a CI's summary, an HTML page for people."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: notification
short_description: Write a report of each deploy, rollback, restore and drill, and end with its exit code
version_added: 0.1.0
description:
  - Writes a JSON file, a Markdown file and an HTML page for each run that planned something, restored or failed. They have who ran it and why, the plan,
    the steps with their seconds, the images with digests and commits, what changed by name, health and canary figures, and the result or error. No values
    of variables or secrets are in them.
  - The process ends with the kind of the run's ending, see O(exit_code).
  - In GitHub Actions the Markdown also goes into the summary of the job.
  - A report that cannot be written is a warning and changes nothing about the run.
author: Sluice maintainers (@sluice-stack)
options:
  directory:
    description: The directory for the files; it is created when missing. Empty to write none.
    type: str
    default: reports
    env:
      - name: SLUICE_REPORT_DIRECTORY
    ini:
      - section: callback_sluice_report
        key: directory
  summary:
    description: A file that the Markdown is appended to; empty for none.
    type: str
    default: ""
    env:
      - name: GITHUB_STEP_SUMMARY
  exit_code:
    description:
      - End C(ansible-playbook) with the report's C(code), 0 done, 2 refused before any change, 3 failed with the release before serving, 4 failed
        and somebody has to look. Otherwise it ends with Ansible's own code, which is 2 or 4 for every failure.
    type: bool
    default: true
    env:
      - name: SLUICE_EXIT_CODE
    ini:
      - section: callback_sluice_report
        key: exit_code
requirements:
  - enabled in configuration, C(callbacks_enabled = sluice.stack.report)
"""

import json
import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import record, report
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event
from ansible_collections.sluice.stack.plugins.plugin_utils import exit_code
from ansible_collections.sluice.stack.plugins.plugin_utils.reader import Reader


class CallbackModule(Reader):
    """Adds up the events of a run, and writes its reports when it has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "sluice.stack.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._record = record.Record()

    def read(self, happened: Iterable[Event]) -> None:
        """Add up the events."""
        for event in happened:
            self._record.add(event)

    def ended(self) -> None:
        """Write the reports."""
        if not self._record.worth_it():
            return
        data = self._record.data()
        if self.get_option("exit_code"):
            exit_code.end_with(data["code"])
        try:
            self._write(data)
        except OSError as error:
            self._display.warning(f"no report was written: {error}")

    def _write(self, data: dict[str, Any]) -> None:
        # Not of type path, whose empty value is the working directory.
        directory, summary = (os.path.expanduser(self.get_option(name)) for name in ("directory", "summary"))
        if directory:
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, data["report"])
            for suffix, text in (
                ("json", json.dumps(data, indent=2) + "\n"),
                ("md", report.markdown(data)),
                ("html", report.html(data)),
            ):
                with open(f"{path}.{suffix}", "w", encoding="utf-8") as file:
                    file.write(text)
        if summary:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(report.markdown(data))
