#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a visitor needs of the live release, asked from outside: APP_URL serves the version and its pages.

Each path is asked until it answers as it should, within 30 seconds: SMOKE_PATHS (separated by blanks) replaces them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATHS = "/ /api/accountants"
SECONDS = 30.0


def ask(url: str) -> tuple[int, bytes]:
    """Status and body of one request; status 0 and the reason where there was no answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - APP_URL is the project's own
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError as error:
        return 0, str(error).encode()


def problem(url: str, version: str | None) -> str:
    """What is wrong with one answer; empty when nothing is."""
    status, body = ask(url)
    if status != 200:
        return f"{url}: {status or body.decode()}"
    if version is not None:
        try:
            live = json.loads(body)["version"]
        except (ValueError, KeyError, TypeError):
            return f"{url}: no version in the answer"
        return "" if live == version else f"{url}: {live} is live, not {version}"
    return ""


def main() -> int:
    """Ask for everything; the exit code is 1 when something stays wrong."""
    base = os.environ.get("APP_URL", "").rstrip("/")
    if not base.startswith(("http://", "https://")):
        print(
            f"smoke.py: APP_URL is {base!r}; the address of the app, such as https://app.example.com", file=sys.stderr
        )
        return 64
    tags = Path(__file__).with_name("tags.py")
    version = subprocess.run(
        [sys.executable, tags, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    checks: list[tuple[str, str | None]] = [(f"{base}/api/version", version)]
    checks += [(base + path, None) for path in (os.environ.get("SMOKE_PATHS") or PATHS).split()]
    deadline = time.monotonic() + SECONDS
    for url, expected in checks:
        while (found := problem(url, expected)) and time.monotonic() < deadline:
            time.sleep(1)
        print(found or f"{url}: ok")
        if found:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
