# SPDX-License-Identifier: Apache-2.0
"""What a push may do, and what it deploys where. Pure: names of refs are text that somebody wrote, and are compared with patterns only."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What the contract takes as a version, and what of a branch's name becomes one.
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}")
OBJECT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
TAGS, BRANCHES = "refs/tags/", "refs/heads/"


class RefusedError(Exception):
    """A push that is refused; the message is one line for whoever pushes."""


@dataclass(frozen=True)
class Environment:
    """Where a repository's refs are deployed to."""

    name: str
    repository: str
    tags: str  # a pattern such as v*; empty for none
    branch: str  # empty for none
    inventory: str  # below the pushed commit, or an absolute path of this host

    @property
    def pushed(self) -> bool:
        """Whether the inventory comes with the push."""
        return not self.inventory.startswith("/")

    def deploys(self, ref: str) -> bool:
        """Whether a ref is deployed here."""
        if ref.startswith(TAGS):
            return bool(self.tags) and fnmatch.fnmatchcase(ref.removeprefix(TAGS), self.tags)
        return bool(self.branch) and ref == BRANCHES + self.branch


@dataclass(frozen=True)
class Update:
    """One ref of a push; an object of zeros is none."""

    old: str
    new: str
    ref: str


@dataclass(frozen=True)
class Deploy:
    """A version, and the environment it goes to."""

    environment: Environment
    version: str


def environments(settings: Mapping[str, Any], repository: str) -> list[Environment]:
    """The environments of a repository, in their order."""
    return [Environment(**one) for one in settings["environments"] if one["repository"] == repository]


def repositories(settings: Mapping[str, Any], pusher: str) -> set[str]:
    """The repositories a pusher may clone and push to: those that have one of their environments."""
    allowed = settings["pushers"].get(pusher, [])
    return {one["repository"] for one in settings["environments"] if one["name"] in allowed}


def decide(updates: Sequence[Update], to: Sequence[Environment], allowed: Sequence[str]) -> list[Deploy]:
    """What a push deploys, in its order. Raises RefusedError for the whole push.

    ``to`` are the repository's environments, of which the first one that deploys a ref takes it; ``allowed`` names those of the pusher.
    """
    found = [deploy for update in updates if (deploy := _decide(update, to, allowed))]
    for one in found:
        versions = [other.version for other in found if other.environment == one.environment]
        if len(versions) > 1:
            raise RefusedError(
                f"this push has {len(versions)} versions for {one.environment.name} ({', '.join(versions[:5])}"
                f"{', …' if len(versions) > 5 else ''}): push one"
            )
    return found


def _decide(update: Update, to: Sequence[Environment], allowed: Sequence[str]) -> Deploy | None:
    name = update.ref.removeprefix(TAGS).removeprefix(BRANCHES)
    pattern, what = (VERSION, "version") if update.ref.startswith(TAGS) else (BRANCH, "branch")
    if not update.ref.startswith((TAGS, BRANCHES)) or not pattern.fullmatch(name):
        raise RefusedError(f"{update.ref!r} is no {what}: letters, digits, '_', '.' and '-'")
    if not update.new.strip("0"):
        raise RefusedError(f"{name}: nothing is deleted here")
    if update.ref.startswith(TAGS) and update.old.strip("0"):
        raise RefusedError(f"{name} was deployed from another commit: a tag never moves, so tag another version")
    for environment in to:
        if environment.deploys(update.ref):
            if environment.name not in allowed:
                raise RefusedError(f"{name} would be deployed to {environment.name}, and your key may not do that")
            version = name if update.ref.startswith(TAGS) else f"{name.replace('/', '-')}-{update.new[:7]}"
            return Deploy(environment, version)
    return None
