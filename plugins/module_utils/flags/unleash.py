# SPDX-License-Identifier: Apache-2.0
"""Unleash's API, as far as flags as code need it: https://docs.getunleash.io/reference/api/unleash."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.flags.plan import Step
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

# Options of the modules that talk to it; each has a token of its own.
UNLEASH_ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "ca": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 10},
    "project": {"type": "str", "default": "default"},
    "environment": {"type": "str", "required": True},
}


class UnleashError(Exception):
    """Unleash did not do what it was asked; the message is one line, with what to do, and without the token."""


class UnleashAway(UnleashError):
    """It does not answer, or something else does."""


class UnleashDenied(UnleashError):
    """The token is wrong, or may not do this."""


class UnleashRejected(UnleashError):
    """It does not accept what it was sent."""


class UnleashMissing(UnleashError):
    """It does not know what it was asked for."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token elsewhere."""

    def redirect_request(self, *_unused: Any, **_options: Any) -> None:
        return None


class Unleash:
    """One Unleash, as the holder of a token sees it."""

    def __init__(self, url: str, token: str, *, ca: str = "", timeout: float = 10) -> None:
        """``url`` is where people find it, ``ca`` the certificate in PEM that vouches for it besides those the host trusts."""
        self.url, self._token, self._timeout = url.rstrip("/"), token, timeout
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise UnleashAway(f"feature_flags_url is {url!r}: it must begin with https:// or http://")
        handlers: list[Any] = [_NoRedirect()]
        if self.url.startswith("https:"):
            context = ssl.create_default_context()
            if ca:
                context.load_verify_locations(cadata=ca)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Return what it answers, as data; None for an answer without any. Raises UnleashError."""
        data = None if body is None else json.dumps(body).encode()
        given = {
            "Authorization": self._token,
            "Accept": "application/json",
            **({"Content-Type": "application/json"} if data else {}),
        }
        request = urllib.request.Request(self.url + path, data, {**given, **(headers or {})}, method=method)  # noqa: S310 - checked above
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(f"{method} {path}", error) from error
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise UnleashAway(f"Unleash at {self.url} does not answer: {reason}") from error
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise UnleashAway(
                f"{self.url}{path} answers something other than JSON: is this Unleash's address?"
            ) from error

    def _refusal(self, what: str, error: urllib.error.HTTPError) -> UnleashError:
        try:
            said = json.loads(error.read() or b"null")
        except (ValueError, OSError, http.client.HTTPException):
            said = None
        said = said if isinstance(said, dict) else {}
        details = [
            str(one.get("message") or one.get("description") or "")
            for one in said.get("details") or []
            if isinstance(one, dict)
        ]
        reason = "; ".join(filter(None, details)) or str(said.get("message") or error.reason)
        if error.code in (401, 403):
            return UnleashDenied(
                f"Unleash at {self.url} does not accept the token for {what} ({error.code}): check it, and the route's allow list"
            )
        if 300 <= error.code < 400:
            return UnleashAway(
                f"{self.url} answers with a redirect to {error.headers.get('Location')}: set the address it redirects to"
            )
        if error.code == 404:
            return UnleashMissing(f"Unleash at {self.url}: {what}: not found: {reason}")
        if error.code >= 500:
            return UnleashAway(f"Unleash at {self.url} is in trouble: {what}: {error.code} {reason}")
        return UnleashRejected(f"Unleash at {self.url} does not accept {what}: {reason}")

    # -- what applications are told

    def features(self) -> dict[str, Any]:
        """Return what a client with this token gets, without what it does not need. Raises UnleashError."""
        answer = self.call("GET", "/api/client/features")
        if not isinstance(answer, dict) or not isinstance(answer.get("features"), list):
            raise UnleashAway(f"{self.url}/api/client/features answers without features: is this Unleash's address?")
        return {key: answer[key] for key in ("version", "features", "segments") if key in answer}

    # -- what people set

    def check_environment(self, environment: str) -> None:
        """Raise UnleashMissing for one that is not there: an export of it would be one with all flags off."""
        answer = self.call("GET", "/api/admin/environments")
        names = (
            [str(one["name"]) for one in answer["environments"]]
            if isinstance(answer, dict) and "environments" in answer
            else []
        )
        if environment not in names:
            hint = did_you_mean(environment, names)
            raise UnleashMissing(
                f"Unleash at {self.url} has no environment {environment!r}: {hint} (feature_flags_environment)"
            )

    def export(self, project: str, environment: str) -> dict[str, Any]:
        """Return all flags of a project with their settings in one environment."""
        answer = self.call("POST", "/api/admin/features-batch/export", {"environment": environment, "project": project})
        if not isinstance(answer, dict) or "features" not in answer:
            raise UnleashAway(f"{self.url} answers an export without features: is this Unleash's address?")
        return answer

    def last_change(self, flag: str) -> float | None:
        """Return when a flag last changed, in seconds of the epoch; None when no event says."""
        answer = self.call("GET", f"/api/admin/search/events?feature=IS:{quote(flag)}&limit=1")
        events = answer.get("events") if isinstance(answer, dict) else None
        return datetime.fromisoformat(events[0]["createdAt"]).timestamp() if events else None

    def apply(self, step: Step, project: str, environment: str) -> None:
        """Do one step of a plan."""
        flags = f"/api/admin/projects/{quote(project)}/features"
        flag = f"{flags}/{quote(step['flag'])}"
        inside = f"{flag}/environments/{quote(environment)}"
        about = {key: step[key] for key in ("type", "description") if key in step}
        tags = {kind: [{"type": "simple", "value": tag} for tag in step.get(kind, [])] for kind in ("add", "remove")}
        ways: dict[str, tuple[str, str, Any]] = {
            "create": ("POST", flags, {"name": step["flag"], **about}),
            "describe": ("PUT", flag, {"name": step["flag"], **about}),
            "on": ("POST", f"{inside}/on", None),
            "off": ("POST", f"{inside}/off", None),
            "add_strategy": ("POST", f"{inside}/strategies", step.get("strategy")),
            "set_strategy": ("PUT", f"{inside}/strategies/{step.get('id')}", step.get("strategy")),
            "remove_strategy": ("DELETE", f"{inside}/strategies/{step.get('id')}", None),
            "tag": (
                "PUT",
                f"/api/admin/projects/{quote(project)}/tags",
                {"features": [step["flag"]], "tags": {"addedTags": tags["add"], "removedTags": tags["remove"]}},
            ),
            "archive": ("DELETE", flag, None),
        }
        self.call(*ways[step["do"]])
