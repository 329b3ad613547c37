"""The class page and a feedback page in a real browser: on a desktop, a phone and paper, in light and dark, offline."""

from pathlib import Path
from typing import Any

import pytest
from test_browser import assert_quiet, browser, pytestmark, visit
from test_class_report import ENTRIES, ERROR, RIGHT, WRONG, made_up

from cleanlens.course import catalog
from cleanlens.course.classroom import pages

__all__ = ["browser", "pytestmark"]  # the fixture, and what it needs

CONTRAST = """
const rgb = s => s.match(/[\\d.]+/g).map(Number);
const light = c => { const f = c.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) bad.push(e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30));
}
return bad;
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty learners, with every kind of verdict, long names and long texts."""
    learners: dict[str, dict[str, Any]] = {}
    for n in range(60):
        verdicts: dict[str, Any] = {}
        for k, entry in enumerate(ENTRIES):
            mistakes = catalog.find(entry.id).mistakes
            kind = (n * 7 + k * 3) % 11
            if kind < 5:
                verdicts[entry.id] = (RIGHT, "", f"def a{n}(): return {k}")
            elif kind < 8:
                verdicts[entry.id] = (
                    WRONG,
                    mistakes[(n + k) % min(4, len(mistakes))].slug,
                    "def a(): return 1",
                )
            elif kind == 8:
                verdicts[entry.id] = (
                    WRONG,
                    f"expected {k}, got a_very_long_name_without_a_break_{'x' * 90}",
                    "def b():\n    " + "y = 1\n    " * 30,
                )
            elif kind == 9:
                verdicts[entry.id] = (ERROR, "it raised ZeroDivisionError: division by zero", "1/0")
        learners[f"Student {n:02} of a rather long name" if n % 9 else f"Ünï{n}"] = verdicts
    folder = tmp_path_factory.mktemp("report")
    outcome = made_up(folder, learners, "Sixty of them")
    pages.write_report(outcome, folder / "out")
    return folder / "out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["index.html", "students"])
def test_it_can_be_read(browser: Any, report: Path, name: str, width: int, scheme: str) -> None:
    page = report / name if name.endswith("html") else sorted((report / name).iterdir())[0]
    phone = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": feature})
    visit(browser, page)
    assert_quiet(browser)
    assert browser.execute_script("return innerWidth") == width
    assert (
        browser.execute_script("return document.documentElement.scrollWidth") <= width
    )  # nothing sticks out
    assert browser.execute_script(CONTRAST) == []
    back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) < 384) == (scheme == "dark")


def test_the_map_scrolls_and_leads_to_everybody(browser: Any, report: Path) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": []})
    visit(browser, report / "index.html")
    rows, cells = browser.execute_script(
        "const t = document.querySelectorAll('.map tbody tr'); return [t.length, t[0].querySelectorAll('td').length]"
    )
    assert (rows, cells) == (61, len(ENTRIES) + 1)
    fixed = "return document.querySelector('.map tbody th').getBoundingClientRect().left"
    before = browser.execute_script(fixed)
    browser.execute_script("document.querySelector('.scroll').scrollLeft = 120")
    assert abs(browser.execute_script(fixed) - before) < 2  # the names stay
    browser.execute_script("document.querySelector('.map tbody a').click()")
    assert "/students/" in browser.current_url


def test_on_paper_nothing_is_folded_away(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    visit(browser, report / "index.html")
    hidden = "return [...document.querySelectorAll('details pre')].filter(e => !e.getBoundingClientRect().height).length"
    assert browser.execute_script(hidden) == 0
    assert browser.execute_script("return document.querySelectorAll('details pre').length") > 5
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": []})
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(pdf["data"]) > 10_000
