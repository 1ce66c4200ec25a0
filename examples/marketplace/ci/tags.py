#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image tags of this commit, from GITHUB_REF and GITHUB_SHA. The first one names this commit only: a deploy asks for it.

ci/tags.py             all of them, one a line
ci/tags.py --version   the first
"""

from __future__ import annotations

import os
import re
import sys

NUMBER = r"(0|[1-9]\d*)"
VERSION = re.compile(rf"v{NUMBER}\.{NUMBER}\.{NUMBER}(-[0-9A-Za-z][0-9A-Za-z.-]*)?")
# What other refs are called: a branch of that name would overwrite their images.
RESERVED = re.compile(rf"latest|cache|pr-\d+|v?\d+(\.\d+){{0,2}}|{VERSION.pattern}|.+-[0-9a-f]{{12}}")
SHA = re.compile(r"[0-9a-f]{40}")


class RefError(Exception):
    """No image is built for this; the message is one line."""


def tags(ref: str, sha: str) -> list[str]:
    """Image tags of a full ref such as ``refs/heads/develop``. Raises RefError for one that cannot name an image."""
    if not SHA.fullmatch(sha):
        raise RefError(f"GITHUB_SHA {sha!r} is no commit")
    kind, _, name = ref.removeprefix("refs/").partition("/")
    if kind == "tags":
        match = VERSION.fullmatch(name)
        if not match or len(name) > 100:
            raise RefError(f"tag {name!r} is no version; a release is called v1.2.3 or v1.2.3-rc.1")
        major, minor, _, pre = match.groups()
        return [name] if pre else [name, f"{major}.{minor}", major]
    if kind == "pull" and re.fullmatch(r"[1-9]\d*/(merge|head)", name):
        return [f"pr-{name.split('/')[0]}"]
    if kind == "heads":
        slug = re.sub(r"[^0-9A-Za-z_.-]+", "-", name).strip(".-")[:100]
        if not slug or RESERVED.fullmatch(slug):
            raise RefError(f"branch {name!r} would take an image tag that is not its own; rename it")
        return [f"{slug}-{sha[:12]}", slug, *(["latest"] if name == "main" else [])]
    raise RefError(f"GITHUB_REF {ref!r} is no branch, tag or pull request")


def main(arguments: list[str]) -> int:
    """Print the tags."""
    try:
        found = tags(os.environ.get("GITHUB_REF", ""), os.environ.get("GITHUB_SHA", ""))
    except RefError as error:
        print(f"tags.py: {error}", file=sys.stderr)
        return 64
    print("\n".join(found[:1] if arguments == ["--version"] else found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
