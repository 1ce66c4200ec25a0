# SPDX-License-Identifier: Apache-2.0
"""A small typed schema for nested variables, with messages that name the path of the wrong value.

Ansible's argument specs cannot type a map that is keyed by name (``app_services.backend``), and have no notion of where a
value was set; this can, and collects every problem instead of stopping at the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release.secret_value import LONGEST_ENV
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

REQUIRED: Any = object()
Origin = Callable[[Any], "str | None"]


@dataclass
class Problems:
    """The faults, one line each, with where the value was set when that is known."""

    origin: Origin = lambda _unused: None
    lines: list[str] = field(default_factory=list)

    def add(self, path: str, message: str, value: Any = None) -> None:
        """Add a problem of the value at ``path``."""
        where = self.origin(value) if value is not None else None
        # A key may contain anything, even a line break.
        name = "".join(char if char.isprintable() else repr(char)[1:-1] for char in path)
        self.lines.append(f"{name} {message}" + (f" (set in {where})" if where else ""))


@dataclass(frozen=True)
class Kind:
    """The type of a value: how to read it, and its default."""

    read: Callable[[Any, str, Problems], Any]
    default: Any = REQUIRED


def shown(value: Any, secret: bool = False) -> str:
    """Format a value for messages: shortened, or only its type when it has parts (one may be a secret) or is a secret."""
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if secret:
        return "a string" if isinstance(value, str) else "a number or boolean"
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def text(
    default: Any = REQUIRED,
    pattern: str | None = None,
    means: str = "",
    choices: Sequence[str] = (),
    secret: bool = False,
) -> Kind:
    """A string; ``pattern`` must match whole, ``means`` describes the pattern."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        if not isinstance(value, str):
            problems.add(path, f"must be a string, not {shown(value, secret)}", value)
        elif choices and value not in choices:
            problems.add(path, f"is {value!r}: {did_you_mean(value, choices)}", value)
        elif pattern and not re.fullmatch(pattern, value):
            problems.add(path, f"is {shown(value, secret)}: it must be {means}", value)
        else:
            return str(value)
        return None

    return Kind(read, default)


def number(default: Any = REQUIRED, least: float = 0, most: float = float("inf"), whole: bool = False) -> Kind:
    """A number in ``least`` to ``most``; text that is a number is accepted, since ``-e name=3`` arrives as text."""

    def read(value: Any, path: str, problems: Problems) -> float | int | None:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            problems.add(path, f"must be a number, not {shown(value)}", value)
            return None
        try:
            parsed = int(value) if whole else float(value)
            if whole and float(value) != parsed:
                raise ValueError
        except (ValueError, OverflowError):
            problems.add(path, f"must be a {'whole ' if whole else ''}number, not {shown(value)}", value)
            return None
        if not least <= parsed <= most:
            problems.add(path, f"is {shown(value)}: it must be {least} to {most}", value)
            return None
        return parsed

    # Give the default the type of a given value, so that setting the default explicitly is no change.
    known = default is not REQUIRED and default is not None
    return Kind(read, (int(default) if whole else float(default)) if known else default)


def ranges(default: str, least: int, most: int) -> Kind:
    """Whole numbers and ranges of them: ``200``, ``'200-399'`` or a list of these; kept as one text, ``200,301-308``."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        given = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        parts = [part.strip() for item in given for part in str(item).split(",")]
        bounds = [re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part) for part in parts]
        if bounds and all(one and least <= int(one[1]) <= int(one[2] or one[1]) <= most for one in bounds):
            return ",".join("-".join(filter(None, one.groups())) for one in bounds if one)
        problems.add(
            path,
            f"is {shown(value)}: it must be {least} to {most}, a range such as '200-399', or a list of these",
            value,
        )
        return None

    return Kind(read, default)


def flag(default: Any = REQUIRED) -> Kind:
    """True or false, also as written on the command line."""
    words = {"true": True, "yes": True, "false": False, "no": False}

    def read(value: Any, path: str, problems: Problems) -> bool | None:
        if isinstance(value, bool):
            return bool(value)
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        problems.add(path, f"must be true or false, not {shown(value)}", value)
        return None

    return Kind(read, default)


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def size(default: Any = REQUIRED) -> Kind:
    """Bytes, written like ``512m`` or ``2g`` (powers of 1024)."""

    def read(value: Any, path: str, problems: Problems) -> int | None:
        match = re.fullmatch(r"(\d+)([kmgt]?)b?", str(value).lower()) if not isinstance(value, bool) else None
        if not match:
            problems.add(path, f"must be a size like '512m' or '2g', not {shown(value)}", value)
            return None
        return int(match[1]) * _UNITS[match[2]]

    return Kind(read, default)


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(default: Any = REQUIRED) -> Kind:
    """Seconds, or a number with its unit: ``30m``, ``26h``, ``8d``."""

    def read(value: Any, path: str, problems: Problems) -> float | None:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value)) if not isinstance(value, bool) else None
        if not match:
            problems.add(path, f"must be seconds, or a time like '30m', '26h' or '8d', not {shown(value)}", value)
            return None
        return float(match[1]) * _SECONDS[match[2]]

    return Kind(read, default)


def sequence(element: Kind, default: Any = REQUIRED, secret: bool = False) -> Kind:
    """A list of one kind of value; ``secret``: a wrong value is not shown."""

    def read(value: Any, path: str, problems: Problems) -> list[Any] | None:
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            problems.add(path, f"must be a list, not {shown(value, secret)}", value)
            return None
        return [element.read(item, f"{path}[{index}]", problems) for index, item in enumerate(value)]

    return Kind(read, default)


def mapping(
    element: Kind, default: Any = REQUIRED, name: str = r".+", means: str = "a name", secret: bool = False
) -> Kind:
    """A map from names to one kind of value; ``secret``: a wrong value is not shown."""

    def read(value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a map, not {shown(value, secret)}", value)
            return None
        for key in value:
            if not re.fullmatch(name, str(key)):
                problems.add(f"{path}.{key}", f"is not a valid name: it must be {means}", value[key])
        return {str(key): element.read(item, f"{path}.{key}", problems) for key, item in value.items()}

    return Kind(read, default)


def scalar(secret: bool = False) -> Kind:
    """A string, number or boolean, stored as text for an environment variable; a secret's value is never shown."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            kept = str(value)
            length = len(kept.encode(errors="surrogatepass"))
            if length <= LONGEST_ENV and "\0" not in kept:
                return kept
            held = f"at most {LONGEST_ENV} bytes, not {length}" if length > LONGEST_ENV else "no NUL character"
            problems.add(
                path,
                f"does not fit into an environment variable, which holds {held}: put it into a file of the image",
                value,
            )
            return None
        problems.add(path, f"must be a string, number or boolean, not {shown(value, secret)}", value)
        return None

    return Kind(read)


def struct(fields: Mapping[str, Kind], default: Any = REQUIRED) -> Kind:
    """A map with known keys; an unknown key is a problem with a suggestion, a missing one takes its default."""

    def read(value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a map, not {shown(value)}", value)
            return None
        for key in value:
            if key not in fields:
                problems.add(f"{path}.{key}", f"is not known: {did_you_mean(str(key), fields)}", value[key])
        result: dict[str, Any] = {}
        for key, kind in fields.items():
            given = value.get(key)
            if given is not None:
                result[key] = kind.read(given, f"{path}.{key}", problems)
            elif kind.default is REQUIRED:
                problems.add(f"{path}.{key}", "is missing", value)
            elif isinstance(kind.default, Mapping):
                # Read a nested map's default too, to fill in its fields' defaults.
                result[key] = kind.read(kind.default, f"{path}.{key}", problems)
            else:
                result[key] = kind.default
        return result

    return Kind(read, default)
