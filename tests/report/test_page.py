"""The page: one file without a network, sound in a browser at two widths, without serious findings of axe."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.report import page
from bench.report.summary import summaries

Rows = pd.DataFrame


@pytest.fixture(scope="module")
def text(baseline: Rows, columns: dict) -> str:
    other = baseline.assign(dataset="speech", synthetic=False)
    return page.page("Tables <b>", [*summaries(baseline, columns, 200), *summaries(other, columns, 200)], columns)


def test_it_is_one_file_that_asks_nothing_of_a_network(text: str) -> None:
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", text)
    assert "Tables &lt;b&gt;" in text and len(text.encode()) < 6_000_000


def test_recorded_speech_goes_first_and_cells_tell_n_and_failures(text: str) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert ["recorded" in title for title in titles] == [True, False]
    assert re.search(r'title="STOI 0\.\d+, 95 % interval \[0\.\d+, [01]\.\d+\], n 36, failures: none"', text)


@pytest.fixture(scope="module", params=[1280, 390])
def browser(request: pytest.FixtureRequest, text: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (pip install selenium)")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs Chromium (apt-get install chromium chromium-driver)")
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 500},
    )
    driver.get(path.as_uri())
    yield driver
    driver.quit()


def _wait(until: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_browser_sorts_filters_and_draws(browser: Any) -> None:
    assert not browser.get_log("browser")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    button = next(
        one
        for one in browser.find_elements("css selector", "#b0 thead [role=button]")
        if "STOI" in one.accessible_name and "E" not in one.accessible_name.replace("STOI", "")[:2]
    )
    read = "return [...document.querySelectorAll('#b0 tbody tr')].map(row => +row.cells[6].dataset.order)"
    orders = []
    for way in ("ascending", "descending"):  # by the keyboard; the table is sorted a moment after the key
        button.send_keys("\ue007")
        _wait(lambda way=way: browser.find_elements("css selector", f"#b0 thead [aria-sort={way}]"))
        _wait(lambda way=way: (found := browser.execute_script(read)) == sorted(found, reverse=way == "descending"))
        orders.append(browser.execute_script(read))
    assert orders[0] == orders[1][::-1] and len(set(orders[0])) > 2
    browser.execute_script(
        "const one = document.querySelector('input[type=search]'); one.value = 'neural';"
        "one.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    shown = "return [...document.querySelectorAll('#b0 tbody tr')].map(row => row.innerText)"
    _wait(lambda: len(browser.execute_script(shown)) == 2)
    assert all("neural@1" in row for row in browser.execute_script(shown))
    browser.execute_script("document.querySelector('#p0').scrollIntoView()")
    _wait(lambda: browser.find_elements("css selector", "#p0 .scatterlayer .trace"))
    said = browser.execute_script("return document.querySelector('.compare .out').innerText")
    assert "is the better system here" in said or "is better in" in said


def test_axe_finds_nothing_serious(browser: Any) -> None:
    where = os.environ.get("AXE_CORE", "")
    if not Path(where).is_file():
        pytest.skip("needs axe-core: npm pack axe-core, and AXE_CORE=package/axe.min.js")
    browser.execute_script(Path(where).read_text(encoding="utf-8"))
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(done)")
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []
