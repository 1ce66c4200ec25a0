# SPDX-License-Identifier: Apache-2.0
"""What an edge does about its certificates: obtain, renew, share with the other edges, remove what is unused."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates import acme, peers, precheck, settings, store
from ansible_collections.sluice.stack.plugins.module_utils.certificates import certificate as certificates
from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import Certificate
from ansible_collections.sluice.stack.plugins.module_utils.certificates.settings import Desired, Fleet
from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import ANY, claims, tls_claims
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import DEFAULT, wildcard
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_atomic, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import CERTIFICATES_STATUS, EDGE_CONFIGS

STATE = peers.STATE
CERTBOT = os.path.join(STATE, "certbot")
FAILURES = os.path.join(STATE, "failures.json")
UNUSED = os.path.join(STATE, "unused.json")
CERTBOT_SECONDS = 600
SELF_SIGNED_DAYS = 365


class Edge:
    """This edge: its settings, and what it does about them."""

    def __init__(self) -> None:
        given = settings.read()
        self.fleet: Fleet = settings.fleet(given)
        self.referred = settings.referred(given)
        self.desired: list[Desired] = settings.desired(given, served())
        self.failures: dict[str, dict[str, Any]] = read_json(FAILURES, {})
        self.lines: list[str] = []
        self.asked = False  # whether the CA was asked for the name at hand

    # -- one name ------------------------------------------------------------------------------------------------------

    def ensure(self, one: Desired, now: float, force: bool, asked_for: bool) -> None:
        """Obtain or renew a name's certificate when it is this edge's turn; a failure is noted and ends here."""
        failure, self.asked = self.failures.get(one.name), False
        try:
            broken = store.repair(one.name)
            if broken:
                self.lines.append(f"{one.name}: the certificate in use was replaced by the one before it: {broken}")
            live = store.live(one.name)
            if one.settings["source"] == "files":
                self._use(one, read_text(one.settings["bundle"]))
            else:
                if live is None and failure is None:
                    failure = self._note(one.name, "", now, tries=0)
                missing = failure["since"] if failure else now
                why = certificates.due(live, acme.origin(one.settings), self.fleet.position, missing, now)
                if not (why or force):
                    if (
                        live
                        and live.ends > now
                        and live.origin == acme.origin(one.settings)
                        and self._settled(one, live, now)
                    ):
                        self.failures.pop(one.name, None)
                    return
                tries = failure["tries"] if failure else 0
                if tries and failure and not (force or asked_for):
                    again = certificates.next_try(tries, failure["at"], live)
                    if now < again:
                        return
                self._use(one, self._obtain(one))
            self.failures.pop(one.name, None)
        except (CertificateError, OSError) as error:
            # What it gave and is refused here counts, too: the CA counts it.
            tries = (failure or {}).get("tries", 0) + (1 if self.asked else 0)
            self._note(one.name, str(error), now, tries)
            self.lines.append(f"{one.name}: FAILED: {error}")

    def _settled(self, one: Desired, live: Certificate, now: float) -> bool:
        """Whether nothing is due for any edge, so that what failed before is over: another edge may have renewed it."""
        return certificates.due(live, acme.origin(one.settings), 0, now, now) is None

    def _note(self, name: str, why: str, now: float, tries: int) -> dict[str, Any]:
        since = self.failures.get(name, {}).get("since", now)
        self.failures[name] = {"since": since, "at": now, "why": why, "tries": tries}
        return self.failures[name]

    def _use(self, one: Desired, bundle: str) -> None:
        if store.install(one.name, bundle, acme.origin(one.settings), one.names, self.fleet.https_port):
            found = store.described(bundle)
            self.lines.append(f"{one.name}: new certificate by {found.issuer}, until {certificates.when(found.ends)}")

    def _obtain(self, one: Desired) -> str:
        if one.settings["source"] == "self_signed":
            return store.self_signed(one.name, SELF_SIGNED_DAYS, one.settings["key_type"])
        account = self.account(one.settings)
        if not one.settings.get("dns_plugin") and one.settings["precheck"]:
            precheck.run(one.name, account["thumbprint"])
        self._certbot(acme.certonly(CERTBOT, one.name, one.settings, account["id"]), one.settings)
        folder = os.path.join(CERTBOT, "live", acme.lineage(one.name))
        return read_text(os.path.join(folder, "privkey.pem")) + read_text(os.path.join(folder, "fullchain.pem"))

    # -- the account ---------------------------------------------------------------------------------------------------

    def account(self, of: Mapping[str, Any]) -> dict[str, Any]:
        """Return the account at the CA; makes one, which the other edges get before it is used, since they answer with it."""
        found = account(of)
        if not found:
            self._certbot(acme.register(CERTBOT, of), of)
            found = account(of)
            if not found:
                raise CertificateError("certbot made no account")
            self.lines.append(f"new account at {of['directory']}")
        publish(found["thumbprint"])
        self.spread()
        return found

    def _certbot(self, command: Sequence[str], of: Mapping[str, Any]) -> None:
        self.asked = True
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=CERTBOT_SECONDS,
                env={**os.environ, "LC_ALL": "C.UTF-8", **acme.environment(of)},
            )
        except FileNotFoundError as error:
            raise CertificateError(
                "certbot is not installed: run provision.yml, whose inventory names the source acme"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise CertificateError(f"certbot gave up on {of['directory']} after {CERTBOT_SECONDS} s") from error
        if done.returncode:
            raise CertificateError(f"{of['directory']}: {acme.reason(done.stdout + done.stderr)}")

    # -- the other edges -----------------------------------------------------------------------------------------------

    def spread(self) -> None:
        """Offer every other edge what this one has, and give what it asks for; one that is down gets it at a later run."""
        offer = self.offer() if self.fleet.peers else {}
        for peer in self.fleet.peers:
            place = f"edge {peer['name']}"
            # Certificates of source files every edge has from its own settings.
            if not (offer["names"] or offer["account"]):
                self.failures.pop(place, None)
                continue
            try:
                asked = peers.talk(peer, {"offer": offer})
                names = {name: self._bundle(name) for name in asked["names"]}
                files = self._account_files() if asked["account"] else {}
                if names or files:
                    taken = peers.talk(peer, {"give": {"names": names, "account": files}})
                    self.lines += [f"{peer['name']}: {line}" for line in taken["lines"]]
                self.failures.pop(place, None)
            except CertificateError as error:
                self._note(place, str(error), time.time(), 0)

    def offer(self) -> dict[str, Any]:
        """Return what this edge has, without any secret."""
        found = {}
        for one in self.desired:
            live = store.live(one.name)
            if live and one.settings["source"] != "files" and live.ends > time.time():
                found[one.name] = {"begins": live.begins, "origin": live.origin}
        own = self._account()
        return {"names": found, "account": {"made": own["made"]} if own else None}

    def _bundle(self, name: str) -> dict[str, str]:
        live = store.live(name)
        return {"bundle": store.live_text(name), "origin": live.origin if live else ""}

    def _account(self) -> dict[str, Any] | None:
        for one in self.desired:
            if one.settings["source"] == "acme":
                return account(one.settings)
        return None

    def _account_files(self) -> dict[str, str]:
        own = self._account()
        paths = glob.glob(f"{glob.escape(own['folder'])}/*.json") if own else []
        return {os.path.relpath(path, CERTBOT): read_text(path) for path in paths}

    def receive(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer another edge: what this one takes of its offer, or that it took what was given."""
        sources = {one.name: acme.origin(one.settings) for one in self.desired}
        if "offer" in message:
            return peers.accepted(message["offer"], self.offer(), sources)
        known = {one.name: one for one in self.desired}
        given = message["give"]
        for path, text in given["account"].items():
            place = os.path.normpath(os.path.join(CERTBOT, path))
            if not place.startswith(os.path.join(CERTBOT, "accounts") + os.sep) or not place.endswith(".json"):
                raise CertificateError(f"{path} is no file of an account")
            write_atomic(place, text, mode=0o400)
        own = self._account()
        if own:
            publish(own["thumbprint"])
        for name, item in given["names"].items():
            if not settings.acceptable(name) or sources.get(name) == "files":
                raise CertificateError(f"{name} is not accepted here")
            names = known[name].names if name in known else ()
            if store.install(name, item["bundle"], _word(item["origin"]), names, self.fleet.https_port):
                self.failures.pop(name, None)
                self.lines.append(f"{name}: taken")
        self.save()
        return {"lines": self.lines}

    # -- what nobody wants any more ------------------------------------------------------------------------------------

    def forget(self, now: float) -> None:
        """Remove certificates with their keys, and files of the role, that nothing here has wanted for a while."""
        wanted = {store.folder_of(name) for name in [*routed(), *(one.name for one in self.desired)]} | self.referred
        given = glob.glob(os.path.join(settings.FOLDER, "*.pem")) + glob.glob(os.path.join(settings.FOLDER, "*.ini"))
        since, over = settings.unused([*store.folders(), *given], wanted, read_json(UNUSED, {}), now)
        for path in over:
            try:
                remove(path)
                self.lines.append(f"{path}: removed, since nothing here has used it for 7 days")
            except OSError as error:
                self.lines.append(f"{path}: unused, and not removed: {error}")
        write_json(UNUSED, since)

    # -- status --------------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Write the status; returns it."""
        known = {one.name for one in self.desired} | {f"edge {peer['name']}" for peer in self.fleet.peers}
        self.failures = {name: item for name, item in self.failures.items() if name in known}
        write_json(FAILURES, self.failures)
        found = self.status()
        write_json(CERTIFICATES_STATUS, {key: found[key] for key in ("time", "names", "problems")})
        return found

    def status(self) -> dict[str, Any]:
        """Return every certificate, what is wrong, and lines for people."""
        now, names, problems, lines = time.time(), [], [], []
        for one in self.desired:
            live = store.live(one.name)
            why = certificates.problem(live, self.failures.get(one.name), now)
            source = one.settings["source"]
            data = live.as_data() if live else {}
            names.append({"name": one.name, "source": source, "problem": why, **data})
            problems += [f"{one.name}: {why}"] if why else []
            left = (
                f"{certificates.span(live.ends - now)} left, until {certificates.when(live.ends)}, by {live.issuer}"
                if live
                else "none"
            )
            lines.append(f"{one.name:<30} {source:<12} {left}")
        for path, since in sorted(read_json(UNUSED, {}).items()):
            gone = certificates.when(since + settings.UNUSED_SECONDS)
            lines.append(f"{os.path.basename(path):<30} {'unused':<12} will be removed at {gone}")
        for peer in self.fleet.peers:
            failure = self.failures.get(f"edge {peer['name']}")
            if failure:
                problems.append(f"failing since {certificates.when(failure['since'])}: {failure['why']}")
        return {
            "time": now,
            "names": names,
            "problems": problems,
            "lines": [*lines, *(f"PROBLEM {line}" for line in problems)],
        }


def served() -> dict[str, set[str]]:
    """Return the host names that Nginx here serves with TLS, by app."""
    found = {}
    for path in sorted(glob.glob(os.path.join(EDGE_CONFIGS, "*.conf"))):
        found[os.path.basename(path).removesuffix(".conf")] = tls_claims(read_text(path))
    return found


def routed() -> set[str]:
    """Return the certificates that host names of apps here may use: their own and their wildcard's, with TLS or not."""
    found: set[str] = set()
    for path in glob.glob(os.path.join(EDGE_CONFIGS, "*.conf")):
        for name in claims(read_text(path)):
            found |= {DEFAULT} if name == ANY else {name, wildcard(name)}
    return found


def remove(path: str) -> None:
    """Remove a file, or a name's folder with all that Certbot has for it."""
    if not os.path.isdir(path):
        os.unlink(path)
        return
    for part in ("live", "archive"):
        shutil.rmtree(os.path.join(CERTBOT, part, os.path.basename(path)), ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(CERTBOT, "renewal", f"{os.path.basename(path)}.conf"))
    shutil.rmtree(path)


def account(of: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the account at a CA, the oldest of several, or None."""
    folders = acme.accounts(CERTBOT, of["directory"])
    if not folders:
        return None
    folder = folders[0]
    key = read_json(os.path.join(folder, "private_key.json"))
    made = str(read_json(os.path.join(folder, "meta.json"), {}).get("creation_dt", ""))
    return {"id": os.path.basename(folder), "folder": folder, "thumbprint": acme.thumbprint(key), "made": made}


def publish(thumbprint: str) -> None:
    """Let Nginx answer challenges for the account."""
    path = os.path.join(store.FOLDER, "thumbprint")
    if not os.path.exists(path) or read_text(path).strip() != thumbprint:
        write_atomic(path, f"{thumbprint}\n", mode=0o640, group=store.GROUP)


def _word(origin: str) -> str:
    return origin if origin and all(letter.isalnum() or letter in "-_" for letter in origin) else "unknown"


def read_text(path: str) -> str:
    """Return a file's text."""
    with open(path, encoding="utf-8") as handle:
        return handle.read()
