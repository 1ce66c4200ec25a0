# SPDX-License-Identifier: Apache-2.0
"""The reference app's own programs, for tests of them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.support.playbook import REPO

MARKETPLACE = REPO / "examples" / "marketplace"
CI = MARKETPLACE / "ci"


def load(name: str) -> ModuleType:
    """One of the pipeline's programs as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", CI / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
