# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests run on the lab: `make e2e` brings it up, builds the images and runs them.

Each module starts from v1.0.0 live on both app hosts, and can be run alone; the last one leaves it so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import images
from tests.support.lab import INVENTORY, Lab, gateway
from tests.support.playbook import REPO, Run
from tests.support.stores import Stores, stores


@pytest.fixture(scope="session")
def provisioned() -> tuple[Lab, Run]:
    """The lab and the run that provisioned it, with all it can be made to say.

    Also where it was provisioned before: the hosts then have what this checkout says, and not an older one.
    """
    lab = Lab()
    return lab, lab.playbook("provision", "-vvv", "--diff", timeout=900).good()


@pytest.fixture(scope="session")
def lab(provisioned: tuple[Lab, Run]) -> Iterator[Lab]:
    """The lab, provisioned; what people find there afterwards is v1.0.0."""
    yield provisioned[0]
    provisioned[0].ensure("v1.0.0")


@pytest.fixture(scope="module")
def v1_0_0(lab: Lab) -> str:
    """v1.0.0 is live with example data in the database; the release's id."""
    release = lab.ensure("v1.0.0")
    if not lab.ask("/api/accountants").json()["accountants"]:
        lab.seed()
    return release


@pytest.fixture(scope="session")
def secret_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Real stores of secrets, for all tests of a session; each test has paths of its own in them."""
    with stores(tmp_path_factory.mktemp("stores"), *gateway()) as found:
        yield found


@pytest.fixture(scope="session")
def variant(lab: Lab) -> images.Variants:
    """Makes images that behave badly and puts them into the lab's registry."""
    return images.Variants(lab)


@pytest.fixture
def artefacts() -> Path:
    """Where tests leave what a person may want to look at: screenshots, the load client's report."""
    folder = REPO / "build" / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test shows what the playbooks it ran have printed."""
    report = yield
    if report.failed:
        report.sections += [("playbook", str(run)) for run in Run.history[-3:]]
    if report.when == "teardown":
        Run.history.clear()
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long tests are asked for."""
    parser.addoption("--soak", action="store_true", help="run the long tests too: `make soak`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless they are asked for."""
    if config.getoption("--soak"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_sessionstart() -> None:
    """Say early that somebody else is deploying."""
    # A shell has what it runs in the background ignore Ctrl-C, and so would the playbooks.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The playbook itself, and not what waits to start one and names it among its arguments; another checkout may have a lab of its own.
    playbook = f"^[^ ]*python[^ ]* [^ ]*ansible-playbook [a-z_/]+[.]yml -i {INVENTORY}( |$)"
    found = subprocess.run(["pgrep", "-f", playbook], capture_output=True, text=True, check=False).stdout.split()
    running = [process for process in found if working_directory(process) == REPO]
    if running:
        pytest.exit(f"a playbook is running on the lab already (process {running[0]}): wait for it", returncode=3)


def working_directory(process: str) -> Path | None:
    """Where a process works; None when it has ended."""
    with contextlib.suppress(FileNotFoundError):
        return Path(os.readlink(f"/proc/{process}/cwd"))
    return None
