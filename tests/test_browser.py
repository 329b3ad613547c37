"""In a real browser, with no network: every figure is drawn, figures react to hovering, nothing is fetched.

Needs Chromium or Chrome, its driver, and selenium (in the dev extra); skipped without them.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from cleanlens import plots
from cleanlens.course import site, tour

ROOT = Path(__file__).parents[1]
BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, found in {
        "chromium": BROWSER,
        "chromedriver": DRIVER,
        "selenium": importlib.util.find_spec("selenium"),
    }.items()
    if not found
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
TOKENS = ["<bos>", "When", " Mary", " and", " John", " went", " to", " the"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium that keeps its console and the list of what it asked for, and reaches no host."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    flags += "disable-component-update disable-sync disable-dev-shm-usage window-size=1200,1000"
    for flag in [*flags.split(), f"user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield driver
    driver.quit()


def until(browser: Any, script: str, seconds: float = 30) -> Any:
    """The value of a script as soon as it is true."""
    stop = time.monotonic() + seconds
    while not (value := browser.execute_script(f"return {script}")):
        assert time.monotonic() < stop, f"waited {seconds} s for {script}"
        time.sleep(0.1)
    return value


def visit(browser: Any, page: Path) -> None:
    """Open a page and wait until every figure on it is drawn."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    until(browser, "document.readyState === 'complete'")
    until(
        browser,
        "[...document.querySelectorAll('.cleanlens-plot')].every(e => e.querySelector('.mlayer > *')) && "
        "[...document.querySelectorAll('.cleanlens-view')].every(e => e.children.length > 0)",
    )


def severe(browser: Any) -> list[str]:
    """The errors that the console has shown since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def assert_quiet(browser: Any) -> None:
    """The console shows no error, and nothing but the page's own files was asked for."""
    errors = severe(browser)
    assert not errors, errors
    assert_asked_only(browser, "file:")


def assert_asked_only(browser: Any, own: str) -> None:
    """Every request since the last look was for an address that begins with `own`, or for something in the page."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked, "the browser reports no request, not even for the page"
    outside = [url[:100] for url in asked if not url.startswith((own, "data:", "blob:", "about:"))]
    assert not outside, outside


def hover(browser: Any, selector: str) -> None:
    """Move the mouse over the middle of the first element that fits."""
    from selenium.webdriver import ActionChains

    place = until(browser, f"document.querySelector({selector!r})")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", place)
    ActionChains(browser).move_to_element(place).pause(0.3).move_by_offset(3, 3).perform()


def count(browser: Any, selector: str) -> int:
    return browser.execute_script(f"return document.querySelectorAll({selector!r}).length")


def fits(browser: Any, width: int) -> bool:
    """Whether no figure, table or text sticks out of the page at this width."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.5)
    found = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found[0] <= found[1]


@pytest.fixture(scope="module")
def tour_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tour of two sections."""
    section = tour.Section("Figures", "Of two kinds.")
    section.finds("a finding", True)
    section.figures = [
        ("a heatmap", plots.patching_map(torch.eye(8), TOKENS, title="A heatmap")),
        ("curves", plots.line({"one": [1, 2], "two": [2, 1]}, title="Curves")),
    ]
    views = tour.Section("Views", "Attention and tokens.")
    views.figures = [
        ("attention", plots.attention(TOKENS, torch.eye(8).expand(4, 8, 8))),
        ("tokens", plots.tokens(TOKENS, list(range(8)))),
        ("text", "a < b"),
    ]
    path = tmp_path_factory.mktemp("tour") / "tour.html"
    path.write_text(tour.page([section, views]), encoding="utf-8")
    return path


def test_the_tour_draws_and_reacts(browser: Any, tour_page: Path) -> None:
    visit(browser, tour_page)
    assert (count(browser, ".cleanlens-plot"), count(browser, ".cleanlens-view")) == (2, 2)
    ticks = "[...document.querySelectorAll('.cleanlens-plot .xtick text')].map(e => e.textContent)"
    assert "<bos> (0)" in browser.execute_script(f"return {ticks}")
    hover(browser, ".cleanlens-plot .nsewdrag")
    until(browser, "document.querySelector('.cleanlens-plot .hoverlayer text')")
    head = "document.querySelector('.cleanlens-view')"
    assert "head 2 Zoomed" not in browser.execute_script(f"return {head}.innerText")
    hover_head(browser, "head 2")
    until(browser, f"{head}.innerText.includes('head 2 Zoomed')")
    assert_quiet(browser)


def hover_head(browser: Any, name: str) -> None:
    """Move the mouse over the small picture of the head of this name in an attention view."""
    from selenium.webdriver import ActionChains

    place = until(
        browser,
        "[...document.querySelectorAll('.cleanlens-view *')]"
        f".find(e => e.children.length === 0 && e.textContent === '{name}')",
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", place)
    ActionChains(browser).move_to_element(place).pause(0.3).perform()


def test_the_tour_fits_a_phone(browser: Any, tour_page: Path) -> None:
    visit(browser, tour_page)
    assert fits(browser, 390)


def test_notebook_outputs_draw_on_their_own(browser: Any, tmp_path: Path) -> None:
    """Each output brings the script, packed; a page of several unpacks it once, and each is enough alone."""
    for n in (1, 3):
        page = tmp_path / f"{n}.html"
        outputs = "".join(plots.attention(TOKENS, torch.eye(8))._repr_html_() for _ in range(n))
        page.write_text(f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">{outputs}')
        visit(browser, page)
        until(browser, "document.querySelector('.cleanlens-view').innerText.includes('Zoomed')")
        assert_quiet(browser)


def test_what_this_file_asserts_would_fail_on_a_page_that_fetches(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "outside.html"
    page.write_text('<script src="https://example.org/x.js"></script>')
    visit(browser, page)
    with pytest.raises(AssertionError):
        assert_quiet(browser)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with one chapter."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEANLENS_CACHE", str(folder / "cache"))
        assert site.run(folder / "pages", only="02") == 0
    return folder / "pages"


def test_a_chapter_draws_and_fits(browser: Any, pages: Path) -> None:
    visit(browser, pages / "chapters" / "02_caching.html")
    assert count(browser, ".cleanlens-plot") > 3
    assert count(browser, ".cleanlens-view") >= 1
    assert count(browser, "math") > 10
    hover(browser, ".cleanlens-plot .nsewdrag")
    until(browser, "document.querySelector('.cleanlens-plot .hoverlayer text')")
    hover_head(browser, "L5H2")
    until(browser, "document.querySelector('.cleanlens-view').innerText.includes('L5H2 Zoomed')")
    assert fits(browser, 390)
    assert_quiet(browser)


def test_figures_follow_the_theme(browser: Any, pages: Path) -> None:
    visit(browser, pages / "chapters" / "02_caching.html")
    inks = {}
    for theme in ("light", "dark"):
        browser.execute_script(f"document.body.dataset.theme = '{theme}'")
        time.sleep(1)
        inks[theme] = browser.execute_script(
            "const text = document.querySelector('.cleanlens-plot .xtick text');"
            "return [getComputedStyle(text).fill, getComputedStyle(document.body).backgroundColor]"
        )
    for theme, (ink, ground) in inks.items():
        brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (ink, ground)]
        assert abs(brightness[0] - brightness[1]) > 90, f"{theme}: {ink} on {ground}"
    assert inks["light"] != inks["dark"]


@pytest.mark.parametrize("page", ["components-attention", "config", "hooks", "index"])
def test_the_library_reads_on_every_width(browser: Any, pages: Path, page: str) -> None:
    visit(browser, pages / "reference" / f"{page}.html")
    for width in (390, 700, 1100, 1600):
        assert fits(browser, width), width
    assert_quiet(browser)


def test_text_and_code_stand_side_by_side_and_on_a_phone_one_below_the_other(
    browser: Any, pages: Path
) -> None:
    visit(browser, pages / "reference" / "components-attention.html")
    places = (
        "const row = document.getElementById('Attention.forward');"
        "return ['.says', '.does'].map(part => { const box = row.querySelector(part).getBoundingClientRect();"
        "return [box.left, box.top] })"
    )
    for width, beside in ((1100, True), (390, False)):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        time.sleep(0.3)
        says, does = browser.execute_script(places)
        assert (does[0] > says[0] + 100) == beside
        assert (does[1] > says[1] + 10) != beside
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_search_finds_with_no_network(browser: Any, pages: Path) -> None:
    visit(browser, pages / "search.html")
    browser.get((pages / "search.html").as_uri() + "?q=hook_pattern")
    found = "[...document.querySelectorAll('#search-results li a')].map(link => link.getAttribute('href'))"
    until(browser, f"{found}.length > 2")
    links = browser.execute_script(f"return {found}")
    assert any(link.startswith("reference/components-attention.html") for link in links), links
    assert_quiet(browser)


def test_a_picture_of_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", str(BROWSER))
    figure = plots.patching_map(torch.eye(8), TOKENS, title="A heatmap")
    png = plots.save(figure, tmp_path / "figure.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5000, "nothing is drawn"
    assert "A heatmap" in plots.save(figure, tmp_path / "figure.svg").read_text()


# ---------------------------------------------------------------- JupyterLab and Jupyter Notebook


@pytest.fixture(params=["jupyterlab", "notebook"])
def jupyter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of `live.ipynb` in a JupyterLab, or Jupyter Notebook, that serves `tmp_path`."""
    pytest.importorskip(request.param)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", request.param, "--no-browser", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--allow-root", "--expose-app-in-browser", f"--ServerApp.root_dir={tmp_path}"]
    command += ["--IdentityProvider.token=", "--LabApp.news_url=", "--ServerApp.port_retries=0"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    places = {f"JUPYTER_{kind}_DIR": str(tmp_path / f".{kind}") for kind in ("CONFIG", "RUNTIME")}
    places["JUPYTERLAB_WORKSPACES_DIR"] = places["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path / ".lab")
    log = (tmp_path / "jupyter.log").open("w")
    server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (tmp_path / "jupyter.log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            time.sleep(0.1)
        yield address + {"jupyterlab": "/lab/tree/", "notebook": "/notebooks/"}[request.param] + "live.ipynb"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def test_a_live_notebook(browser: Any, jupyter: str, tmp_path: Path) -> None:
    """A heatmap and an attention view, run in Jupyter: drawn, alive, no error, and nothing from another host."""
    cells = [
        "from cleanlens import plots",
        "plots.heatmap([[1.0, 2.0], [3.0, 4.0]], title='A heatmap')",
        "plots.attention(['a', 'b'], [[[1.0, 0.0], [0.5, 0.5]]] * 3)",
        "plots.attention(['a', 'b'], [[1.0, 0.0], [0.5, 0.5]])",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(book, tmp_path / "live.ipynb")
    browser.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(jupyter)
    until(browser, "window.jupyterapp?.shell.currentWidget?.content?.widgets?.length === 4", 120)
    until(
        browser,
        "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        120,
    )
    before = severe(browser)  # what Jupyter has to say of itself, before a figure is there
    browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    until(browser, "document.querySelector('.jp-OutputArea .mlayer > *')", 90)
    until(browser, "document.querySelectorAll('.jp-OutputArea .cleanlens-view canvas').length >= 6", 60)
    hover(browser, ".jp-OutputArea .nsewdrag")
    until(browser, "document.querySelector('.jp-OutputArea .hoverlayer text')")
    hover_head(browser, "head 2")
    until(browser, "document.querySelector('.cleanlens-view').innerText.includes('head 2 Zoomed')")
    assert not severe(browser), before
    assert_asked_only(
        browser, jupyter.rpartition("/")[0].removesuffix("/lab/tree").removesuffix("/notebooks")
    )
