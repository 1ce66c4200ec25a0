# SPDX-License-Identifier: Apache-2.0
"""The part of the Docker Engine's API that a release needs: https://docs.docker.com/reference/api/engine/.

Not the Docker SDK: importing it takes longer than starting a container, at every step and on every host; see
docs/decisions/0007-small-host-modules.md.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.sluice.stack.plugins.module_utils import plain_http

SOCKET = "/var/run/docker.sock"
# The newest API version tested; with an older engine its own version is used.
NEWEST = (1, 47)
DOCKER_HUB = "https://index.docker.io/v1/"


class EngineError(Exception):
    """The Docker engine cannot do what was requested; the message says what and what to do."""


class NotFound(EngineError):
    """There is no such container, image or network."""


class NoEngine(EngineError):
    """The engine is not reachable."""


class Engine:
    """A connection to this host's engine; ``timeout`` bounds each call, in seconds."""

    def __init__(self, timeout: float = 60, socket_path: str = SOCKET) -> None:
        self.timeout, self._socket = timeout, socket_path
        self._prefix = ""
        self._info: dict[str, Any] = {}
        self._info_lock = threading.Lock()
        version = self.get("/version")
        major, minor = min(NEWEST, tuple(int(part) for part in version["ApiVersion"].split(".")))
        self._prefix = f"/v{major}.{minor}"
        self.platform = (str(version.get("Os")), str(version.get("Arch")))

    def info(self) -> dict[str, Any]:
        """The engine's state and settings; read once, because the engine starts programs for it."""
        with self._info_lock:
            self._info = self._info or self.get("/info")
            return self._info

    def get(self, path: str, **query: Any) -> Any:
        """GET ``path``; returns JSON."""
        return self._call("GET", path, query).data()

    def lines(self, path: str, **query: Any) -> list[Any]:
        """GET ``path``; returns the JSON of each line."""
        return [json.loads(line) for line in self._call("GET", path, query).body.splitlines() if line.strip()]

    def post(self, path: str, body: Any = None, *, timeout: float | None = None, **query: Any) -> Any:
        """POST to ``path``; returns JSON, None without a body."""
        return self._call("POST", path, query, body, timeout=timeout).data()

    def delete(self, path: str, **query: Any) -> None:
        """DELETE ``path``."""
        self._call("DELETE", path, query)

    def digest(self, reference: str, seconds: float) -> str:
        """Resolve an image reference to its digest at the registry, within ``seconds``."""
        try:
            answer = self._call(
                "GET", f"/distribution/{quote(reference)}/json", {}, headers=credentials(reference), timeout=seconds
            )
        except NoEngine as error:
            raise EngineError(f"timed out after {seconds:g} s ({error})") from error
        return str(answer.data()["Descriptor"]["digest"])

    def pull(self, image: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Pull an image by digest; yields the engine's events. Raises EngineError when it takes more than ``seconds``."""
        repository, _unused, digest = image.partition("@")
        query = urlencode({"fromImage": repository, "tag": digest})
        try:
            status, _headers, chunks = plain_http.stream(
                self._socket,
                "POST",
                f"{self._prefix}/images/create?{query}",
                headers=credentials(image),
                timeout=seconds,
            )
            if status >= 400:
                raise _error(plain_http.Answer(status, {}, b"".join(chunks)), "pull")
            text = b""
            for chunk in chunks:
                *lines, text = (text + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except plain_http.NoAnswer as error:
            raise EngineError(f"not pulled within {seconds:g} s ({error})") from error

    def logs(self, container: str, **query: Any) -> str:
        """Return a container's output, both streams in order; ``query`` as in the API, for example ``tail``."""
        answer = self._call("GET", f"/containers/{container}/logs", {"stdout": "true", "stderr": "true", **query})
        return _plain(answer.body).decode(errors="replace")

    def log_lines(self, container: str, **query: Any) -> Iterator[str]:
        """Yield a container's output line by line, both streams in order, in constant memory."""
        target = (
            f"{self._prefix}/containers/{container}/logs?{urlencode({'stdout': 'true', 'stderr': 'true', **query})}"
        )
        try:
            status, _headers, chunks = plain_http.stream(self._socket, "GET", target, timeout=self.timeout)
            if status >= 400:
                raise _error(plain_http.Answer(status, {}, b"".join(chunks)), "logs")
            yield from (line.decode(errors="replace") for line in _lines(chunks))
        except plain_http.NoAnswer as error:
            raise NoEngine(f"the log of {container[:12]} was not read: {error}") from error

    def archive(self, container: str, path: str) -> bytes:
        """Return a file or directory of a container, started or not, as a tar. Raises NotFound for an unknown path."""
        return self._call("GET", f"/containers/{container}/archive", {"path": path}).body

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> plain_http.Answer:
        target = f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = plain_http.request(
                self._socket, method, target, body, headers=headers, timeout=timeout or self.timeout
            )
        except plain_http.NoAnswer as error:
            raise NoEngine(
                f"the Docker engine is not reachable ({error}): run provision.yml, or check systemctl status docker"
            ) from error
        if answer.status >= 400:
            raise _error(answer, f"{method} {path}")
        return answer


def _error(answer: plain_http.Answer, what: str) -> EngineError:
    data = answer.data()
    message = data.get("message") if isinstance(data, dict) else None
    text = str(message or f"{what} returned status {answer.status}").strip().replace("\n", " ")
    return NotFound(text) if answer.status == 404 else EngineError(text)


def _plain(raw: bytes) -> bytes:
    """Strip the frame headers from a log: one byte for the stream, three zero bytes, four for the length."""
    text, at = b"", 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        text += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return text


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return the lines in a log's frames; a line may be spread over several."""
    raw, text = b"", b""
    for chunk in chunks:
        raw += chunk
        while len(raw) >= 8 and len(raw) >= 8 + int.from_bytes(raw[4:8], "big"):
            size = int.from_bytes(raw[4:8], "big")
            *whole, text = (text + raw[8 : 8 + size]).split(b"\n")
            raw = raw[8 + size :]
            yield from whole
    if text:
        yield text


def registry_of(reference: str) -> str:
    """Return the registry part of an image reference; empty for Docker Hub."""
    head, slash, _unused = reference.partition("/")
    return head if slash and ("." in head or ":" in head or head == "localhost") else ""


def credentials(reference: str) -> dict[str, str]:
    """Return the header that logs in to an image's registry, from this user's Docker configuration; empty without a login."""
    known = login(reference)
    if not known:
        return {}
    text = json.dumps({**known, "serveraddress": registry_of(reference) or DOCKER_HUB})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def login(reference: str) -> dict[str, str]:
    """Return this user's Docker login for an image's registry: a name and password, an identity token, or empty."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as handle:
            config = json.load(handle)
    except (FileNotFoundError, ValueError):
        return {}
    server = registry_of(reference) or DOCKER_HUB
    helper = (config.get("credHelpers") or {}).get(server) or config.get("credsStore")
    return _from_helper(helper, server) if helper else _from_file((config.get("auths") or {}).get(server) or {})


def _from_file(entry: Mapping[str, str]) -> dict[str, str]:
    if entry.get("identitytoken"):
        return {"identitytoken": entry["identitytoken"]}
    user, colon, password = base64.b64decode(entry.get("auth") or "").decode(errors="replace").partition(":")
    return {"username": user, "password": password} if colon else {}


def _from_helper(helper: str, server: str) -> dict[str, str]:
    """Read a login from a helper: https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=server, capture_output=True, text=True, timeout=20, check=True
        )
        login = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}  # the registry then reports the missing login
    if login.get("Username") == "<token>":
        return {"identitytoken": login["Secret"]}
    return {"username": login["Username"], "password": login["Secret"]}
