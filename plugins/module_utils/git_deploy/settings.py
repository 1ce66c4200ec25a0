# SPDX-License-Identifier: Apache-2.0
"""What the inputs of role git_deploy have to be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
PUSHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
KEY = re.compile(r"(ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?")
# A directory beside those of the environments.
RESERVED = "git"


def problems(environments: Sequence[Mapping[str, Any]], pushers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each thing that is wrong; none is shown with a secret."""
    return [*_of_environments(environments), *_of_pushers(pushers, [str(one.get("name")) for one in environments])]


def _of_environments(environments: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not environments:
        yield "git_deploy_environments is empty: name one, or take the host out of the group deploy"
    names = [str(one.get("name")) for one in environments]
    for one in environments:
        where = f"git_deploy_environments: {one.get('name')}"
        if (
            not NAME.fullmatch(str(one.get("name")))
            or one.get("name") == RESERVED
            or names.count(str(one.get("name"))) > 1
        ):
            yield f"{where}: a name is of lower-case letters, digits and dashes, at most 20, not '{RESERVED}', and there once"
        if not NAME.fullmatch(str(one.get("repository"))):
            yield f"{where}.repository is {one.get('repository')!r}: lower-case letters, digits and dashes, without .git"
        if bool(one.get("tags")) == bool(one.get("branch")):
            yield f"{where}: either tags or branch says what is deployed"
        if ".." in str(one.get("inventory")).split("/"):
            yield f"{where}.inventory is {one.get('inventory')!r}: it has to be in the commit, or an absolute path"
        for name in one.get("vault_keys") or {}:
            if not PUSHER.fullmatch(str(name)):
                yield f"{where}.vault_keys has {name!r}: an id is of letters, digits, dots and dashes"


def _of_pushers(pushers: Sequence[Mapping[str, Any]], environments: Sequence[str]) -> Iterator[str]:
    names = [str(one.get("name")) for one in pushers]
    for one in pushers:
        where = f"git_deploy_pushers: {one.get('name')}"
        if not PUSHER.fullmatch(str(one.get("name"))) or names.count(str(one.get("name"))) > 1:
            yield f"{where}: a name is of letters, digits, dots and dashes, and there once"
        if not KEY.fullmatch(str(one.get("key")).strip()):
            yield f"{where}.key is no public key: one line, as in the file that ends in .pub"
        for name in one.get("environments") or []:
            if name not in environments:
                yield f"{where}.environments has {name!r}: git_deploy_environments has {', '.join(environments)}"
