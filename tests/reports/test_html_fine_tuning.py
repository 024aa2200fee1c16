"""The page of a fine-tuning."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evalkit.fine_tuning import FineTuning
from tests.reports.fine_tuning_examples import compared, everything, reward, training


class Reader(HTMLParser):
    """Texts, tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.anchors += [value[1:] for name, value in attrs if name == "href" and value and value.startswith("#")]


def page(found: FineTuning, folder: Path) -> str:
    return found.to_html(folder / "report.html").read_text(encoding="utf-8")


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    return page(everything(folder), folder)


def test_everything_is_on_the_page(whole: str) -> None:
    for heading in (
        *("What was gained, what was forgotten", "The numbers", "Is it so?", "How it learned", "Do it again"),
        *("On clean items", "Stage by stage", "Retrieval instead?", "Another seed", "Drift", "Fixed and broken"),
    ):
        assert heading in whole, heading
    assert "training loss" in whole
    assert "held-out loss" in whole
    assert "Scores during training" in whole
    assert '"torch": "2.13.0"' in whole.replace("&#34;", '"')
    assert "(target)" in whole
    assert "mean over tasks" not in whole


def test_every_link_in_the_page_leads_somewhere(whole: str) -> None:
    reader = read(whole)
    assert set(reader.anchors) <= set(reader.ids)


def test_hostile_texts_are_texts(whole: str) -> None:
    reader = read(whole)
    assert "img" not in reader.tags
    assert not [name for name in reader.attributes if name.startswith("on")]
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert "window.hacked = true</script>" not in whole


def test_nothing_is_fetched(whole: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]+"', whole)


def test_verdicts_are_in_the_words_of_fine_tuning(whole: str) -> None:
    badges = set(re.findall(r'<span class="badge \w+"><span[^>]*></span>([^<]+)</span>', whole))
    assert badges <= {"gained", "forgotten", "kept", "undecided", "not comparable"}
    assert "gained" in badges


def test_the_picture_has_the_words_of_the_table(whole: str) -> None:
    picture = whole[whole.index('<section id="picture">') : whole.index('<section id="table">')]
    assert "gained" in picture
    for word in ("improved", "regressed", "within margin", "no loss", "mean over tasks"):
        assert word not in picture, word


def test_targets_come_first(tmp_path: Path) -> None:
    found = everything(tmp_path, hostile="")
    assert found.comparison is not None
    text = page(replace(found, targets=("count",)), tmp_path)
    table = text[text.index('<section id="table">') :]
    assert re.findall(r'<tr class="\w+ depth0" data-name="([^"]+)"', table)[0] == "count (target)"


def test_two_models_without_training_have_no_losses(tmp_path: Path) -> None:
    text = page(compared(tmp_path), tmp_path)
    assert "How it learned" not in text
    assert "Is it so?" not in text
    assert "mean over tasks" in text
    assert set(read(text).anchors) <= set(read(text).ids)


def test_a_reward_model_has_no_comparison(tmp_path: Path) -> None:
    text = page(reward(), tmp_path)
    assert "Puts the chosen answer first in 83 of 100" in text
    assert "The numbers" not in text
    assert "nats a pair" in text
    assert set(read(text).anchors) <= set(read(text).ids)


def test_a_training_without_held_out_rows_marks_no_weights(tmp_path: Path) -> None:
    text = page(replace(reward(), trainings=(training(held_out=(), small=()),)), tmp_path)
    assert "training loss" in text
    assert "weights that were kept" not in text
    assert "Scores during training" not in text
