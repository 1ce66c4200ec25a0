# SPDX-License-Identifier: Apache-2.0
"""The address that `make demo` ends with: over TLS for whoever trusts the lab's authority, and over plain HTTP as before."""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.lab import AUTHORITY, Lab
from tests.support.playbook import REPO


def test_the_labs_address_is_served_over_tls_with_its_own_authority(lab: Lab, v1_0_0: str) -> None:
    url = subprocess.run([REPO / "scripts/lab-url"], capture_output=True, text=True, check=True).stdout.strip()
    assert url.startswith("https://127.0.0.1:")
    for address in (url, url.replace("127.0.0.1", "localhost"), f"https://{lab.address('edge1')}/"):
        trusting = ssl.create_default_context(cafile=str(AUTHORITY))
        with urllib.request.urlopen(f"{address}api/version", context=trusting, timeout=10) as answer:
            assert answer.status == 200 and b"v1.0.0" in answer.read()
            assert answer.headers["Strict-Transport-Security"] is None, (
                "browsers would remember it for other servers here"
            )
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(url, timeout=10)
    # Neither sent on nor refused.
    assert lab.ask("/api/version").status == 200


@pytest.mark.parametrize(
    ("name", "good"), [("DNS:localhost", True), ("DNS:example.com", False), ("IP:192.0.2.1", False)]
)
def test_the_authority_vouches_for_nothing_but_the_lab(lab: Lab, tmp_path: Path, name: str, good: bool) -> None:
    """People let their browsers trust it, and its key is a file."""
    ca = ["-CA", str(AUTHORITY), "-CAkey", str(AUTHORITY.with_suffix(".key"))]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"]
    given = [
        "-subj",
        "/O=somebody",
        "-addext",
        f"subjectAltName={name}",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    made = str(tmp_path / "made.pem")
    subprocess.run(["openssl", "req", "-x509", *ca, *key, *given, "-out", made], check=True, capture_output=True)
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(AUTHORITY), made], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is good and ("permitted subtree violation" in done.stderr) is not good, done.stderr
