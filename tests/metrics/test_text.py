"""pass@k, the majority's answer and how a task names them, against the papers' definitions."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit
from evalkit import DataSource, Decoding, MockModel, OpenQuestion, Pattern, Task
from evalkit.errors import TaskDefinitionError
from evalkit.extraction import NUMBER
from evalkit.metrics import text_metric
from evalkit.metrics.matching import exact_match
from evalkit.metrics.text import Measure, TextMetric, Valued, majority, measures, pass_at_k

SAME = exact_match(ignore_case=True, ignore=(",", r"\$"))


@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_the_papers_stable_product(samples: int, data: st.DataObject) -> None:
    """Chen et al. 2021, figure 3: 1 - prod(1 - k / i for i from n - c + 1 to n), or 1 where fewer than k are wrong."""
    right, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    stable = 1 - math.prod(1 - k / i for i in range(samples - right + 1, samples + 1))
    expected = 1.0 if samples - right < k else stable
    assert pass_at_k(samples, right, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("samples", "right", "k"), [(5, 2, 1), (5, 2, 2), (6, 1, 3), (7, 3, 7), (4, 0, 2)])
def test_pass_at_k_is_the_share_of_all_choices_that_hold_a_right_one(samples: int, right: int, k: int) -> None:
    choices = list(itertools.combinations(range(samples), k))
    assert pass_at_k(samples, right, k) == pytest.approx(
        sum(any(one < right for one in choice) for choice in choices) / len(choices)
    )


def test_published_and_simple_values() -> None:
    assert pass_at_k(200, 10, 1) == pytest.approx(0.05)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    with pytest.raises(ValueError, match="pass@3 of 2"):
        pass_at_k(2, 1, 3)


@pytest.mark.parametrize(
    ("texts", "winner"),
    [
        (["3", "4", "4"], "4"),
        (["3", "4"], "3"),  # of equals the first
        ([None, None, "7"], "7"),  # nothing found is no vote
        ([None], None),
        ([], None),
        (["$1,200", "1200", "3", "3", "1200"], "$1,200"),  # one answer to the metric, told as first given
        (["Yes", "no", "YES"], "Yes"),
    ],
)
def test_the_majority(texts: list[str | None], winner: str | None) -> None:
    assert majority(texts, SAME.normalize) == winner


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_without_normalisation_it_is_lm_evals_majority(texts: list[str]) -> None:
    selection = pytest.importorskip("lm_eval.filters.selection")
    if texts:
        (theirs,) = selection.MajorityVoteFilter().apply([texts], [{}])
        assert [majority(texts)] == theirs


def find(name: str) -> TextMetric:
    return SAME if name == "exact_match" else text_metric(name)


def test_the_judge_is_the_first_metric_of_right_and_wrong() -> None:
    extractors = {"strict": Pattern(r"#### (\d+)"), "loose": NUMBER}
    vote, plain = measures(("maj@5", "exact_match@loose"), extractors, find)
    assert (vote.extractor, vote.over, vote.k, plain.over) == ("loose", "maj", 5, "mean")
    (only,) = measures(("pass@1",), extractors, find, (SAME,))
    assert (only.metric, only.extractor) == (SAME, "strict")
    for names, message in ((("pass@1",), "right or wrong"), (("exact_match@nowhere",), "names no extractor")):
        with pytest.raises(TaskDefinitionError, match=message):
            measures(names, extractors, find)
    with pytest.raises(TaskDefinitionError) as caught:
        measures(("exact_match@strict",), {}, find)
    assert caught.value.hint == "the task has no extractors: add `extract:`"


def test_each_text_is_judged_once() -> None:
    judged: list[str | None] = []

    def value(_: OpenQuestion, text: str | None) -> float:
        judged.append(text)
        return float(text == "7")

    metric = TextMetric("m", True, True, (0.0, 1.0), value)
    document = OpenQuestion("q", "7")
    valued = Valued(document)
    texts = ["7", "8", "7", None, "8"]
    assert Measure("m", metric, None).value(document, texts, valued) == pytest.approx(0.4)
    assert Measure("pass@2", metric, None, "pass", 2).value(document, texts, valued) == pytest.approx(0.7)
    assert Measure("maj@3", metric, None, "maj", 3).value(document, texts, valued) == 1.0
    assert judged == ["7", "8", None]
    assert valued(exact_match(), "8") == valued(exact_match(normalize=lambda _: ""), "8") - 1 == 0.0  # namesakes differ


ROWS = [{"question": "6 x 2?", "answer": "12"}, {"question": "7 x 2?", "answer": "14"}]


def sums(**changes: object) -> Task:
    defaults: dict[str, object] = {
        "name": "sums",
        "data": DataSource(id="sums", rows=ROWS),
        "document": lambda row: OpenQuestion(row["question"], row["answer"]),
        "metrics": ("exact_match@number",),
        "own_metrics": {"exact_match": exact_match(ignore=(",", r"\$", r"\.0*$"))},
        "extractors": {"number": NUMBER},
        "decoding": Decoding(stop=("\n",)),
    }
    return Task(**(defaults | changes))  # type: ignore[arg-type]


SAID = {"6 x 2?": ["$12", "12.0", "13", "13", "12"], "7 x 2?": ["13", "13", "14", "none", ""]}


def test_self_consistency_votes_by_what_the_metric_takes_for_equal() -> None:
    run = evalkit.run(model=MockModel(texts=SAID), tasks=[sums()], samples=5, temperature=0.7)
    result = run.tasks["sums"]
    assert {name: value.value for name, value in result.metrics.items()} == {
        "exact_match@number": pytest.approx((3 / 5 + 1 / 5) / 2),
        "maj@5": 0.5,
        "pass@5": 1.0,
    }
    assert result.samples[0].fields["answers"] == ["$12", "12.0", "13", "13", "12"]


def test_a_task_may_name_its_own_k() -> None:
    task = sums(metrics=("maj@3", "exact_match@number", "pass@2"))
    result = evalkit.run(model=MockModel(texts=SAID), tasks=[task], samples=5, temperature=0.7).tasks["sums"]
    assert list(result.metrics) == ["maj@3", "exact_match@number", "pass@2"]
    assert result.metrics["maj@3"].value == 0.5
    assert result.metrics["pass@2"].value == pytest.approx((pass_at_k(5, 3, 2) + pass_at_k(5, 1, 2)) / 2)
    with pytest.raises(TaskDefinitionError, match="maj@3 of task sums needs 3 samples"):
        evalkit.run(model=MockModel(texts=SAID), tasks=[task])
