# SPDX-License-Identifier: Apache-2.0
"""A module of this collection as one program for a host's Python: its source, and that of its imports from the collection.

Ansible wraps a module into an archive with its own library, which the host unpacks and compiles at every task: about 0.2 s. Our
modules use only ``AnsibleModule`` of that library; with arguments already validated on the controller, the few lines below replace
it. The module itself is the same file either way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

PACKAGE = "ansible_collections.sluice.stack.plugins"
PLUGINS = os.path.join(os.path.dirname(__file__), "..")
# Where the programs that roles install on hosts have their code.
LIBRARY = "/usr/local/lib/sluice"
# Marks the result in a host's other output.
MARK = "SLUICE-RESULT "

_IMPORTS = re.compile(rf"^from {re.escape(PACKAGE)}\.module_utils((?:\.\w+)*) import (.+)", re.MULTILINE)
_PARENS = re.compile(r"\(([^)]*)\)", re.DOTALL)

# Runs on the host. Reads the rest from standard input, so that no value is in a process's arguments. Compiled code is cached in a
# directory that only root can access.
LOADER = """\
import json, marshal, os, sys
from importlib import import_module
from importlib.machinery import ModuleSpec
given = json.loads(sys.stdin.buffer.read())
packages = given["packages"]
folder = "/var/cache/sluice"
kept = os.path.join(folder, given["module"].rpartition(".")[2] + "." + sys.implementation.cache_tag)
try:
    with open(kept, "rb") as handle:
        mark, code = marshal.load(handle)
except (OSError, ValueError, EOFError, TypeError):
    mark = ""
if mark != given["hash"]:
    import base64, zlib
    sources = json.loads(zlib.decompress(base64.b64decode(given["sources"])))
    code = {name: compile(text, name.rpartition(".")[2] + ".py", "exec") for name, text in sources.items()}
    if os.geteuid() == 0 and not given["check_mode"]:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            part = kept + "." + str(os.getpid())
            with open(part, "wb") as handle:
                marshal.dump((given["hash"], code), handle)
            os.replace(part, kept)
        except OSError:
            pass
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in code or name in packages:
            return ModuleSpec(name, self, is_package=name in packages)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        if module.__name__ in code:
            exec(code[module.__name__], module.__dict__)
sys.meta_path.insert(0, Finder())
class AnsibleModule:
    def __init__(self, **_):
        self.params, self.check_mode, self._diff = given["params"], given["check_mode"], given["diff"]
    def _end(self, code, result):
        print("\\n" + given["mark"] + json.dumps(result), flush=True)
        sys.exit(code)
    def exit_json(self, **result):
        self._end(0, result)
    def fail_json(self, msg, **result):
        self._end(1, {"failed": True, "msg": msg, **result})
import_module("ansible.module_utils.basic").AnsibleModule = AnsibleModule
import_module(given["module"]).main()
"""


class Program:
    """A module's program. Built when the action plugin is loaded, in the process that forks all workers."""

    def __init__(self, module: ModuleType, sources: Mapping[str, str] | None = None) -> None:
        """``sources``: those of a module outside the collection, by dotted name."""
        self.arguments: dict[str, Any] = module.ARGUMENTS
        self.name = module.__name__.rpartition(".")[2]
        found = sources or sources_of(self.name)
        self._packages = sorted({parent for name in found for parent in _parents(name.rpartition(".")[0])})
        text = json.dumps(found, sort_keys=True).encode()
        self._hash = hashlib.sha256(text).hexdigest()
        self._sources = base64.b64encode(zlib.compress(text)).decode()

    def text(self, params: Mapping[str, Any], *, check_mode: bool, diff: bool) -> bytes:
        """Return the input of LOADER: the sources, and the module's validated parameters."""
        return json.dumps(
            {
                "module": f"{PACKAGE}.modules.{self.name}",
                "packages": [*_parents("ansible.module_utils.basic"), *self._packages],
                "sources": self._sources,
                "hash": self._hash,
                "params": params,
                "check_mode": check_mode,
                "diff": diff,
                "mark": MARK,
            },
            default=str,
        ).encode()


def sources_of(module: str) -> dict[str, str]:
    """Return the source of a module and of every file of module_utils it imports, by dotted name."""
    found: dict[str, str] = {}
    waiting = [f"modules.{module}"]
    while waiting:
        name = waiting.pop()
        if f"{PACKAGE}.{name}" in found:
            continue
        with open(os.path.join(PLUGINS, *name.split(".")) + ".py", encoding="utf-8") as handle:
            found[f"{PACKAGE}.{name}"] = handle.read()
        waiting += [f"module_utils.{part}" for part in imported(found[f"{PACKAGE}.{name}"])]
    return found


def parts_of(name: str) -> list[str]:
    """The files of module_utils that a host's program takes which begins in ``name``: ``dump/program``, ``files``, ..."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        part = waiting.pop()
        found.add(part)
        with open(os.path.join(PLUGINS, "module_utils", f"{part}.py"), encoding="utf-8") as handle:
            waiting |= {item.replace(".", "/") for item in imported(handle.read())} - found
    return sorted(found)


def code_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return what a host's program that begins in ``name`` is installed from, as the ``directories`` and ``files`` host_files takes.

    Its files have the names they have in the collection, so that they import each other.
    """
    parts, place = parts_of(name), f"{LIBRARY}/{PACKAGE.replace('.', '/')}/module_utils"
    source = os.path.join(os.path.abspath(PLUGINS), "module_utils")
    return {
        "directories": [{"path": f"{place}/{folder}".rstrip("/")} for folder in sorted({*map(os.path.dirname, parts)})],
        "files": [{"path": f"{place}/{part}.py", "src": f"{source}/{part}.py", "diff": False} for part in parts],
    }


def imported(source: str) -> set[str]:
    """Return the files of module_utils a source imports, by dotted name: ``files``, ``backup.status``."""
    names: set[str] = set()
    for match in _IMPORTS.finditer(source):
        where = match[1].lstrip(".")
        if where and not os.path.isdir(os.path.join(PLUGINS, "module_utils", *where.split("."))):
            names.add(where)
            continue
        listed = _PARENS.match(source, match.start(2))
        for item in (listed[1] if listed else match[2]).split(","):
            name = item.split(" as ")[0].strip()
            if name:
                names.add(f"{where}.{name}".lstrip("."))
    return names


def _parents(dotted: str) -> list[str]:
    parts = dotted.split(".")
    return [".".join(parts[: index + 1]) for index in range(len(parts))]


def result_of(stdout: str) -> dict[str, Any] | None:
    """Return the result a module printed, or None without one."""
    _unused, found, rest = stdout.rpartition("\n" + MARK)
    if not found:
        return None
    try:
        result = json.loads(rest.splitlines()[0])
    except ValueError:
        return None
    return result if isinstance(result, dict) else None
