# SPDX-License-Identifier: Apache-2.0
"""What a host has to pull for a release, how large that is, and whether it fits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]
# images: list, bytes: int or None when unknown, why: the reason for that, exact: bool, free: bytes, root: path
Pull = dict[str, Any]

GIB, MIB = 2**30, 2**20


def sizes(manifest: Manifest, observed: Iterable[Observation], known: Iterable[Manifest]) -> dict[str, int]:
    """Image → its packed bytes, as a host read them in the registry now, or an earlier release remembers them."""
    images = {service["image"] for service in manifest["services"].values()}
    found = {image: size for earlier in known for image, size in earlier.get("sizes", {}).items() if image in images}
    for item in observed:
        for image, answer in _answers(manifest, item).items():
            if "size" in answer:
                found[image] = answer["size"]
    return found


def missing(manifest: Manifest, names: Iterable[str], observation: Observation) -> list[str]:
    """The images of the services ``names`` that a host does not have."""
    present = set(observation["images_present"])
    return sorted({image for name in names if _familiar(image := manifest["services"][name]["image"]) not in present})


def _familiar(image: str) -> str:
    """A reference as the engine lists it: without what stands for Docker Hub."""
    return image.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")


def pull(manifest: Manifest, names: Sequence[str], observation: Observation, known: Mapping[str, int]) -> Pull:
    """What a host has to pull for the services ``names``; ``known`` are sizes of whole images.

    Exact where the host told which layers it lacks. A layer that several images have travels once.
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
    """Why a host has no room for what it has to pull, or None; ``least`` is what app_disk_free says, in bytes.

    What is known only as a bound refuses nothing: the host may have most of it.
    """
    packed = wanted["bytes"] if wanted["exact"] and wanted["bytes"] else 0
    # A layer is packed when it comes, and unpacked beside that: at least as large again.
    need = 2 * packed + least
    if not wanted["images"] or wanted["free"] >= need:
        return None
    why = f" (twice the {size(packed)} to pull, packed and unpacked, and app_disk_free)" if packed else ""
    return (
        f"{host} has {size(wanted['free'])} free for images in {wanted['root']}, "
        f"{'the release needs' if packed else 'app_disk_free wants'} {size(need)}{why}: free some (docker image prune) or lower app_disk_free"
    )


def summary(wanted: Pull) -> str:
    """What a host has to pull, for the printed plan; empty when that is nothing."""
    count = len(wanted["images"])
    if not count:
        return ""
    bound = "" if wanted["exact"] else "up to "
    why = f": {wanted['why']}" if wanted["why"] else ""
    much = f"of unknown size{why}" if wanted["bytes"] is None else f"{bound}{size(wanted['bytes'])}"
    return f"pull {count} image{'s' if count != 1 else ''} ({much}; {size(wanted['free'])} free)"


def size(number: int) -> str:
    """Bytes as a person reads them."""
    if number >= GIB:
        return f"{number / GIB:.1f} GiB"
    return f"{number / MIB:.1f} MiB"


def _answers(manifest: Manifest, observation: Observation) -> dict[str, Mapping[str, Any]]:
    """Image by digest → what a host heard of it from the registry."""
    heard = observation.get("images") or {}
    found = {}
    for service in manifest["services"].values():
        answer = heard.get(service.get("reference"))
        if answer and service["image"].endswith(f"@{answer.get('digest')}"):
            found[service["image"]] = answer
    return found
