# SPDX-License-Identifier: Apache-2.0
"""The images a host has to pull for a release, their size, and whether they fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]
# images: list, bytes: int or None when unknown, why: the reason for that, exact: bool, free: bytes, root: path
Pull = dict[str, Any]

GIB, MIB = 2**30, 2**20


def sizes(manifest: Manifest, observed: Iterable[Observation], known: Iterable[Manifest]) -> dict[str, int]:
    """Image → its compressed bytes, from the registry, or as recorded by an earlier release."""
    images = {service["image"] for service in manifest["services"].values()}
    found = {image: size for earlier in known for image, size in earlier.get("sizes", {}).items() if image in images}
    for item in observed:
        for image, answer in _answers(manifest, item).items():
            if "size" in answer:
                found[image] = answer["size"]
    return found


def missing(manifest: Manifest, names: Iterable[str], observation: Observation) -> list[str]:
    """The images of the services ``names`` that a host lacks."""
    present = set(observation["images_present"])
    return sorted({image for name in names if _familiar(image := manifest["services"][name]["image"]) not in present})


def _familiar(image: str) -> str:
    """A reference as the engine lists it: without the prefix of Docker Hub."""
    return image.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")


def pull(manifest: Manifest, names: Sequence[str], observation: Observation, known: Mapping[str, int]) -> Pull:
    """Return what a host has to pull for the services ``names``; ``known`` are sizes of whole images.

    Exact where the host reported the layers it lacks. A layer that several images share counts once.
    """
    images = missing(manifest, names, observation)
    answers = _answers(manifest, observation)
    layers = [answers.get(image, {}).get("layers") for image in images]
    exact = all(item is not None for item in layers)
    if exact:
        total: int | None = sum({digest: size for item in layers for digest, size in (item or {}).items()}.values())
    else:
        total = sum(known[image] for image in images) if all(image in known for image in images) else None
    return {
        "images": images,
        "bytes": total,
        "why": next((text for image in images if (text := answers.get(image, {}).get("size_unknown"))), ""),
        "exact": exact,
        "free": observation["disk_free"],
        "root": observation["docker_root"],
    }


def fault(host: str, wanted: Pull, least: int) -> str | None:
    """Return why a host lacks disk space for what it has to pull, or None; ``least`` is app_disk_free in bytes.

    An upper bound refuses nothing: the host may already have most of the layers.
    """
    packed = wanted["bytes"] if wanted["exact"] and wanted["bytes"] else 0
    # A layer is stored compressed first and then unpacked, at least as large again.
    need = 2 * packed + least
    if not wanted["images"] or wanted["free"] >= need:
        return None
    why = f" (twice the {size(packed)} to pull, compressed and unpacked, plus app_disk_free)" if packed else ""
    return (
        f"{host} has {size(wanted['free'])} free for images in {wanted['root']}, "
        f"{'the release needs' if packed else 'app_disk_free requires'} {size(need)}{why}: free disk space (docker image prune) or lower app_disk_free"
    )


def summary(wanted: Pull) -> str:
    """Describe what a host has to pull, for the printed plan; empty for nothing."""
    count = len(wanted["images"])
    if not count:
        return ""
    bound = "" if wanted["exact"] else "up to "
    why = f": {wanted['why']}" if wanted["why"] else ""
    much = f"of unknown size{why}" if wanted["bytes"] is None else f"{bound}{size(wanted['bytes'])}"
    return f"pull {count} image{'s' if count != 1 else ''} ({much}; {size(wanted['free'])} free)"


def size(number: int) -> str:
    """Format bytes as MiB or GiB."""
    if number >= GIB:
        return f"{number / GIB:.1f} GiB"
    return f"{number / MIB:.1f} MiB"


def _answers(manifest: Manifest, observation: Observation) -> dict[str, Mapping[str, Any]]:
    """Image by digest → what the registry reported to a host."""
    heard = observation.get("images") or {}
    found = {}
    for service in manifest["services"].values():
        answer = heard.get(service.get("reference"))
        if answer and service["image"].endswith(f"@{answer.get('digest')}"):
            found[service["image"]] = answer
    return found
