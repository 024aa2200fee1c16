from __future__ import annotations

import pytest
from rouge_score.rouge_scorer import RougeScorer

from evalkit.documents import OpenQuestion
from evalkit.errors import DataError
from evalkit.metrics import text_metric
from evalkit.metrics.overlap import TYPES, for_language

TEXT = "The cats sat on the mat.\nIt was late in the day, and they slept."
REFERENCES = ("A cat sat on a mat in the evening.\nIt slept.", "The cats slept late.\nThe mat was warm.")


def value(name: str, text: str | None, *references: str) -> float | None:
    return text_metric(name).value(OpenQuestion("q", references[0], references), text)


@pytest.mark.parametrize("name", TYPES)
def test_the_value_is_rouge_scores_f_measure_with_the_best_reference(name: str) -> None:
    scorer = RougeScorer([name])
    singles = [scorer.score(reference, TEXT)[name].fmeasure for reference in REFERENCES]
    assert 0 < min(singles) < max(singles) < 1
    assert value(name, TEXT, *REFERENCES) == max(singles)
    assert value(name, TEXT, REFERENCES[0]) == singles[0]
    assert value(name, None, *REFERENCES) == 0.0


def test_lines_matter_to_rouge_l_of_the_summary_only() -> None:
    assert value("rougeLsum", TEXT, *REFERENCES) != value("rougeL", TEXT, *REFERENCES)
    flat = [one.replace("\n", " ") for one in (TEXT, *REFERENCES)]
    assert value("rougeLsum", *flat) == value("rougeL", *flat)


def test_texts_in_other_scripts_are_not_scored_0_in_silence() -> None:
    with pytest.raises(DataError, match="sees no word in the reference") as caught:
        value("rouge1", "我明天去北京", "我明天要去北京。")
    assert "tokens=characters" in (caught.value.hint or "")
    # characters 我 明 天 去 北 京 of 我 明 天 要 去 北 京
    assert value("rouge1?tokens=characters", "我明天去北京", "我明天要去北京。") == pytest.approx(2 * 6 / 13)
    assert value("rouge1?tokens=words", "Мы идём домой", "мы пойдём домой!") == pytest.approx(2 / 3)
    assert value("rouge2?tokens=characters", "GPT 模型", "GPT模型") == 1.0


def test_the_language_chooses_the_tokens() -> None:
    for code, tokens in (("en", "english"), ("de", "words"), ("zh", "characters"), ("th", "characters")):
        assert f"tokens:{tokens}" in for_language(code)["rouge1"].signed([])
