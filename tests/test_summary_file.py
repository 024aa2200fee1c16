from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

import evalkit
from evalkit.backends.mock import MockModel
from evalkit.errors import DataError, UsageError
from evalkit.registry import select

ROWS = [
    {"document": "A long text about cats.", "summary": "Cats sleep.\nThey purr."},
    {"document": "A long text about dogs.", "summary": ["Dogs run.", "Dogs bark."]},
]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_of_texts_and_summaries(tmp_path: Path) -> None:
    prompts: list[str] = []

    def answer(request: Any) -> str:
        prompts.append(request.prompt)
        return " Cats purr.\nThey run.\n\nText: more"

    run = evalkit.run(model=MockModel(texts=answer), tasks=f"summary:{write(tmp_path, ROWS)}")
    result = run.tasks["summary:texts.jsonl"]
    assert prompts[0] == "Text: A long text about cats.\n\nSummary:"
    scorer = RougeScorer(["rouge1", "rougeLsum"])
    said = " Cats purr.\nThey run."
    for name in ("rouge1", "rougeLsum"):
        first = scorer.score(str(ROWS[0]["summary"]), said)[name].fmeasure
        second = max(scorer.score(one, said)[name].fmeasure for one in ("Dogs run.", "Dogs bark."))
        assert result.metrics[name].value == pytest.approx((first + second) / 2)
    assert result.outcomes == {"scored": 2}
    (task,) = select(f"summary:{write(tmp_path, ROWS)}:1shot").tasks.values()
    assert (task.shots, task.shots_exclude_self) == (1, True)


def test_the_language_follows_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, [{"text": "很长的文章", "summary": "我去北京"}])
    run = evalkit.run(model=MockModel(texts=lambda _: "我去"), tasks=f"summary:{path}:zh")
    (result,) = run.tasks.values()
    assert result.metrics["rouge1"].value == pytest.approx(2 * 2 / 6)
    with pytest.raises(DataError, match="sees no word"):
        evalkit.run(model=MockModel(texts=lambda _: "我去"), tasks=f"summary:{path}")


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        select(f"summary:{tmp_path}/nothing.jsonl")
    with pytest.raises(UsageError, match="no language"):
        select(f"summary:{write(tmp_path, ROWS)}:english")
    with pytest.raises(DataError, match="none of the columns summary"):
        evalkit.run(model=MockModel(), tasks=f"summary:{write(tmp_path, [{'text': 'a', 'title': 'b'}])}")


def test_no_file_is_named() -> None:
    with pytest.raises(UsageError, match="summary: names no file") as caught:
        select("summary:")
    assert "summary:FILE" in (caught.value.hint or "")
