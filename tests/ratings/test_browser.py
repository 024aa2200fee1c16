"""The page in a real browser: headless Chromium, driven by Selenium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evalkit.ratings.file import RatingLog, read_ratings
from evalkit.ratings.items import load_items
from evalkit.ratings.server import RatingServer
from evalkit.ratings.session import Session
from tests.ratings.examples import question_task, write_run

selenium = pytest.importorskip(
    "selenium", reason="the page is tested where selenium is installed: pip install selenium"
)
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if not (CHROMIUM and DRIVER):
    pytest.skip("the page is tested where chromium and chromium-driver are installed", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,800"),
)
HOSTILE = (
    "<script>window.hacked = true; document.title = 'hacked'</script><img src=x onerror='window.hacked = true'>\n"
    "\x1b[31mred \u202edesrever</textarea>{{ 7 * 7 }}"
)
QUESTIONS = {
    "Why is the sky blue?": "Air scatters blue light more than red.",
    "水在标准大气压下的沸点是多少？": "100 摄氏度",
    **{f"What is {number} times {number + 1}?": str(number * (number + 1)) for number in range(6)},
}
SECRETS = ("secret-alpha", "secret-omega", "tuned", "base.json", "weights", "sha256")


class Page:
    """What a rater sees and does."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.wait(lambda: self.text("place") != "Rating")

    def wait(self, condition: Callable[[], bool]) -> None:
        WebDriverWait(self.browser, 15, poll_frequency=0.02).until(lambda _: condition())

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return str(self.find(f"#{name}").text)

    def key(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def key_until(self, key: str, place: str) -> None:
        self.key(key)
        self.wait(lambda: self.text("place") == place)

    def click_until(self, selector: str, place: str) -> None:
        self.find(selector).click()
        self.wait(lambda: self.text("place") == place)

    def answers(self) -> list[str]:
        return [
            str(one.text) for one in self.browser.find_elements(By.CSS_SELECTOR, ".answer .text") if one.is_displayed()
        ]

    def focused(self) -> Any:
        return self.browser.switch_to.active_element

    def source(self) -> str:
        return str(self.browser.page_source)


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
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("results")
    task = question_task(questions=QUESTIONS)
    hostile = {"Why is the sky blue?": HOSTILE, "What is 3 times 4?": "12"}
    return [
        write_run(folder / "base.json", "secret-alpha", {"What is 3 times 4?": "12"}, [task]),
        write_run(folder / "tuned.json", "secret-omega-2", hostile, [task]),
    ]


@contextmanager
def session(results: list[Path], output: Path, mode: Any) -> Iterator[RatingServer]:
    found = load_items(*results)
    with RatingLog(output, found.base, found.tuned) as log:
        one = Session(found.items, "ann", mode, log.add, earlier=log.ratings.ratings)
        with RatingServer(one) as server:
            yield server


def responses(browser: Any) -> str:
    """The bodies of all answers that the browser got since it was last asked."""
    bodies = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.loadingFinished":
            try:
                body = browser.execute_cdp_cmd("Network.getResponseBody", {"requestId": message["params"]["requestId"]})
            except selenium.common.exceptions.WebDriverException:
                continue  # of a page that was left
            bodies.append(body["body"])
        elif message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith("http://127.0.0.1:"), f"the page asked for {url}"
    return "\n".join(bodies)


def check_blind(page: Page) -> None:
    seen = responses(page.browser)
    assert '"answers"' in seen
    for word in SECRETS:
        assert word not in seen
        assert word not in page.source()


def check_quiet(page: Page) -> None:
    """No script of a model ran, and the browser had nothing to complain of."""
    assert page.browser.execute_script("return window.hacked === undefined")
    assert page.browser.title == "Rating · evalkit"
    assert page.browser.get_log("browser") == []


def test_choices(browser: Any, results: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "choices.jsonl"
    responses(browser)
    with session(results, output, "choice") as server:
        page = Page(browser, server.address)
        assert page.text("place") == "1 of 7"  # one of the eight pairs is identical
        tuned_left = []
        for place, key in enumerate("abtx"):
            tuned_left.append(page.answers()[0].startswith("14:"))
            page.key_until(key, f"{place + 2} of 7")
        page.click_until("[data-choice=right]", "6 of 7")
        page.key_until("u", "5 of 7")
        assert "4 rated" in page.text("counts")
        page.key_until(Keys.ARROW_LEFT, "4 of 7")
        assert page.find("[data-choice=both_bad]").get_attribute("aria-pressed") == "true"
        page.click_until("[data-choice=tie]", "5 of 7")
        page.key_until("s", "6 of 7")
        check_blind(page)
        browser.refresh()
        page.wait(lambda: page.text("place") == "6 of 7")
        assert page.text("counts") == "4 rated, 1 skipped"
        page.key_until("a", "7 of 7")
        page.key_until("t", "5 of 7")
        time.sleep(0.3)
        page.key_until("b", "All rated")
        assert "1 more document has two identical answers" in page.text("done")
        check_blind(page)
        check_quiet(page)
        page.find("#done-finish").click()
        page.wait(lambda: page.find("#ended").is_displayed())
        assert server.finished.is_set()
    found = read_ratings(output)
    asked = [rating for rating in found.ratings if not rating.identical]
    assert len(asked) == 7
    assert [rating.choice for rating in found.ratings if rating.identical] == ["tie"]
    by_time = sorted(asked, key=lambda rating: rating.time)
    first, second, third = by_time[:3]
    for rating, side, is_left in ((first, "left", tuned_left[0]), (second, "right", tuned_left[1])):
        assert rating.left == ("tuned" if is_left else "base")
        assert rating.choice == (
            rating.left if side == "left" else {"tuned": "base", "base": "tuned"}[str(rating.left)]
        )
    assert third.choice == "tie"
    assert found.replaced == 1
    assert all(0 <= rating.seconds < 60 for rating in asked)
    assert by_time[-1].seconds >= 0.3


def test_scores(browser: Any, results: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    responses(browser)
    with session(results, output, "score") as server:
        page = Page(browser, server.address)
        assert page.text("place") == "1 of 8"
        shown = len(page.answers())
        assert not page.find("#save").is_enabled()
        page.key(*("543211"[: 3 * shown]))
        page.wait(lambda: page.find("#save").is_enabled())
        page.key_until(Keys.ENTER, "2 of 8")
        first_side = page.answers()[0]
        rows = [row for row in browser.find_elements(By.CSS_SELECTOR, "fieldset") if row.is_displayed()]
        for row in rows:
            row.find_element(By.CSS_SELECTOR, "label:nth-child(2)").click()
        page.click_until("#save", "3 of 8")
        page.key_until(Keys.ARROW_LEFT, "2 of 8")
        chosen = [one.get_attribute("value") for one in browser.find_elements(By.CSS_SELECTOR, "input:checked")]
        assert chosen == ["2"] * len(rows)
        page.key("5")  # changes the first criterion only
        page.key_until(Keys.ENTER, "3 of 8")
        browser.refresh()
        page.wait(lambda: page.text("place") == "3 of 8")
        page.key_until("u", "2 of 8")
        page.key_until("s", "3 of 8")
        check_blind(page)
        check_quiet(page)
        page.find("#finish").click()
        page.wait(lambda: "7 of 8 documents are not rated" in page.text("leave-text"))
        page.find("#leave-yes").click()
        page.wait(lambda: page.find("#ended").is_displayed())
    (rating,) = read_ratings(output).ratings
    assert rating.mode == "score"
    values = [list(scores.values()) for scores in (rating.scores or {}).values()]
    assert sorted(values) == ([[2, 1, 1], [5, 4, 3]] if shown == 2 else [[5, 4, 3]] * 2)
    assert first_side
    with session(results, output, "score") as server:
        assert Page(browser, server.address).text("place") == "2 of 8"


def test_what_models_write_is_shown_not_run(browser: Any, results: list[Path], tmp_path: Path) -> None:
    found = load_items(*results)
    with session(results, tmp_path / "hostile.jsonl", "choice") as server:
        server._session.position = next(
            place for place, item in enumerate(server._session.asked) if item.outputs["tuned"].text == HOSTILE
        )
        page = Page(browser, server.address)
        (text,) = [text for text in page.answers() if "hacked" in text]
        assert text.startswith("<script>window.hacked = true; document.title = 'hacked'</script><img src=x")
        assert "\\x1b[31mred \\u202edesrever</textarea>{{ 7 * 7 }}" in text
        assert browser.find_elements(By.CSS_SELECTOR, ".answer script, .answer img") == []
        check_quiet(page)
        # and a script that got in all the same would not run
        blocked = browser.execute_script(
            "try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return false } catch { return true }"
        )
        assert blocked
    assert found.items


def test_prompt_and_reference_on_request(browser: Any, results: list[Path], tmp_path: Path) -> None:
    responses(browser)
    with session(results, tmp_path / "reference.jsonl", "choice") as server:
        page = Page(browser, server.address)
        item = server._session.asked[0]
        assert page.text("question") == item.question
        page.key("p")
        page.wait(lambda: page.text("question") == item.prompt)
        page.key("p")
        page.wait(lambda: page.text("question") == item.question)
        assert f'"{item.reference}"' not in responses(browser)
        page.key("r")
        page.wait(lambda: page.find("#reference").is_displayed())
        assert page.text("reference-text") == item.reference
        page.key_until("t", "2 of 7")
        assert not page.find("#reference").is_displayed()
    (rating,) = [one for one in read_ratings(tmp_path / "reference.jsonl").ratings if not one.identical]
    assert rating.reference


def test_help_and_focus(browser: Any, results: list[Path], tmp_path: Path) -> None:
    with session(results, tmp_path / "help.jsonl", "choice") as server:
        page = Page(browser, server.address)
        assert page.focused().get_attribute("id") == "place"
        page.key("?")
        page.wait(lambda: page.find("#help").is_displayed())
        page.key("a")  # does not rate behind the dialog
        page.key(Keys.ESCAPE)
        page.wait(lambda: not page.find("#help").is_displayed())
        assert page.text("place") == "1 of 7"
        reached = set()
        for _ in range(25):
            page.key(Keys.TAB)
            reached.add(page.focused().get_attribute("id") or page.focused().get_attribute("data-choice"))
        assert {"left", "tie", "both_bad", "right", "finish", "prompt-toggle", "reference-toggle"} <= reached
        unnamed = browser.execute_script(
            "return [...document.querySelectorAll('button, input, progress')]"
            ".filter(e => !e.textContent.trim() && !e.labels?.length && !e.ariaLabel).length"
        )
        assert unnamed == 0


def test_the_program_ended(browser: Any, results: list[Path], tmp_path: Path) -> None:
    with session(results, tmp_path / "ended.jsonl", "choice") as server:
        page = Page(browser, server.address)
    page.key("a")
    page.wait(lambda: "not running any more" in page.text("problem"))
    assert page.text("place") == "1 of 7"
    browser.get_log("browser")  # the refused connection
