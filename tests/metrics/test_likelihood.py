from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

from evalkit.documents import Cloze, ContextChoice, Document, MultipleChoice, Text
from evalkit.errors import DataError, EvaluationError, NonFiniteError, TaskDefinitionError
from evalkit.metrics import METRICS, estimate, metric, observe, outcome
from evalkit.requests import Response
from evalkit.results import Sample
from evalkit.stats.intervals import wilson
from tests.result_examples import sample


def answers(*log_probabilities: float, greedy: bool = False, tokens: int = 2) -> list[Response]:
    return [Response(score, greedy, (score / tokens,) * tokens, 5) for score in log_probabilities]


def value(name: str, document: Document, responses: Sequence[Response]) -> float:
    return metric(name).value(document, responses)


@pytest.fixture(scope="module")
def lm_eval_task() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = pytest.importorskip("lm_eval.api.task")
    return task.ConfigurableTask


def by_lm_eval(task: Any, document: MultipleChoice | ContextChoice, responses: Sequence[Response]) -> dict[str, float]:
    """lm-eval's own `process_results`, with a stand-in for the task that it is a method of."""
    names = ("acc", "acc_norm", "acc_bytes")
    stub = SimpleNamespace(
        OUTPUT_TYPE="multiple_choice",
        _metric_fn_list=dict.fromkeys(names),
        config=SimpleNamespace(process_results=None),
        multiple_input=isinstance(document, ContextChoice),
        multiple_target=not isinstance(document.gold, int),
        doc_to_choice=lambda _: list(document.choices),
        doc_to_target=lambda _: document.gold,
        doc_to_text=lambda _: document.gold,
    )
    stub.process_results = None
    results = [(response.log_probability, response.greedy) for response in responses]
    found: dict[str, float] = task.process_results(stub, {}, results)
    return found


def test_choices_equal_lm_eval(lm_eval_task: Any) -> None:
    rng = np.random.default_rng(0)
    words = ["a", "straße", "北京的天气", "a much longer answer", "é", "yes", "no no"]
    for _ in range(300):
        choices = rng.choice(words, size=int(rng.integers(2, 6))).tolist()
        # whole numbers give ties, which must go to the first
        responses = answers(*(-rng.integers(1, 6, len(choices))).tolist())
        gold = int(rng.integers(len(choices)))
        documents: list[MultipleChoice | ContextChoice] = [
            MultipleChoice("q", choices, gold),
            MultipleChoice("q", choices, [gold, 0]),
            ContextChoice(choices, "the end", gold),
        ]
        for document in documents:
            expected = by_lm_eval(lm_eval_task, document, responses)
            assert {name: value(name, document, responses) for name in expected} == expected
            assert set(expected) == {"acc", "acc_norm", "acc_bytes"}


def test_acc_norm_divides_by_characters_and_acc_bytes_by_bytes() -> None:
    document = MultipleChoice("q", ["ab", "北京天气"], 1)
    responses = answers(-2.5, -4.5)  # a character: -1.25 and -1.125; a byte: -1.25 and -0.375
    assert [value(name, document, responses) for name in ("acc", "acc_norm", "acc_bytes")] == [0, 1, 1]
    assert value("acc_norm", document, answers(-2, -4.5)) == 0
    assert value("acc_bytes", document, answers(-2, -4.5)) == 1


def test_an_empty_choice_loses_length_normalisation() -> None:
    assert value("acc_norm", MultipleChoice("q", ["", "b"], 0), answers(-0.1, -9)) == 0


def test_mc2_is_the_mass_of_the_right_choices() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        scores = rng.normal(-20, 5, 6)
        golds = sorted(rng.choice(6, size=3, replace=False).tolist())
        expected = scipy.special.softmax(scores)[golds].sum()
        document = MultipleChoice("q", list("abcdef"), golds)
        assert value("mc2", document, answers(*scores.tolist())) == pytest.approx(expected, rel=1e-12)


def test_mc2_of_long_answers_does_not_vanish() -> None:
    """exp(-2000) is 0 in floating point; 0 / 0 would be NaN."""
    got = value("mc2", MultipleChoice("q", ["a", "b"], [0]), answers(-2000, -2001))
    assert got == pytest.approx(1 / (1 + math.exp(-1)))


def test_cloze_accuracy_is_greedy() -> None:
    document = Cloze("the cat sat on the", "mat")
    assert value("acc", document, answers(-3, greedy=True)) == 1
    assert value("acc", document, answers(-0.01, greedy=False)) == 0
    assert value("perplexity", document, answers(-3)) == pytest.approx(math.exp(3))


@pytest.mark.parametrize("name", ["word_perplexity", "byte_perplexity", "bits_per_byte", "perplexity"])
def test_rates_equal_lm_eval(name: str, lm_eval_task: Any) -> None:
    from lm_eval.api import metrics as theirs

    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 400, 30)
    likelihoods = (-3.3 * lengths + rng.normal(size=30)).tolist()
    texts = [Text("x " * int(length), words=int(length), bytes=int(4 * length)) for length in lengths]
    clozes = [Cloze("a", "b")] * 30
    is_cloze = name == "perplexity"
    if is_cloze:
        likelihoods = [score / 100 for score in likelihoods]
    documents: Sequence[Document] = clozes if is_cloze else texts
    samples = [
        Sample(str(i), i, None, "scored", {name: value(name, doc, answers(score))}, observe(doc, answers(score)))
        for i, (doc, score) in enumerate(zip(documents, likelihoods, strict=True))
    ]
    sizes = [text.words if name == "word_perplexity" else text.bytes for text in texts]
    items = likelihoods if is_cloze else list(zip(likelihoods, sizes, strict=True))
    aggregation = {"bits_per_byte": theirs.bits_per_byte, "perplexity": theirs.perplexity}
    expected = aggregation.get(name, theirs.weighted_perplexity)(items)
    got = estimate(metric(name), samples)
    assert got.value == pytest.approx(expected, rel=1e-9)
    assert got.stderr is not None
    assert got.ci95 is not None
    assert got.ci95[0] < got.value < got.ci95[1]
    assert (got.higher_is_better, got.chance) == (False, None)


def text_samples(rates: Sequence[float]) -> list[Sample]:
    return [
        Sample(str(i), i, None, "scored", dict.fromkeys(METRICS, 1.0), observe(Text("ab cd"), answers(5 * rate)))
        for i, rate in enumerate(rates)
    ]


def test_perplexity_interval_is_symmetric_on_the_log_scale() -> None:
    got = estimate(metric("byte_perplexity"), text_samples([-1.0, -2.0, -2.5]))
    assert got.ci95 is not None
    logs = [math.log(end) for end in got.ci95]
    expected = scipy.stats.t.interval(0.95, 2, 5.5 / 3, scipy.stats.sem([1, 2, 2.5]))
    assert logs == pytest.approx(expected, rel=1e-9)
    assert got.stderr == pytest.approx(got.value * scipy.stats.sem([1, 2, 2.5]), rel=1e-9)


def test_bits_and_perplexity_agree() -> None:
    samples = text_samples([-1.0, -2.0, -2.5])
    bits, perplexity = (estimate(metric(name), samples) for name in ("bits_per_byte", "byte_perplexity"))
    assert 2**bits.value == pytest.approx(perplexity.value)
    assert bits.ci95 is not None
    assert perplexity.ci95 is not None
    assert [2**end for end in bits.ci95] == pytest.approx(perplexity.ci95)
    assert bits.stderr == pytest.approx(scipy.stats.sem([1, 2, 2.5]) / math.log(2))


def test_a_page_that_is_one_word_saturates() -> None:
    document = Text("字" * 400)
    responses = answers(-1500.0)
    assert value("word_perplexity", document, responses) == pytest.approx(1.7976931348623157e308)
    samples = [
        Sample(str(i), i, None, "scored", {"word_perplexity": 1.0}, observe(document, responses)) for i in (0, 1)
    ]
    got = estimate(metric("word_perplexity"), samples)
    assert math.isfinite(got.value)
    assert got.stderr is None or math.isfinite(got.stderr)


def test_a_text_without_words_is_refused() -> None:
    with pytest.raises(DataError, match="without words has no word_perplexity"):
        value("word_perplexity", Text("  "), answers(-1))


def test_proportion_has_lm_evals_error_and_wilsons_interval() -> None:
    samples = [sample(i, float(i < 70)) for i in range(100)]
    got = estimate(metric("acc"), samples)
    limits = wilson(70, 100)
    assert got.value == 0.7
    assert got.stderr == pytest.approx(math.sqrt(0.7 * 0.3 / 99), rel=1e-12)
    assert got.ci95 == (limits.low, limits.high)
    assert got.chance == 0.25


def test_all_right_is_not_certainty() -> None:
    got = estimate(metric("acc"), [sample(i, 1.0) for i in range(10)])
    assert got.ci95 == pytest.approx((0.722467, 1.0), abs=1e-6)


def test_one_document() -> None:
    got = estimate(metric("acc"), [sample(0, 1.0)])
    assert got.stderr is None
    assert got.ci95 == pytest.approx((0.206543, 1.0), abs=1e-5)
    assert estimate(metric("mc2"), [sample(0, 0.4, "mc2")]).ci95 is None


def test_repeated_clusters_widen() -> None:
    values = [1, 1, 0, 0, 0, 1, 1, 1, 0, 1]
    samples = [sample(i, v, cluster="aaabbcccdd"[i]) for i, v in enumerate(values)]
    got = estimate(metric("acc"), samples)
    assert got.stderr == pytest.approx(0.198662, abs=1e-6)
    assert got.ci95 == (0.0, 1.0)  # -.032 to 1.232, cut


def test_clusters_of_one_are_independent_items() -> None:
    clustered = estimate(metric("acc"), [sample(i, i % 2, cluster=str(i)) for i in range(10)])
    assert clustered == estimate(metric("acc"), [sample(i, i % 2) for i in range(10)])


def test_clusters_all_right_count_once_each() -> None:
    got = estimate(metric("acc"), [sample(i, 1.0, cluster=str(i // 5)) for i in range(50)])
    assert got.ci95 == pytest.approx((0.722467, 1.0), abs=1e-6)


def test_one_cluster_has_no_error() -> None:
    got = estimate(metric("acc"), [sample(i, i % 2, cluster="only") for i in range(10)])
    assert (got.value, got.stderr, got.ci95) == (0.5, None, None)


def test_means_have_a_t_interval_within_bounds() -> None:
    values = [0.9, 0.99, 0.7, 1.0]
    got = estimate(metric("mc2"), [sample(i, v, "mc2") for i, v in enumerate(values)])
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert high > 1
    assert got.ci95 == pytest.approx((low, 1.0))


def test_errored_samples_are_left_out_not_scored_0() -> None:
    errored = Sample("e", 9, None, "errored", {}, {})
    got = estimate(metric("acc"), [sample(0, 1.0), sample(1, 0.0), errored])
    assert got.value == 0.5
    assert got.chance == 0.25


def test_a_missing_value_is_an_error() -> None:
    odd = Sample("abc", 9, None, "right", {}, {})
    with pytest.raises(EvaluationError, match=r"sample abc \(document 9\) has outcome right, but no value for acc"):
        estimate(metric("acc"), [sample(0, 1.0), odd])
    with pytest.raises(EvaluationError, match="no document has a value for acc"):
        estimate(metric("acc"), [])


def test_nan_never_enters() -> None:
    with pytest.raises(NonFiniteError, match=r"mc2 of sample 0000000000000000 \(document 0\) is nan"):
        estimate(metric("mc2"), [sample(0, math.nan, "mc2")])
    examples: list[Document] = [Text("a b"), Cloze("a", "b"), MultipleChoice("q", ["a"], 0)]
    for name in METRICS:
        document = next(example for example in examples if type(example) in metric(name).documents)
        with pytest.raises(NonFiniteError):
            value(name, document, answers(math.nan))


def test_observe_choices() -> None:
    document = MultipleChoice("q", ["a", "b", "c"], 1)
    assert observe(document, answers(-1, -4, -2)) == {"picked": 0, "gold": 1, "choices": 3, "margin": -3}
    several = MultipleChoice("q", ["a", "b", "c"], [1, 2])
    assert observe(several, answers(-1, -4, -2)) == {"picked": 0, "gold": [1, 2], "choices": 3, "margin": -1}
    assert "margin" not in observe(MultipleChoice("q", ["a"], 0), answers(-1))


def test_observe_texts() -> None:
    seen = observe(Text("die Straße"), answers(-9.5, tokens=4))
    assert seen == {"log_likelihood": -9.5, "tokens": 4, "words": 2, "bytes": 11, "characters": 10}
    assert observe(Cloze("a", "two words"), answers(-1))["words"] == 2


def test_outcome() -> None:
    document = MultipleChoice("q", ["a", "bbbbbb"], 0)
    responses = answers(-1, -2)  # likeliest is a; by length it is b
    acc, acc_norm, mc2 = metric("acc"), metric("acc_norm"), metric("mc2")
    assert outcome(document, responses, [acc, acc_norm]) == "right"
    assert outcome(document, responses, [acc_norm, acc]) == "wrong"
    assert outcome(document, responses, [mc2]) == "scored"
    assert outcome(Text("a"), answers(-1), [metric("token_perplexity")]) == "scored"
    assert outcome(Cloze("a", "b"), answers(-1), [metric("perplexity"), acc]) == "wrong"


def test_chance_of_documents_and_of_samples_agree() -> None:
    document = MultipleChoice("q", ["a", "b", "c", "d", "e"], [0, 3])
    chance = metric("mc2").chance
    assert chance is not None
    assert chance(document) == 0.4
    assert chance(Cloze("a", "b")) is None
    seen = Sample("i", 0, None, "scored", {"mc2": 0.5}, observe(document, answers(-1, -2, -3, -4, -5)))
    assert estimate(metric("mc2"), [seen]).chance == 0.4


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(TaskDefinitionError, match="no metric named 'acc_nrom'") as caught:
        metric("acc_nrom")
    assert caught.value.hint is not None
    assert "acc_norm" in caught.value.hint


def test_metric_on_the_wrong_kind_of_document() -> None:
    with pytest.raises(TaskDefinitionError, match="acc_norm does not apply to Cloze"):
        value("acc_norm", Cloze("a", "b"), answers(-1))
    with pytest.raises(TaskDefinitionError, match="word_perplexity does not apply to MultipleChoice"):
        value("word_perplexity", MultipleChoice("q", ["a"], 0), answers(-1))


def test_wrong_number_of_responses() -> None:
    with pytest.raises(ValueError, match="1 responses to a document with 2 requests"):
        value("acc", MultipleChoice("q", ["a", "b"], 0), answers(-1))
