# SPDX-License-Identifier: Apache-2.0
"""The certificates of an edge, as Nginx reads them: checked, swapped in atomically, seen to be served, or put back.

/var/lib/sluice-tls/<name>/<end>.<fingerprint>.<origin>.pem holds a key and its certificates, and ``live.pem`` is a link to one of
them, which Nginx resolves at each handshake (tls.js of role nginx).
"""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from ansible_collections.sluice.stack.plugins.module_utils.certificates import certificate as certificates
from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import Certificate
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import ANY
from ansible_collections.sluice.stack.plugins.module_utils.files import sync_directory, write_atomic

FOLDER = "/var/lib/sluice-tls"
GROUP = "www-data"  # Nginx's workers
COMMAND_SECONDS = 30
PROBE_SECONDS = 5.0
LIVE = "live.pem"
# The one in use, and the one before it, which a handshake may just be reading.
KEPT = 2
UNKNOWN = "default.invalid"  # no app has it: a handshake for it gets the default certificate


class CertificateError(Exception):
    """A certificate is refused, or cannot be had; the message is one line."""


def openssl(*arguments: str, given: str | None = None) -> str:
    """Run OpenSSL; raises CertificateError. A key goes to its standard input."""
    try:
        done = subprocess.run(
            ["openssl", *arguments], input=given, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateError(f"openssl {arguments[0]} failed: {error}") from error
    if done.returncode:
        raise CertificateError(f"openssl {arguments[0]} refused it: {' '.join(done.stderr.split())[:200]}")
    return done.stdout


def folder_of(name: str, root: str = FOLDER) -> str:
    """Return the folder of a host name's certificates, or of a wildcard's."""
    return os.path.join(root, name.replace("*", "_"))


def described(bundle: str) -> Certificate:
    """Read the first certificate of a bundle; raises CertificateError."""
    try:
        return certificates.parse(openssl("x509", *certificates.ASKED, given=bundle))
    except certificates.Unreadable as error:
        raise CertificateError(f"it is no certificate: {error}") from error


def has_own_key(bundle: str) -> bool:
    """Whether the key of a bundle belongs to its certificate."""
    return openssl("x509", "-noout", "-pubkey", given=bundle) == openssl("pkey", "-pubout", given=bundle)


def check(bundle: str, name: str, now: float) -> Certificate:
    """Return the certificate of a bundle; raises CertificateError unless it is good for a name."""
    found = described(bundle)
    why = certificates.refusal(found, name, has_own_key(bundle), now)
    if why:
        raise CertificateError(f"refused: {why}")
    return found


def live_text(name: str, root: str = FOLDER) -> str:
    """Return the bundle in use for a name, empty without one."""
    try:
        with open(os.path.join(folder_of(name, root), LIVE), encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def live(name: str, root: str = FOLDER) -> Certificate | None:
    """Return the certificate in use for a name, with its origin; None without one, or when it cannot be read."""
    try:
        found = described(live_text(name, root))
    except CertificateError:
        return None
    target = os.path.basename(os.path.realpath(os.path.join(folder_of(name, root), LIVE)))
    return found._replace(origin=target.split(".")[-2] if target.count(".") == 3 else "unknown")


def install(name: str, bundle: str, origin: str, served: Sequence[str], port: int, root: str = FOLDER) -> bool:
    """Use a bundle for a name; False when it is in use already. Raises CertificateError, and then the old one is in use.

    ``served`` are the host names this edge serves with it: they are asked for it afterwards.
    """
    found = check(bundle, name, time.time())
    folder = folder_of(name, root)
    link = os.path.join(folder, LIVE)
    file = f"{datetime.fromtimestamp(found.ends, UTC):%Y%m%dT%H%M%SZ}.{found.fingerprint[:12]}.{origin}.pem"
    before = os.path.basename(os.path.realpath(link)) if os.path.lexists(link) else ""
    if before == file and live_text(name, root) == bundle:
        return False
    _folder(root, 0o750)
    _folder(folder, 0o750)
    write_atomic(os.path.join(folder, file), bundle, mode=0o640, group=GROUP)
    _point(link, file)
    for host in served:
        other = shown(UNKNOWN if host == ANY else host, port)
        if other and other != found.fingerprint:
            if before:
                _point(link, before)
            else:
                os.unlink(link)
            raise CertificateError(
                f"Nginx does not serve it for {host}: see /var/log/nginx/error.log. The one before is back"
            )
    _forget(folder, {file, before})
    return True


def repair(name: str, root: str = FOLDER) -> str | None:
    """Go back to the newest good bundle when the one in use is not; returns what was wrong, None when it is good or none is left."""
    text = live_text(name, root)
    if not text:
        return None
    try:
        check(text, name, time.time())
    except CertificateError as error:
        for path in sorted(_bundles(folder_of(name, root)), key=os.path.getmtime, reverse=True):
            with contextlib.suppress(CertificateError, OSError), open(path, encoding="utf-8") as handle:
                check(handle.read(), name, time.time())
                _point(os.path.join(folder_of(name, root), LIVE), os.path.basename(path))
                return str(error)
    return None


def folders(root: str = FOLDER) -> list[str]:
    """Return the folders of all names that have, or had, a certificate here."""
    return sorted(path for path in glob.glob(os.path.join(glob.escape(root), "*")) if os.path.isdir(path))


def shown(host: str, port: int) -> str:
    """Return the fingerprint of the certificate that Nginx here shows for a host name; empty when it does not answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            given = secure.getpeercert(binary_form=True) or b""
    except ConnectionRefusedError:
        return ""  # Nginx is down
    except ssl.SSLError as error:
        # The app's configuration is about to be loaded.
        return "" if error.reason == "TLSV1_UNRECOGNIZED_NAME" else f"none ({error})"
    except OSError as error:
        return f"none ({error})"
    return described(ssl.DER_cert_to_PEM_cert(given)).fingerprint


def self_signed(name: str, days: int, key_type: str = "ecdsa") -> str:
    """Return a bundle with a new key that vouches for itself."""
    key = ["rsa:2048"] if key_type == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    with tempfile.TemporaryDirectory(prefix="sluice-tls-") as folder:
        path = os.path.join(folder, "key.pem")
        given = openssl(
            "req", "-x509", "-newkey", *key, "-nodes", "-keyout", path, "-days", str(days), "-subj", f"/CN={name[:64]}",
            "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "extendedKeyUsage=serverAuth",
        )  # fmt: skip
        with open(path, encoding="utf-8") as handle:
            return handle.read() + given


def placeholder(root: str = FOLDER) -> bool:
    """Make the certificate that is shown while a name has none; False when it is there."""
    path = os.path.join(root, "placeholder.pem")
    if os.path.exists(path):
        return False
    _folder(root, 0o750)
    write_atomic(path, self_signed("placeholder.invalid", 3650), mode=0o640, group=GROUP)
    return True


def _folder(path: str, mode: int) -> None:
    os.makedirs(path, exist_ok=True)
    os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    os.chmod(path, mode)


def _bundles(folder: str) -> list[str]:
    return [path for path in glob.glob(f"{glob.escape(folder)}/*.pem") if os.path.basename(path) != LIVE]


def _point(link: str, target: str) -> None:
    new = f"{link}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.replace(new, link)
    sync_directory(os.path.dirname(link))


def _forget(folder: str, keep: set[str]) -> None:
    newest = sorted(_bundles(folder), key=os.path.getmtime, reverse=True)
    for path in newest[KEPT:]:
        if os.path.basename(path) not in keep:
            os.unlink(path)
