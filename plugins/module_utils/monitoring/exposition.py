# SPDX-License-Identifier: Apache-2.0
"""Figures in the text format that Prometheus reads: https://prometheus.io/docs/instrumenting/exposition_formats/. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """One figure; ``name`` is without a histogram's suffix only in the table of kinds."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


_SUFFIXES = ("_bucket", "_sum", "_count")


def text(samples: Iterable[Sample], kinds: Mapping[str, str]) -> str:
    """Return the samples, those of each metric together, with its type: ``kinds`` by metric, else counter for _total and gauge."""
    found: dict[str, list[str]] = {}
    for sample in samples:
        found.setdefault(_family(sample.name, kinds), []).append(_line(sample))
    lines = []
    for name, rows in sorted(found.items()):
        lines += [f"# TYPE {name} {kinds.get(name, 'counter' if name.endswith('_total') else 'gauge')}", *rows]
    return "\n".join([*lines, ""])


def _family(name: str, kinds: Mapping[str, str]) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in kinds:
            return name.removesuffix(suffix)
    return name


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}} {number(sample.value)}" if labels else f"{sample.name} {number(sample.value)}"


def number(value: float) -> str:
    """Return a figure as text: whole ones without a fraction, others with all their digits."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
