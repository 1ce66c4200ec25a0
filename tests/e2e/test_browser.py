# SPDX-License-Identifier: Apache-2.0
"""A person with a browser: books an hour, and notices a deploy and a rollback only by what is new on the page.

Every step leaves a picture in build/e2e/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.lab import APP_HOSTS, AUTHORITY, Lab, until

EMAIL = "visitor@example.com"


@pytest.fixture
def browser(lab: Lab, v1_0_0: str, artefacts: Path) -> Iterator[Browser]:
    """A browser that nobody has used yet, and that trusts the lab's authority."""
    with Browser(artefacts, AUTHORITY) as browser:
        yield browser


def page(lab: Lab) -> str:
    """The edge's address on the lab's network, where the browser is too."""
    return f"https://{lab.address('edge1')}/"


def versions(browser: Browser) -> tuple[str, str]:
    """The version of the page and of the API that answers it."""
    badge = "document.querySelector('[data-testid=version]')"
    until(lambda: browser.script(f"return {badge}?.dataset.apiVersion"), 15, "the page knows the API's version")
    page, api = browser.script(f"const {{pageVersion, apiVersion}} = {badge}.dataset; return [pageVersion, apiVersion]")
    return page, api


def book(browser: Browser) -> str:
    """Book the first free hour of the first accountant; the slot's id."""
    browser.click("show-slots")
    browser.wait("slots")
    slot = browser.script(
        "const slot = document.querySelector('[data-testid=slot][data-status=OPEN]'); slot.click(); return slot.dataset.slotId"
    )
    browser.type("booking-name", "Vera Visitor")
    browser.type("booking-email", EMAIL)
    browser.click("booking-submit")
    assert browser.read("booking-confirmation").startswith("Booked: ")
    return str(slot)


def live(browser: Browser) -> Any:
    """The version at the other end of the page's WebSocket, while it is open."""
    return browser.script("return document.querySelector('[data-testid=live][data-open=true]')?.dataset.version")


def somebody_else_books(lab: Lab, browser: Browser) -> None:
    """The page that shows the hours is told when one is taken or free again, wherever that happened."""
    slot = browser.script("return document.querySelector('[data-testid=slot][data-status=OPEN]').dataset.slotId")
    shown = "return document.querySelector(`[data-testid=slot][data-slot-id='${arguments[0]}']`).dataset.status"
    order = {"slotId": slot, "name": "Otto Other", "email": "other@example.com"}
    made = lab.ask("/api/bookings", "POST", order).json()
    until(lambda: browser.script(shown, slot) == "BOOKED", 15, "the page shows that the hour is taken")
    receipt = {"Authorization": f"Bearer {made['receipt']}"}
    lab.ask(f"/api/bookings/{made['booking']['id']}/cancel", "POST", {}, receipt)
    until(lambda: browser.script(shown, slot) == "OPEN", 15, "the page shows that the hour is free again")


def booked(browser: Browser, slot: str) -> bool:
    """Whether the page lists a live booking of the slot."""
    return bool(
        browser.script(
            "return document.querySelector(`[data-testid=booking][data-status=BOOKED][data-slot-id='${arguments[0]}']`)",
            slot,
        )
    )


def test_a_booking_and_an_open_page_outlive_a_deploy_and_a_rollback(lab: Lab, browser: Browser, v1_0_0: str) -> None:
    browser.open(page(lab))
    browser.wait("accountant")
    assert browser.protocol() == "h2"
    assert versions(browser) == ("v1.0.0", "v1.0.0")
    browser.picture("1-page-of-v1.0.0")

    slot = book(browser)
    until(lambda: booked(browser, slot), 15, "the booking is listed")
    assert lab.sql(f"select status from \"ServiceRequest\" where \"slotId\" = '{slot}' and status = 'BOOKED'") == [
        ["BOOKED"]
    ]
    browser.picture("2-booked")
    until(lambda: live(browser) == "v1.0.0", 15, "the page is told of changes")
    somebody_else_books(lab, browser)

    # The page stays open over the flip, with a part of it not loaded yet.
    deploy = lab.start("deploy", "-e", "app_version=v1.1.0", "-e", "app_drain_seconds=30")
    until(
        lambda: lab.ask("/api/version").json()["version"] == "v1.1.0" or not deploy.running(),
        120,
        "the split has flipped",
    )
    assert not browser.find("details")
    browser.click("show-details")
    browser.wait("review")
    assert not browser.find("chunk-error")
    old_is_there = [any(item["release"] == v1_0_0 for item in lab.containers(host).values()) for host in APP_HOSTS]
    browser.picture("3-old-page-after-the-flip")
    deploy.wait().good()
    assert all(old_is_there), "the old release was retired before the click: this run has shown nothing"
    loaded = browser.script(
        "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)"
    )
    chunk = next(path for path in loaded if path.startswith("/assets/Details-") and path.endswith(".js"))
    # The control: the new release does not have that file, so it came from the old slot.
    fresh = next(
        name for name, item in lab.containers("app1").items() if "v1.1.0" in name and item["service"] == "frontend"
    )
    address = lab.on("app1", "docker", "port", fresh, "8080").split()[0]
    status = lab.on("app1", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}{chunk}")
    assert status == "404"

    browser.open(page(lab))
    assert versions(browser) == ("v1.1.0", "v1.1.0")
    until(lambda: booked(browser, slot), 15, "the booking is listed by v1.1.0")
    browser.picture("4-page-of-v1.1.0")

    # The release that the page is connected to sends it away, and it comes back to the next one by itself.
    until(lambda: live(browser) == "v1.1.0", 15, "the page is told of changes by v1.1.0")
    lab.rollback("-e", "app_drain_seconds=1").good()
    until(lambda: live(browser) == "v1.0.0", 30, "the page is told of changes by v1.0.0")
    assert versions(browser)[0] == "v1.1.0", "it was not loaded anew"
    browser.open(page(lab))
    assert versions(browser) == ("v1.0.0", "v1.0.0")
    until(lambda: booked(browser, slot), 15, "the booking is listed after the rollback")
    browser.picture("5-after-the-rollback")

    # The receipt of the first release is still good; and the hour is free for the next test.
    browser.click("booking-cancel")
    until(lambda: not booked(browser, slot), 15, "the booking is cancelled")
    assert browser.errors() == []


def test_a_browser_that_does_not_know_the_authority_refuses(lab: Lab, v1_0_0: str, artefacts: Path) -> None:
    with Browser(artefacts) as stranger:
        stranger.open(page(lab))
        assert "ERR_CERT_AUTHORITY_INVALID" in stranger.text()
        assert stranger.find("accountant") == []
