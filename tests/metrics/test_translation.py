"""sacrebleu is the oracle: its sentence and corpus scores, its signature, and its command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from evalkit.data import DataOptions
from evalkit.documents import OpenQuestion
from evalkit.errors import TaskDefinitionError
from evalkit.metrics import TextMetric, text_metric
from evalkit.metrics.text import Measure
from evalkit.metrics.translation import for_language
from evalkit.results import MetricValue, Sample

TEXTS = [
    " Das Haus ist klein, aber schön.",
    "Ich gehe morgen in die Stadt!",
    "",
    "Er sagte: „Nein“",
    "Drei Katzen saßen auf der Matte und schliefen den ganzen Tag",
    "ja",
]
REFERENCES = [
    ("Das Haus ist klein, aber schön.", "Klein ist das Haus, doch schön."),
    ("Morgen gehe ich in die Stadt!", "Ich gehe morgen in die Stadt."),
    ("Nichts davon stimmt.", "Davon stimmt nichts."),
    ("Er sagte: „Nein, danke.“", "„Nein“, sagte er."),
    ("Drei Katzen saßen den ganzen Tag auf der Matte.", "Auf der Matte schliefen drei Katzen."),
    ("ja", "doch"),
]
CHINESE = (
    ["我明天去北京。", "他们很高兴", "这是一个测试"],
    [("我明天要去北京。",), ("他们都很高兴。",), ("这是测试。",)],
)
SCORERS: dict[str, Any] = {
    "bleu": BLEU,
    "bleu?tokenize=intl&lowercase=true": lambda **more: BLEU(tokenize="intl", lowercase=True, **more),
    "chrf": CHRF,
    "chrf++": lambda: CHRF(word_order=2),
    "ter": TER,
}


def documents(references: Sequence[tuple[str, ...]]) -> list[OpenQuestion]:
    return [OpenQuestion("q", those[0], those) for those in references]


def estimate(
    metric: TextMetric, asked: Sequence[OpenQuestion], texts: Sequence[str | None], *, intervals: bool = True
) -> MetricValue:
    measure = Measure(metric.name, metric, None)
    samples = []
    for index, (document, text) in enumerate(zip(asked, texts, strict=True)):
        value = measure.value(document, [text])
        values = {} if value is None else {metric.name: value}
        samples.append(Sample(str(index), index, None, "scored", values, measure.fields(document, [text])))
    return measure.estimate(samples, intervals=intervals)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", SCORERS)
def test_corpus_sentence_and_signature_are_sacrebleus(name: str, count: int) -> None:
    metric, oracle = text_metric(name), SCORERS[name]()
    references = [those[:count] for those in REFERENCES]
    asked = documents(references)
    expected = oracle.corpus_score(TEXTS, [list(stream) for stream in zip(*references, strict=True)])
    found = estimate(metric, asked, TEXTS)
    assert found.value == expected.score
    assert metric.signed(asked) == str(oracle.get_signature())
    assert found.ci95 is not None
    assert found.ci95[0] < found.value < found.ci95[1]
    single = SCORERS[name](effective_order=True) if name.startswith("bleu") else oracle
    for document, text in zip(asked, TEXTS, strict=True):
        assert metric.value(document, text) == single.sentence_score(text, document.references).score


def test_numbers_of_references_that_differ_are_told_as_sacrebleu_tells_them() -> None:
    asked = documents([REFERENCES[0], REFERENCES[1][:1]])
    oracle = BLEU()
    expected = oracle.corpus_score(
        TEXTS[:2], [["Das Haus ist klein, aber schön.", REFERENCES[1][0]], [REFERENCES[0][1], None]]
    )
    assert estimate(text_metric("bleu"), asked, TEXTS[:2]).value == expected.score
    assert text_metric("bleu").signed(asked) == str(oracle.get_signature())
    assert "nrefs:var" in text_metric("bleu").signed(asked)


@pytest.mark.parametrize("language", ["de", "zh"])
def test_the_score_is_the_commands(tmp_path: Path, language: str) -> None:
    texts, references = (TEXTS, REFERENCES) if language == "de" else CHINESE
    (tmp_path / "out").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    streams = list(zip(*references, strict=True))
    for number, stream in enumerate(streams):
        (tmp_path / f"ref{number}").write_text("".join(f"{line}\n" for line in stream), encoding="utf-8")
    options = ["-tok", "zh", "--ter-asian-support", "--ter-normalized"] if language == "zh" else []
    command = [sys.executable, "-m", "sacrebleu", *(f"ref{number}" for number in range(len(streams)))]
    command += ["-i", "out", "-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", "-w", "14", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    asked = documents(references)
    for printed in json.loads(done.stdout):
        metric = for_language(language)[printed["name"].lower().replace("chrf2++", "chrf++")]
        assert round(estimate(metric, asked, texts).value, 14) == printed["score"]
        assert printed["signature"] == metric.signed(asked)


@pytest.mark.parametrize(
    ("language", "tokens"), [("de", "13a"), ("zh", "zh"), ("ja", "ja-mecab"), ("ko", "ko-mecab"), ("fr", "13a")]
)
def test_the_target_language_chooses_the_tokens(monkeypatch: pytest.MonkeyPatch, language: str, tokens: str) -> None:
    def tokenize() -> str:
        found = for_language(language)["bleu"].signature
        assert callable(found)
        return found(documents(REFERENCES)).split("tok:")[1].split("|")[0]

    monkeypatch.setattr("evalkit.metrics.translation.find_spec", lambda name: None)
    assert tokenize() == ("char" if language in ("ja", "ko") else tokens)
    if language in ("ja", "ko"):
        monkeypatch.setattr("evalkit.metrics.translation.find_spec", lambda name: object())
        prepare = for_language(language)["bleu"].prepare
        assert prepare is not None
        pytest.importorskip("MeCab" if language == "ja" else "mecab_ko")
        prepare(DataOptions())


def test_translations_of_nothing_still_count() -> None:
    asked = documents([those[:1] for those in REFERENCES[:2]])
    expected = BLEU().corpus_score(["", TEXTS[1]], [[REFERENCES[0][0], REFERENCES[1][0]]]).score
    assert estimate(text_metric("bleu"), asked, [None, TEXTS[1]]).value == expected


@pytest.mark.parametrize(
    ("tokenize", "message"),
    [("nosuch", "there is no tokenizer 'nosuch'"), ("flores200", "would download its tokenizer's model")],
)
def test_a_tokenizer_that_is_not_there_is_told_before_the_run(tokenize: str, message: str) -> None:
    prepare = text_metric(f"bleu?tokenize={tokenize}").prepare
    assert prepare is not None
    with pytest.raises(TaskDefinitionError, match=message) as caught:
        prepare(DataOptions(offline=True))
    assert caught.value.hint


def test_without_intervals_nothing_is_drawn() -> None:
    quick = estimate(text_metric("chrf++"), documents(REFERENCES), TEXTS, intervals=False)
    assert (quick.stderr, quick.ci95) == (None, None)
    assert quick.value == estimate(text_metric("chrf++"), documents(REFERENCES), TEXTS).value
