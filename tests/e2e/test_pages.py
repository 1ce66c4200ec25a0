# SPDX-License-Identifier: Apache-2.0
"""The pages of a report and of the figures, in a browser; each leaves a picture in build/e2e/."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pages
from tests.support.browser import Browser

# What is drawn: shapes with a size, in a colour that the background does not have.
SHAPES = """
const ground = getComputedStyle(document.body).backgroundColor;
return [...document.querySelectorAll('svg rect, svg circle')].map(shape => {
  const box = shape.getBoundingClientRect(), fill = getComputedStyle(shape).fill;
  return box.width > 0 && box.height > 0 && fill !== ground && fill !== 'none' && fill !== 'rgb(0, 0, 0)';
});
"""
# Words of a plot that lie on each other, or outside of it.
CROWDED = """
const found = [];
for (const plot of document.querySelectorAll('svg')) {
  const ground = plot.getBoundingClientRect(), boxes = [...plot.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  boxes.forEach(([text, box], index) => {
    if (box.left < ground.left - 1 || box.right > ground.right + 1 || box.bottom > ground.bottom + 1) found.push(`${text} is outside`);
    for (const [other, there] of boxes.slice(index + 1))
      if (box.left < there.right && there.left < box.right && box.top < there.bottom && there.top < box.bottom) found.push(`${text} on ${other}`);
  });
}
return found;
"""
WIDER = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = Path("build/e2e")
    folder.mkdir(parents=True, exist_ok=True)
    with Browser(folder) as one:
        yield one


def show(browser: Browser, html: str) -> None:
    browser.open("data:text/html;charset=utf-8;base64," + base64.b64encode(html.encode()).decode())


@pytest.mark.parametrize(
    ("name", "plots", "words"),
    [
        (
            "report-live",
            3,
            ["octocat@github", "v1.4.2: book hours in blocks of two", "backend: BOOKING_BLOCK", "f00dfaceca"],
        ),
        ("report-failed", 3, ["deploy failed in step canary", "failed on edge1, edge2", "332 ms"]),
        ("report-chaos", 2, ["no failed request", "its kernel has no netem", "Kill -9 of a container", "status 500 ("]),
        ("report-releases", 3, ["Deployment frequency", "a week", "rolled back", "9 of 10 within"]),
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_drawn(browser: Browser, name: str, plots: int, words: list[str], scheme: str) -> None:
    show(browser, pages.made()[name].replace("color-scheme: light dark", f"color-scheme: {scheme}"))
    text = browser.text()
    assert [word for word in words if word not in text] == [], text
    drawn: list[Any] = browser.script(SHAPES)
    assert browser.script("return document.querySelectorAll('svg').length") == plots
    assert len(drawn) > 10 and all(drawn)
    assert browser.script(CROWDED) == []
    assert not browser.script(WIDER), "tables and plots scroll by themselves"
    browser.picture(f"{name}-{scheme}")
    assert browser.errors() == []


def test_a_page_that_is_not_right_is_noticed(browser: Browser) -> None:
    """The control: shapes without a colour, words on each other, and what the policy forbids."""
    page = pages.made()["report-live"].replace('class="k-one"', 'class="none"').replace('text-anchor="end"', 'x="0"')
    show(browser, page.replace("</body>", "<script>alert(1)</script></body>"))
    assert not all(browser.script(SHAPES))
    assert browser.script(CROWDED) or not all(browser.script(SHAPES))
    assert any("Content Security Policy" in line for line in browser.errors())
