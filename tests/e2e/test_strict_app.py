# SPDX-License-Identifier: Apache-2.0
"""An app that is particular: about its host name, about TLS, and about every byte of its environment."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import STRICT, Variants
from tests.support.lab import APP_HOSTS, QUICK, Lab, inventory_app
from tests.support.playbook import Run

VALUES = {
    "PUNCTUATION": "$HOME ${HOME} $(id) `id` # no comment 'one' \"two\" \\ %s ! ~ a=b & | ; < > * ? [x] {y} %}",
    "SPACES": "  two before, two after  ",
    "EMPTY": "",
    "TABS": "\ta\tb",
    "LINES": "one\ntwo\r\n\nfive\n",
    "PEM": f"-----BEGIN PRIVATE KEY-----\n{'MIIEvQIBADANBgkqhkiG9w0B/+==' * 2}\n-----END PRIVATE KEY-----\n",
    "UNICODE": "zażółć gęślą ☕ \U0001d6d1 e\u0301",
    "YAML": "yes: no # null\n- 0x10\n",
    "VERSION": "1.10",
    "LARGE": "0123456789abcdef" * 6400,  # 100 KB
}


@pytest.fixture(scope="module")
def strict(lab: Lab, v1_0_0: str, variant: Variants, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The particular app, deployed as version 1.10."""
    app = inventory_app()
    services: dict[str, Any] = app["app_services"]
    services["backend"]["health"] |= {
        "host": "shop.example.com",
        "headers": {"X-Forwarded-Proto": "https"},
        "window": 15,
    }
    services["backend"]["env"] |= {f"ENV_{name}": value for name, value in VALUES.items()}
    services["backend"]["secrets"] += [f"SECRET_{name}" for name in VALUES if VALUES[name]]
    secrets = app["app_secrets"] | {f"SECRET_{name}": value for name, value in VALUES.items() if value}
    # Larger than an argument may be.
    file: Path = tmp_path_factory.mktemp("strict") / "app.json"
    file.write_text(json.dumps({"app_services": services, "app_secrets": secrets}))
    variant.push("1.10", STRICT)
    yield lab.deploy("1.10", *QUICK, "-e", f"@{file}")
    lab.rollback(*QUICK).good()


def test_it_is_asked_as_its_users_ask_and_goes_live(lab: Lab, strict: Run) -> None:
    strict.good()
    record = lab.record()
    assert record and record["confirmed"]["release"].endswith("-1.10")
    # Through the edge, which ends no TLS here: a redirect is an answer. Another name is an error, so it was not asked by one.
    assert lab.ask("/api/x", headers={"Host": "shop.example.com"}).status == 301
    assert lab.ask("/api/x", headers={"Host": "localhost"}).status == 500


@pytest.mark.parametrize("host", APP_HOSTS)
def test_every_byte_of_its_environment_arrives(lab: Lab, strict: Run, host: str) -> None:
    strict.good()
    (one,) = (
        item for item in lab.containers(host).values() if item["service"] == "backend" and item["release"] == lab.live()
    )
    raw = base64.b64decode(lab.shell(host, f"base64 -w0 /proc/{one['pid']}/environ"))
    given = dict(item.split(b"=", 1) for item in raw.split(b"\0") if item)
    for name, value in VALUES.items():
        assert given[f"ENV_{name}".encode()] == value.encode(), name
        assert given.get(f"SECRET_{name}".encode(), b"") == value.encode(), name
    assert given[b"BANNER"] == b"", "the inventory's own are there, and templates in them are filled in"
