"""The HTML report as a browser shows it: on a desktop, a phone, in the dark and on paper."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import made_up_sweep
import pytest
from browser import open_browser
from selenium.webdriver import Chrome

from tune_nas.report import find_report_format

WIDE = "x" * 300


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of twenty trials, one with a long name and one with a long reason."""
    trials = made_up_sweep.results(n_seeds=2, epochs=3)
    trials[3] = replace(trials[3], status="failed", error=f"OSError: {WIDE}", metrics={})
    trials[4] = replace(trials[4], status="stopped early", reason="accuracy 12 is not in the top")
    details = made_up_sweep.details(trials, 3)
    of_one = replace(
        details, read_alphas=lambda key: details.read_alphas(key) if key[-1] in "67" else None
    )
    comparison = made_up_sweep.comparison(trials)
    comparison.sweep = f"made-up-{'long' * 30}"
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(find_report_format("html").render_run(comparison, lambda: of_one), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def show(
    browser: Chrome, page: Path, *, width: int = 1280, dark: bool = False, media: str = ""
) -> None:
    """Open the page as a file in a window of a width."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())


def requests(browser: Chrome) -> list[str]:
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [entry for entry in entries if entry["method"] == "Network.requestWillBeSent"]
    return [entry["params"]["request"]["url"] for entry in sent]


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_it_opens_without_error_request_or_overflow(
    browser: Chrome, page: Path, width: int
) -> None:
    show(browser, page, width=width)
    assert browser.get_log("browser") == []
    assert requests(browser) == [page.as_uri()]
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert browser.execute_script(script) == [width, width]


def test_details_open_within_the_width_of_a_phone(browser: Chrome, page: Path) -> None:
    show(browser, page, width=390)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_text_of_a_plot_can_be_read_on_a_phone(browser: Chrome, page: Path) -> None:
    show(browser, page, width=390)
    script = """
        return Array.from(document.querySelectorAll('#plots svg text, #cells svg text')).map(
            (text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)
    """
    sizes = [abs(size) for size in browser.execute_script(script) if size]
    assert len(sizes) > 20
    assert min(sizes) > 5.5  # indices of c_k; rotated labels have a size of 0 here


def test_it_is_dark_where_the_user_prefers_that(browser: Chrome, page: Path) -> None:
    found = {}
    for dark in (False, True):
        show(browser, page, dark=dark)
        ground = color(browser.execute_script(GROUND))
        found[dark] = luminance(ground)
        texts = browser.execute_script(TEXTS)
        assert len(texts) > 100
        contrasts = {text: contrast(color(fill), ground) for text, fill in texts}
        assert min(contrasts.values()) >= 4.5, min(contrasts, key=contrasts.__getitem__)
        marks = browser.execute_script(MARKS)
        assert len(marks) > 10
        assert min(contrast(color(mark), ground) for mark in marks) >= 2
    assert found[False] == 1 and found[True] < 0.02


def test_a_click_sorts_and_another_one_reverses(browser: Chrome, page: Path) -> None:
    show(browser, page)
    values = ["0", "0.03", "0.1", "0.3", "1", "3", "10", "30", "100", "inf"]
    assert column(browser, "rows", 0) == values
    click(browser, "rows", 0)
    assert column(browser, "rows", 0) == values  # as numbers, with inf last
    click(browser, "rows", 0)
    assert column(browser, "rows", 0) == values[::-1]
    head = browser.find_elements("css selector", "#all-trials thead th")
    place = [cell.text for cell in head].index("valid %")
    for way, sign in (("ascending", 1), ("descending", -1)):
        click(browser, "all-trials", place)
        shown = column(browser, "all-trials", place)
        known = [sign * float(text) for text in shown if text != "–"]
        assert known == sorted(known)
        assert shown[-1] == "–"  # the failed trial stays last
        assert head[place].get_attribute("aria-sort") == way


def test_it_is_whole_without_scripts(browser: Chrome, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, page)
        assert len(browser.find_elements("css selector", "#all-trials tbody tr")) == 20
        assert browser.find_elements("css selector", "th button") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_shows_everything(browser: Chrome, page: Path) -> None:
    # A4 without the margins of the page, 186 mm, at 96 pixels per inch; dark on the screen.
    show(browser, page, width=703, dark=True, media="print")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 703
    clipped = browser.execute_script(
        "return Array.from(document.querySelectorAll('.wide, td, pre')).filter("
        "(box) => box.scrollWidth > box.clientWidth + 1 && box.clientWidth).length"
    )
    assert clipped == 0
    assert luminance(color(browser.execute_script(GROUND))) == 1
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.7})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF") and len(content) > 20_000


GROUND = "return getComputedStyle(document.body).backgroundColor"
TEXTS = """
    const found = [];
    const inner = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (inner.nextNode()) {
        const owner = inner.currentNode.parentElement;
        if (!inner.currentNode.data.trim() || owner.closest('script, #cells svg')) continue;
        const style = getComputedStyle(owner);
        found.push([inner.currentNode.data, owner.closest('svg') ? style.fill : style.color]);
    }
    return found;
"""
MARKS = """
    return Array.from(document.querySelectorAll('#plots svg path, #plots svg use')).map(
        (path) => getComputedStyle(path)).filter(
        (style) => style.stroke.startsWith('rgb') && parseFloat(style.strokeWidth) > 1).map(
        (style) => style.stroke);
"""


def column(browser: Chrome, table: str, place: int) -> list[str]:
    cells = f"#{table} tbody td:nth-child({place + 1})"
    return [cell.text for cell in browser.find_elements("css selector", cells)]


def click(browser: Chrome, table: str, place: int) -> None:
    head = browser.find_element("css selector", f"#{table} th:nth-child({place + 1}) button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
    head.click()


def color(text: str) -> tuple[float, ...]:
    """The three parts of ``rgb(…)`` in [0, 1]."""
    return tuple(float(part) / 255 for part in re.findall(r"[\d.]+", text)[:3])


def luminance(parts: tuple[float, ...]) -> float:
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast ratio of WCAG 2.1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
