# SPDX-License-Identifier: Apache-2.0
"""GET requests to a registry with the engine's settings: its proxy, trusted certificates, and registries allowed without TLS."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.docker.docker_host import explain
from ansible_collections.sluice.stack.plugins.module_utils.plain_http import Answer

CERTIFICATES = "/etc/docker/certs.d"
ENGINE_PID = "/run/docker.pid"
LIMIT = 4 * 2**20  # bytes; the manifest size that registries must accept by the specification


class Unknown(Exception):
    """It cannot be read; the message is the reason."""


class Client:
    """Requests to one registry (``host:port``); ``info`` is the engine's, ``deadline`` a monotonic time."""

    def __init__(self, registry: str, info: Mapping[str, Any], deadline: float) -> None:
        self.registry, self._info, self._deadline = registry, info, deadline
        self.insecure = insecure(registry, info.get("RegistryConfig") or {})
        self._context = self._tls()

    def get(self, url: str, headers: Mapping[str, str], authorization: str = "") -> Answer:
        """Return the response, whatever its status. Raises Unknown."""
        try:
            return self._get(url, headers, authorization)
        except (OSError, HTTPException, ValueError) as error:
            if self.insecure and url.startswith("https:"):
                return self.get("http:" + url.removeprefix("https:"), headers, authorization)
            reason = getattr(error, "reason", None) or error
            raise Unknown(explain(Exception(str(reason) or type(reason).__name__), self.registry)) from error

    def _get(self, url: str, headers: Mapping[str, str], authorization: str) -> Answer:
        import urllib.request  # noqa: PLC0415 - only when an image has to be pulled
        from urllib.error import HTTPError  # noqa: PLC0415

        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies(url, self._info)), urllib.request.HTTPSHandler(context=self._context)
        )
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - https, or allowed by the engine
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        try:
            answer = opener.open(request, timeout=left)
        except HTTPError as error:
            answer = error
        with answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, answer.read(LIMIT))

    def _tls(self) -> ssl.SSLContext:
        """Return the TLS context: https://docs.docker.com/engine/security/certificates/, every .crt is a CA, .cert and .key are the client's."""
        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        folder = os.path.join(CERTIFICATES, self.registry)
        try:
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                path = os.path.join(folder, name)
                if name.endswith(".crt"):
                    context.load_verify_locations(path)
                elif name.endswith(".cert"):
                    context.load_cert_chain(path, path.removesuffix(".cert") + ".key")
        except (OSError, ValueError) as error:
            raise Unknown(f"a certificate in {folder} cannot be read ({error})") from error
        return context


def insecure(registry: str, config: Mapping[str, Any]) -> bool:
    """Whether the engine allows a registry without verified TLS: its ``insecure-registries``."""
    known = (config.get("IndexConfigs") or {}).get(registry)
    if known:
        return not known["Secure"]
    networks = config.get("InsecureRegistryCIDRs") or []
    return any(_in_network(urlsplit(f"//{registry}").hostname or "", network) for network in networks)


def proxies(url: str, info: Mapping[str, Any]) -> dict[str, str]:
    """Return the engine's proxy for a URL, by scheme; empty for a direct connection. Raises Unknown."""
    parts = urlsplit(url)
    name = "HttpsProxy" if parts.scheme == "https" else "HttpProxy"
    proxy = str(info.get(name) or "")
    if not proxy or bypassed(parts.hostname or "", parts.port, str(info.get("NoProxy") or "")):
        return {}
    if "xxxxx:xxxxx@" in proxy:
        proxy = _with_password(proxy)
    if "://" in proxy and not proxy.startswith("http://"):
        raise Unknown(f"the engine's proxy has the scheme {proxy.partition(':')[0]}, which only the engine can use")
    return {parts.scheme: proxy}


def _with_password(masked: str) -> str:
    """Return the proxy with its credentials, which the engine masks, from the environment of its process."""
    try:
        with open(ENGINE_PID, encoding="ascii") as handle:
            process = handle.read().strip()
        with open(f"/proc/{process}/environ", encoding="utf-8", errors="replace") as handle:
            values = [item.partition("=")[2] for item in handle.read().split("\0")]
    except OSError:
        values = []
    head, _unused, place = masked.partition("xxxxx:xxxxx@")
    for value in values:
        login, at, there = value.rpartition("@")
        if at and there == place and login.startswith(head):
            return value
    raise Unknown("the engine's proxy needs a password, which is not in the engine's environment")


def bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether a host is reached without the proxy: https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config, as the engine does it."""
    if host == "localhost" or _in_network(host, "127.0.0.0/8") or _in_network(host, "::1/128"):
        return True
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        if entry == "*" or ("/" in entry and _in_network(host, entry)):
            return True
        place = urlsplit(f"//{entry}") if entry.count(":") == 1 or entry.startswith("[") else None
        name = (place.hostname or "") if place else entry
        if place and place.port and place.port != (port or 443):
            continue
        name = name.removeprefix("*")
        if name and (host == name or host.endswith(name if name.startswith(".") else f".{name}")):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    import ipaddress  # noqa: PLC0415

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False  # a name
