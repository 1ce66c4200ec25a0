# SPDX-License-Identifier: Apache-2.0
"""Somebody who uses the reference app: signed in, and with the receipt of a booking, which is a token that the app signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import threading
import uuid
from types import TracebackType
from typing import Self

from tests.support.lab import Lab

PASSWORD = "a password of enough length"


class Visitor:
    """A person with an account of their own."""

    def __init__(self, lab: Lab) -> None:
        """Make the account, sign in and book."""
        self.lab = lab
        self.email = f"visitor-{uuid.uuid4().hex}@example.com"
        name = next(
            name for name, item in lab.containers("app1").items() if item["service"] == "backend" and _live(lab, item)
        )
        code = lab.on("app1", "docker", "exec", name, "node", "dist/invite.js", self.email, "CLIENT", "Vera Visitor")
        chosen = {"token": code.split()[-1].rpartition("=")[2], "name": "Vera", "password": PASSWORD}
        assert lab.ask("/api/account/password", "POST", chosen).status == 204
        answer = lab.ask("/api/session", "POST", {"email": self.email, "password": PASSWORD})
        assert answer.status == 200, answer.text
        self._cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
        self.booking, self.receipt = self.book()

    def signed_in(self) -> bool:
        """Whether the session is still good."""
        return self.lab.ask("/api/session", headers=self._cookie).status == 200

    def book(self) -> tuple[str, str]:
        """Book a free slot, and leave it again; returns the booking and its receipt."""
        accountant = self.lab.ask("/api/accountants").json()["accountants"][0]["id"]
        for _unused in range(10):
            slots = self.lab.ask(f"/api/accountants/{accountant}/slots").json()["slots"]
            slot = random.choice([item["id"] for item in slots if item["status"] == "OPEN"])
            email = f"visitor-{uuid.uuid4().hex}@example.com"
            answer = self.lab.ask("/api/bookings", "POST", {"slotId": slot, "name": "Vera", "email": email})
            # Another visitor was faster.
            if answer.status != 409:
                break
        assert answer.status == 201, answer.text
        made = answer.json()["booking"]["id"], answer.json()["receipt"]
        assert self.believed(*made), "the app does not believe what it signed just now"
        return made

    def believed(self, booking: str = "", receipt: str = "") -> bool:
        """Whether the app takes a receipt. To cancel is idempotent, so it can be shown any number of times."""
        booking, receipt = booking or self.booking, receipt or self.receipt
        answer = self.lab.ask(f"/api/bookings/{booking}/cancel", "POST", {}, {"Authorization": f"Bearer {receipt}"})
        assert answer.status in (200, 403), answer.text
        return answer.status == 200


def _live(lab: Lab, item: dict[str, object]) -> bool:
    return item["release"] == lab.live() and item["state"] == "running"


def signed_by(token: str, key: str) -> bool:
    """Whether a key made the token's signature."""
    text, _, signature = token.rpartition(".")
    made = hmac.digest(key.encode(), text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode() == signature


class Watching:
    """Within the block a visitor uses the app the whole time: ``refused`` has what went wrong."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.refused, self.times = visitor, list[str](), 0
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._use, daemon=True)

    def _use(self) -> None:
        while not self._stop.wait(0.1):
            self.times += 1
            try:
                if not self.visitor.signed_in():
                    self.refused.append("signed out")
                if not self.visitor.believed():
                    self.refused.append("the old receipt")
                self.visitor.book()
            except (AssertionError, OSError, ValueError) as error:
                self.refused.append(str(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if not kind:
            assert self.times > 0
            assert self.refused == []
