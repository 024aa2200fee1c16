"""The pages in a real browser: headless Chromium, driven by Selenium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.reports.html import write_comparison, write_ranking, write_run
from evalkit.results import Run, samples_path
from tests.backends.endpoint.server import wait_until
from tests.reports.comparison_examples import example_comparison, example_ranking, two_runs, write, written_task

selenium = pytest.importorskip(
    "selenium", reason="the pages are tested where selenium is installed: pip install selenium"
)
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if not (CHROMIUM and DRIVER):
    pytest.skip("the pages are tested where chromium and chromium-driver are installed", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,800"),
    "--force-prefers-reduced-motion",  # a click waits for no scrolling
)
HOSTILE_ITEM = "#item=count/0000000000000001"
LONG_ITEM = "#item=count/0000000000000003"


WIDER = "const one = document.querySelector('{}'); return one.scrollWidth - one.clientWidth"


class Page:
    """What a reader sees and does."""

    def __init__(self, browser: Any, path: Path, link: str = "") -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get(path.as_uri() + link)

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.browser, 20, poll_frequency=0.02).until(lambda _: condition())

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def script(self, code: str) -> Any:
        return self.browser.execute_script(code)

    def key(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def select(self, name: str, word: str) -> None:
        Select(self.find(f".filters [name={name}]")).select_by_visible_text(word)

    def opened(self) -> Page:
        """The page, once its list has been unpacked and a document is shown."""
        self.wait(lambda: self.all(".detail h3"))
        return self

    def wait_for_status(self, start: str) -> None:
        self.wait(lambda: self.text(".explorer .status").startswith(start))

    def check_quiet(self) -> None:
        """No script of a model ran, nothing was fetched, and the browser had nothing to complain of."""
        assert self.script("return window.hacked === undefined")
        assert self.browser.get_log("browser") == []
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                assert url.startswith(("file:///", "about:", "data:")), f"the page asked for {url}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.get("about:blank")
    driver.get_log("performance")  # of the page that the browser began with
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    return write_comparison(example_comparison(folder), folder / "page.html")


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tuned = two_runs(folder)[1]
    return write_run(Run.load(tuned), folder / "page.html", samples_path(tuned))


def rows(page: Page) -> list[str]:
    return list(page.script("return [...document.querySelectorAll('.list .row')].map((row) => row.innerText)"))


def click_row(page: Page, place: int) -> None:
    """In one step: between finding a row and clicking it the list could be drawn anew."""
    page.script(f"document.querySelectorAll('.list .row')[{place}].click()")


def test_filter_and_sort(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    (changed,) = [int(word) for word in page.text("#items .lead").split()[:1]]
    page.wait_for_status(f"{changed} of 330")
    page.select("show", "got worse")
    page.wait(lambda: not page.text(".status").startswith(f"{changed} "))
    assert all("right → " in row for row in rows(page))
    worse = int(page.text(".status").split()[0])
    page.select("show", "got better")
    page.wait_for_status(f"{changed - worse} of 330")
    assert all("wrong → right" in row for row in rows(page))
    page.select("show", "all")
    page.select("task", "count")
    page.wait_for_status("40 of 330")
    page.select("cause", "unparsed")
    page.wait_for_status("2 of 330")
    page.select("cause", "all")
    page.select("outcome", "unparsed")
    page.wait_for_status("3 of 330")
    page.select("outcome", "all")
    page.select("task", "quiz")
    page.select("sort", "most clearly wrong now")
    page.wait_for_status("200 of 330")
    margins = [float(row.rsplit("\n", 1)[-1].replace("\u2212", "-")) for row in rows(page)]
    assert margins == sorted(margins)
    assert margins[0] < 0
    page.check_quiet()


def test_search_reads_every_text_of_the_page(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    page.select("show", "all")
    box = page.find(".filters input")
    box.send_keys("TABLE 33.")  # of an output, not of a prompt
    page.wait_for_status("1 of 330")
    assert "Which number is 33?" in rows(page)[0]
    click_row(page, 0)
    page.wait(lambda: "answer: 33" in page.text(".detail"))
    box.clear()
    box.send_keys("nowhere to be found")
    page.wait_for_status("0 of 330")
    assert rows(page) == []
    page.check_quiet()


def test_both_outputs_side_by_side_with_the_words_that_differ(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison, "#item=count/0000000000000008").opened()
    page.wait(lambda: "There are 7 apples." in page.text(".detail"))
    first, second = page.all(".detail .pair > div")
    assert first.location["y"] == second.location["y"]
    assert first.location["x"] < second.location["x"]
    marked = [mark.text for mark in first.find_elements(By.CSS_SELECTOR, "mark")]
    assert "There" in marked
    assert "apples" not in marked
    assert marked.count("7") == 1  # the second one: the other text has "7." there


def test_choices_with_their_probabilities(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    page.select("task", "quiz")
    page.wait(lambda: "quiz" in rows(page)[0])
    click_row(page, 0)
    page.wait(lambda: page.text(".detail h3").startswith("quiz"))
    assert len(page.all(".choices tbody tr")) == 4
    assert len(page.all(".choices tr.gold")) == 1
    assert len(page.all(".choices .bar.picked")) == 2
    shares = [int(bar.text.split("%")[0]) for bar in page.all(".choices .bar:not(.after)")]
    assert 98 <= sum(shares) <= 102


def test_links_lead_to_a_document_and_back(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison, HOSTILE_ITEM).opened()
    assert page.text(".detail h3") == "count 0000000000000001"
    click_row(page, 0)
    page.wait(lambda: page.text(".detail h3") != "count 0000000000000001")
    link = page.script("return location.hash")
    assert link.startswith("#item=")
    again = Page(browser, comparison, link).opened()
    assert link.endswith(again.text(".detail h3 small"))
    # of a document that did not change, which the list does not show at first
    same = Page(browser, comparison, "#item=count/000000000000000a").opened()
    same.wait(lambda: same.text(".detail h3") == "count 000000000000000a")
    lost = Page(browser, comparison, "#item=count/nothing").opened()
    assert "not in this page" in lost.text(".status")
    lost.check_quiet()


def test_keyboard(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    page.key("/")
    assert page.script("return document.activeElement.name") == "text"
    page.key("quiz")
    page.wait(lambda: page.all(".list .row") and "quiz" in rows(page)[0])
    page.wait(lambda: "reading" not in page.text(".status"))
    page.key(Keys.ARROW_DOWN)
    assert page.script("return document.activeElement.className") == "list"
    first = page.text(".detail h3")
    page.key(Keys.ARROW_DOWN)
    page.wait(lambda: page.text(".detail h3") != first)
    second = page.text(".detail h3")
    chosen = page.find(".row[aria-selected=true]")
    assert page.find(".list").get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.key(Keys.END)
    page.wait(lambda: page.text(".detail h3") != second)
    page.key(Keys.HOME)
    page.wait(lambda: page.text(".detail h3") == first)
    page.key(Keys.ENTER)
    page.key(Keys.ARROW_RIGHT)
    page.wait(lambda: page.text(".detail h3") == second)
    unnamed = page.script(
        "return [...document.querySelectorAll('button, input, select, a')]"
        ".filter(e => !e.textContent.trim() && !e.labels?.length && !e.ariaLabel).length"
    )
    assert unnamed == 0
    page.check_quiet()


def test_table_sorts_within_groups_and_unfolds(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()

    def shown() -> list[str]:
        return [str(row.get_attribute("data-name")) for row in page.all("#table .tree tbody tr") if row.is_displayed()]

    assert shown() == ["mean over tasks", "exam", "quiz", "count"]  # nine subjects are folded
    page.find("#table tr[data-name=exam] button.fold").click()
    assert shown()[1:4] == ["exam", "exam_a", "exam_b"]
    button = page.find("#table .tree th[data-sort=difference] button")
    button.click()
    assert page.find("#table .tree th[data-sort=difference]").get_attribute("aria-sort") == "descending"
    names = shown()
    assert names[0] == "quiz"
    assert sorted(names[names.index("exam") + 1 : names.index("exam") + 10]) == [f"exam_{one}" for one in "abcdefghi"]
    gains = [float(row.get_attribute("data-difference")) for row in page.all("#table tr[data-parent=exam]")]
    assert gains == sorted(gains, reverse=True)
    button.click()
    assert shown()[-1] == "quiz"
    page.check_quiet()


def test_charts_tell_their_numbers_to_pointer_and_keyboard(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    reading = page.find("#picture .reading")
    page.script("document.querySelector('#picture .drawing.wide').focus()")
    page.key(Keys.ARROW_DOWN)
    assert reading.text.startswith("mean over tasks: +")
    page.key(Keys.ARROW_DOWN)
    assert "interval" in reading.text
    ActionChains(browser).move_to_element(page.all("#where .drawing.wide .mark")[0]).perform()
    assert "points" in page.text("#where .reading")
    assert len(page.all("#picture .drawing.wide .mark > title")) == 4


@pytest.mark.parametrize("link", [HOSTILE_ITEM, LONG_ITEM])
def test_what_models_write_is_shown_not_run(browser: Any, comparison: Path, link: str) -> None:
    page = Page(browser, comparison, link).opened()
    page.wait(lambda: page.all(".detail .passage"))
    if link == HOSTILE_ITEM:
        assert "</script><script>window.hacked = true</script>" in page.text(".detail")
        assert r"\u202edesrever" in page.text(".detail")
    else:
        page.find(".detail .more").click()
        assert "1,036,579 characters are left out here" in page.text(".detail")
        assert "tuned.samples.parquet" in page.text(".detail")
    assert page.all(".detail script, .detail img, .detail style") == []
    assert page.script("return document.documentElement.scrollWidth <= innerWidth")
    # and markup that got in all the same would not become elements
    assert page.script(
        "try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return false } catch { return true }"
    )
    browser.get_log("browser")  # of that attempt
    page.check_quiet()


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(browser: Any, comparison: Path, dark: bool) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    page = Page(browser, comparison).opened()
    worst = page.script(CONTRAST)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert worst[0] >= 4.5, worst


CONTRAST = """
const luminance = (colour) => {
  const linear = (one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  const parts = colour.slice(0, 3).map((one) => linear(one / 255));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
let worst = [99, ""];
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!words || !element.getClientRects().length || element.closest("svg, script, style, option, .bar")) continue;
  const pair = [numbers(getComputedStyle(element).color), ground(element)].map(luminance).sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < worst[0]) worst = [contrast, element.outerHTML.slice(0, 200)];
}
return worst;
"""


def test_phone(browser: Any, comparison: Path) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        page = Page(browser, comparison, LONG_ITEM).opened()
        assert page.script("return document.documentElement.scrollWidth") == 390
        assert page.find("#picture .drawing.narrow").is_displayed()
        assert not page.find("#picture .drawing.wide").is_displayed()
        assert page.find("#picture .drawing.narrow").size["width"] >= 300
        page.check_quiet()
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_but_the_list_is_there_without_scripts(browser: Any, comparison: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = Page(browser, comparison)
        assert "smol-tuned is better than smol-base on 1 of 3 tasks" in page.text("h1")
        assert len([row for row in page.all("#table .tree tbody tr") if row.is_displayed()]) == 13
        assert page.find("#picture .drawing.wide").is_displayed()
        assert len([card for card in page.all(".first .card") if card.is_displayed()]) == 10
        assert "needs JavaScript" in page.text("#items")
        assert not page.find(".explorer").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_print_drops_controls_and_keeps_the_rest(browser: Any, comparison: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        page = Page(browser, comparison)
        page.wait(lambda: page.script("return document.documentElement.className") == "scripted")
        assert not page.find(".explorer").is_displayed()
        assert not page.find(".top").is_displayed()
        assert not any(button.is_displayed() for button in page.all("button.copy, button.fold"))
        assert page.find("#table thead th[data-sort=n]").text.strip()
        assert page.find(".first .card").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert browser.execute_cdp_cmd("Page.printToPDF", {})["data"]


def test_run(browser: Any, one_run: Path) -> None:
    page = Page(browser, one_run).opened()
    page.wait_for_status("330 of 330")
    assert "unparsed" in rows(page)[0]
    page.select("outcome", "wrong")
    page.wait(lambda: "330 of" not in page.text(".status"))
    assert all("wrong" in row for row in rows(page))
    page.select("task", "quiz")
    page.select("sort", "closest call")
    page.wait(lambda: "quiz" in rows(page)[0])
    click_row(page, 0)
    page.wait(lambda: len(page.all(".choices .bar")) == 4)
    page.check_quiet()


def test_ranking(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, write_ranking(example_ranking(), tmp_path / "page.html"))
    page.find("th[data-sort=score] button").click()
    page.find("th[data-sort=score] button").click()
    assert page.text("#table tbody tr th") == "tiny"
    page.check_quiet()


@pytest.mark.slow
def test_thirty_thousand_documents_stay_quick(browser: Any, tmp_path: Path) -> None:
    """On an idle machine first paint takes 0.2 s and a filter 0.02 s; the bounds leave room for a busy one."""
    texts = [(f"The number of the document is {number}, says the model.", str(number)) for number in range(30_000)]
    path = write(tmp_path / "large.json", "large", {"count": written_task("count", texts)})
    page = Page(browser, write_run(Run.load(path), tmp_path / "page.html", samples_path(path)))
    page.opened()
    page.wait_for_status("30,000 of 30,000")
    painted = "return performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)"
    wait_until(lambda: bool(page.script(painted)))  # the entry comes a little after the paint
    assert page.script(painted)[0] < 5_000
    assert len(page.all(".list .row")) < 60
    start = time.perf_counter()
    page.select("show", "not right")
    page.wait_for_status("0 of 30,000")
    page.select("show", "all")
    page.wait_for_status("30,000 of 30,000")
    assert time.perf_counter() - start < 5
    page.find(".filters input").send_keys("document is 29876, says")
    page.wait_for_status("1 of 30,000")
    page.check_quiet()


def test_the_verdict_fits_on_a_desk_and_a_phone(browser: Any, comparison: Path) -> None:
    for width in (1200, 1000, 390):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        try:
            page = Page(browser, comparison).opened()
            right = page.script(
                "const box = document.querySelector('#table .scroll').getBoundingClientRect();"
                "return Math.max(...[...document.querySelectorAll('#table .tree .verdict')]"
                ".map((cell) => cell.getBoundingClientRect().right)) - box.right"
            )
            assert right <= 0
            if width >= 1000:
                assert page.script(WIDER.format("#table .scroll")) <= 0
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_phone_shows_what_was_picked(browser: Any, comparison: Path) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        page = Page(browser, comparison).opened()
        page.select("task", "quiz")
        page.wait(lambda: "quiz" in rows(page)[0])
        click_row(page, 0)
        page.wait(lambda: page.text(".detail h3").startswith("quiz"))
        assert [one.text for one in page.all(".bar .tag")] == ["picked", "picked"]
        assert page.script(
            "return [...document.querySelectorAll('.bar b')].every((one) => one.getBoundingClientRect().right"
            " <= one.parentElement.getBoundingClientRect().right)"
        )
        assert page.script("return getComputedStyle(document.querySelector('.bar .tag')).clipPath") == "none"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_search_says_what_else_narrows_it(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    field = page.find(".filters [name=text]")
    assert page.script(
        "const one = document.querySelector('.filters [name=text]'); return one.scrollWidth <= one.clientWidth"
    )
    field.send_keys("question")
    page.wait(lambda: "searched only: what changed" in page.text(".explorer .status"))
    page.select("show", "all")
    page.wait(lambda: "searched only" not in page.text(".explorer .status"))


def test_paper_unfolds_words(browser: Any, comparison: Path) -> None:
    page = Page(browser, comparison).opened()
    page.script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.script("return [...document.querySelectorAll('details.paper')].every((one) => one.open)")
    page.script("window.dispatchEvent(new Event('afterprint'))")
    assert not page.script("return [...document.querySelectorAll('details.paper')].some((one) => one.open)")
