# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium in a container, driven over the WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.lab import PREFIX, until
from tests.support.playbook import REPO

IMAGE = f"{PREFIX}/browser:trixie"
CONTAINER = f"{PREFIX}-browser"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key the standard gives element references
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,1700"]
# As the browser's settings do it: for servers, and for this user.
TRUST = "mkdir -p ~/.pki/nssdb && certutil -N -d sql:$HOME/.pki/nssdb --empty-password && certutil -A -d sql:$HOME/.pki/nssdb -n lab -t C,, -a"


class BrowserError(Exception):
    """What the browser said it could not do."""


def build_image() -> str:
    """Make the browser's image, on the lab's own Debian; a second call finds it made."""
    base = subprocess.run(
        [str(REPO / "scripts/lab-image"), "base"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = REPO / "tests/e2e/browser"
    subprocess.run(
        [
            "docker",
            "build",
            "-q",
            "-t",
            IMAGE,
            "--label",
            "stack.sluice.lab=image",
            "--build-arg",
            f"FROM={base}",
            str(folder),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return IMAGE


class Browser:
    """One browser; its container lives as long as the block. It trusts its own authorities, and one more if it is told to."""

    def __init__(self, pictures: Path, authority: Path | None = None) -> None:
        self._pictures, self._authority = pictures, authority
        self._session = ""
        self._url = ""

    def __enter__(self) -> Self:
        build_image()
        subprocess.run(["docker", "rm", "-f", CONTAINER], capture_output=True, check=False)
        command = [
            "docker",
            "run",
            "-d",
            "--rm",
            "--name",
            CONTAINER,
            "--network",
            PREFIX,
            "--label",
            "stack.sluice.lab=browser",
        ]
        bounds = ["--memory", "1g", "--pids-limit", "512", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        subprocess.run([*command, *bounds, "-p", "127.0.0.1::9515", IMAGE], check=True, capture_output=True, text=True)
        if self._authority:
            subprocess.run(
                ["docker", "exec", "-i", CONTAINER, "sh", "-ec", TRUST],
                input=self._authority.read_text(),
                check=True,
                capture_output=True,
                text=True,
            )
        address = subprocess.run(
            ["docker", "port", CONTAINER, "9515/tcp"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        self._url = f"http://{address}"
        until(lambda: self._call("GET", "/status")["ready"], 30, "the browser's driver answers")
        options = {"binary": "/usr/bin/chromium", "args": ARGUMENTS}
        wanted = {
            "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        self._session = self._call("POST", "/session", {"capabilities": wanted})["sessionId"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error and self._session:
                self.picture("failed")
        finally:
            subprocess.run(["docker", "rm", "-f", CONTAINER], capture_output=True, check=False)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._do("POST", "/url", {"url": url})

    def protocol(self) -> str:
        """The version of HTTP that brought the page, by its name in a handshake."""
        return str(self.script("return performance.getEntriesByType('navigation')[0].nextHopProtocol"))

    def find(self, testid: str) -> list[str]:
        """The elements with this ``data-testid``."""
        found = self._do("POST", "/elements", {"using": "css selector", "value": f'[data-testid="{testid}"]'})
        return [item[ELEMENT] for item in found]

    def wait(self, testid: str, seconds: float = 15) -> str:
        """The first element with this ``data-testid``, once there is one that is shown."""

        def shown() -> str | None:
            return next((item for item in self.find(testid) if self._do("GET", f"/element/{item}/displayed")), None)

        return str(until(shown, seconds, f"the page shows {testid!r}; its text is {self.text()[:400]!r}"))

    def click(self, testid: str, seconds: float = 15) -> None:
        """Click the first element with this ``data-testid``."""
        self.click_element(self.wait(testid, seconds))

    def click_element(self, element: str) -> None:
        """Click an element that was found."""
        self._do("POST", f"/element/{element}/click", {})

    def type(self, testid: str, text: str) -> None:
        """Replace the text in an input."""
        element = self.wait(testid)
        self._do("POST", f"/element/{element}/clear", {})
        self._do("POST", f"/element/{element}/value", {"text": text})

    def text_of(self, element: str) -> str:
        """The text an element shows."""
        return str(self._do("GET", f"/element/{element}/text"))

    def read(self, testid: str, seconds: float = 15) -> str:
        """The text of the first element with this ``data-testid``."""
        return self.text_of(self.wait(testid, seconds))

    def text(self) -> str:
        """All the text the page shows."""
        return str(self.script("return document.body ? document.body.innerText : ''"))

    def script(self, code: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self._do("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def errors(self) -> list[str]:
        """What the page complained about in its console since the last look."""
        return [
            str(item["message"])
            for item in self._do("POST", "/se/log", {"type": "browser"})
            if item["level"] == "SEVERE"
        ]

    def picture(self, name: str) -> Path:
        """Save what the window shows as ``name``.png."""
        path = self._pictures / f"{name}.png"
        path.write_bytes(base64.b64decode(self._do("GET", "/screenshot")))
        return path

    def _do(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"/session/{self._session}{path}", body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.loads(error.read())["value"]
            raise BrowserError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}") from error
