"""Whole runs of open questions on a mock model: outcomes, several samples, failures that are tried again, files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import DataSource, Decoding, MockModel, OpenQuestion, Pattern, Task, TextMetric
from evalkit.backends.base import Answer, Prepared
from evalkit.errors import TaskDefinitionError, UsageError
from evalkit.metrics.text import Corpus
from evalkit.requests import Completion, Failure, Generate, Generation

ROWS = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(1, 7)]


def sums(**changes: Any) -> Task:
    defaults: dict[str, Any] = {
        "name": "sums",
        "data": DataSource(id="sums", rows=ROWS, shots_split="test"),
        "document": lambda row: OpenQuestion(row["question"], row["answer"]),
        "metrics": ("exact_match@number",),
        "extractors": {"number": Pattern(r"-?\d+", place=-1)},
        "decoding": Decoding(max_new_tokens=8, stop=("\n",)),
    }
    return Task(**(defaults | changes))


def first(request: Generate) -> int:
    return int(request.prompt.rsplit("What is ", 1)[1].split()[0])


class Speaker(MockModel):
    """Gives the completions of a function."""

    def __init__(self, speak: Any) -> None:
        super().__init__()
        self.speak = speak

    def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
        for index, request in enumerate(prepared.requests):
            if index not in done:
                self.requests_answered += 1
                said = self.speak(request)
                yield [(index, said if isinstance(said, Failure) else Generation((said,), 5))]


def test_every_way_to_fail_has_its_own_outcome() -> None:
    said = {
        1: Completion("so it is 2", "stop", 4),
        2: Completion("that makes 5", "stop", 4),
        3: Completion("no idea", "stop", 2),
        4: Completion("", "stop", 1),
        5: Completion("first I take 5 and", "length", 8),
        6: Completion("", "refused", 0),
    }
    result = evalkit.run(model=Speaker(lambda request: said[first(request)]), tasks=[sums()]).tasks["sums"]
    assert result.outcomes == {"empty": 1, "refused": 1, "right": 1, "truncated": 1, "unparsed": 1, "wrong": 1}
    assert [sample.outcome for sample in result.samples] == [
        *("right", "wrong", "unparsed", "empty", "truncated", "refused")
    ]
    assert result.metrics["exact_match@number"].value == pytest.approx(1 / 6)
    assert result.metrics["exact_match@number"].unreadable == pytest.approx((1 / 6, 5 / 6))  # all but the wrong one
    assert [sample.fields["answers"] for sample in result.samples] == [["2"], ["5"], [None], [None], ["5"], [None]]


def test_what_could_not_be_had_has_no_score_and_leaves_a_range() -> None:
    def speak(request: Generate) -> Completion | Failure:
        return Failure("no answer") if first(request) < 4 else Completion(f"it is {2 * first(request)}", "stop", 4)

    result = evalkit.run(model=Speaker(speak), tasks=[sums()]).tasks["sums"]
    assert result.outcomes == {"errored": 3, "right": 3}
    value = result.metrics["exact_match@number"]
    assert (value.value, value.unreadable) == (1.0, (0.5, 1.0))
    whole = evalkit.run(model=Speaker(lambda one: Completion(str(2 * first(one)), "stop", 4)), tasks=[sums()])
    assert whole.tasks["sums"].metrics["exact_match@number"].unreadable is None


def test_a_right_answer_cut_by_the_limit_is_right() -> None:
    task = sums(data=DataSource(id="sums", rows=ROWS[:1]))
    result = evalkit.run(model=Speaker(lambda _: Completion("it is 2", "length", 8)), tasks=[task]).tasks["sums"]
    assert result.outcomes == {"right": 1}


def test_the_result_says_how_texts_were_made(tmp_path: Path) -> None:
    run = evalkit.run(model=MockModel(), tasks=[sums()], max_new_tokens=3, output=tmp_path / "r.json")
    settings = run.tasks["sums"].settings
    assert settings["decoding"]["max_new_tokens"] == 3
    assert settings["decoding"]["stop"] == ["\n"]
    assert "Pattern" in settings["extractors"]["number"]
    assert run.settings["decoding"] == {"max_new_tokens": 3}
    assert evalkit.Run.load(tmp_path / "r.json") == run


def test_the_sampling_seed_decides_draws_and_the_seed_which_documents() -> None:
    """Also for a task that draws by its own definition."""

    def of(**options: int) -> tuple[set[int], list[str], evalkit.Run]:
        seeds: set[int] = set()

        def texts(request: Generate) -> str:
            seeds.add(request.decoding.seed)
            return "2"

        task = sums(decoding=Decoding(temperature=0.7))
        run = evalkit.run(model=MockModel(texts=texts), tasks=[task], limit=3, **options)
        return seeds, [sample.id for sample in run.tasks["sums"].samples], run

    plain, drawn, limited = of(), of(sampling_seed=7), of(seed=7)
    assert (plain[0], drawn[0], limited[0]) == ({0}, {7}, {0})
    assert plain[1] == drawn[1] != limited[1]
    assert drawn[2].settings["sampling_seed"] == drawn[2].tasks["sums"].settings["decoding"]["seed"] == 7
    assert "sampling_seed" not in plain[2].settings
    assert plain[2].tasks["sums"].settings["decoding"]["seed"] == 0


def test_the_sample_log_has_a_row_a_completion(tmp_path: Path) -> None:
    from pyarrow import parquet

    def texts(request: Generate) -> list[str]:
        return [f"{2 * first(request)}", "perhaps 9", "nothing"]

    task = sums(data=DataSource(id="sums", rows=ROWS[:2]), decoding=Decoding(temperature=0.7, samples=3))
    evalkit.run(model=MockModel(texts=texts), tasks=[task], output=tmp_path / "r.json")
    rows = parquet.read_table(tmp_path / "r.samples.parquet").to_pylist()
    assert [(row["index"], row["completion"], row["continuation"], row["answer"]) for row in rows] == [
        (0, 0, "2", "2"),
        (0, 1, "perhaps 9", "9"),
        (0, 2, "nothing", None),
        (1, 0, "4", "4"),
        (1, 1, "perhaps 9", "9"),
        (1, 2, "nothing", None),
    ]
    assert {(row["kind"], row["finish"], row["target"]) for row in rows} == {
        ("generate", "stop", "2"),
        ("generate", "stop", "4"),
    }
    assert rows[0]["prompt"] == "What is 1 plus 1?"


def test_several_samples_add_the_vote_and_the_chance_that_one_is_right() -> None:
    def texts(request: Generate) -> list[str]:
        n = first(request)
        return ["1", str(2 * n), str(2 * n), "1"] if n <= 3 else ["1", "1", str(2 * n), "1"]

    run = evalkit.run(model=MockModel(texts=texts), tasks=[sums()], samples=4, temperature=0.5)
    metrics = run.tasks["sums"].metrics
    assert metrics["exact_match@number"].value == pytest.approx((3 * 0.5 + 3 * 0.25) / 6)
    assert metrics["pass@4"].value == 1.0
    assert metrics["maj@4"].value < 1.0
    assert metrics["exact_match@number"].ci95 is not None


def test_more_samples_than_are_drawn_cannot_be_looked_at() -> None:
    with pytest.raises(TaskDefinitionError, match="needs 5 samples a document, not 1"):
        evalkit.run(model=MockModel(), tasks=[sums(metrics=("exact_match@number", "pass@5"))])
    with pytest.raises(UsageError, match="4 samples"):
        evalkit.run(model=MockModel(), tasks=[sums()], samples=4)


def test_what_an_endpoint_could_not_answer_is_errored_and_tried_again(tmp_path: Path) -> None:
    broken = {2, 5}

    def speak(request: Generate) -> Completion | Failure:
        n = first(request)
        return Failure("the endpoint answered 500 five times") if n in broken else Completion(f"{2 * n}", "stop", 1)

    output = tmp_path / "r.json"
    run = evalkit.run(model=Speaker(speak), tasks=[sums()], output=output)
    result = run.tasks["sums"]
    assert result.outcomes == {"errored": 2, "right": 4}
    assert result.metrics["exact_match@number"].value == 1.0  # of those that could be answered
    assert result.samples[1].metrics == {}
    assert result.samples[1].fields["error"] == "the endpoint answered 500 five times"
    assert evalkit.Run.load(output) == run

    broken.clear()
    again = Speaker(speak)
    repaired = evalkit.run(model=again, tasks=[sums()], output=output)
    assert again.requests_answered == 2
    assert repaired.tasks["sums"].outcomes == {"right": 6}
    assert not list(tmp_path.glob("*.journal"))


def test_generations_are_resumed_whole(tmp_path: Path) -> None:
    completion = Completion("2 \x00 é 北京", "length", 3, (7, 8, 9), -1.5, -0.5)
    calls = []

    def speak(request: Generate) -> Completion:
        calls.append(request)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return completion

    output = tmp_path / "r.json"
    with pytest.raises(evalkit.EvalkitError, match="interrupted after 3 of 6"):
        evalkit.run(model=Speaker(speak), tasks=[sums()], output=output)
    continued = evalkit.run(model=Speaker(lambda _: completion), tasks=[sums()], output=output)
    whole = evalkit.run(model=Speaker(lambda _: completion), tasks=[sums()])
    assert continued.tasks == whole.tasks


def test_another_way_of_decoding_is_another_run(tmp_path: Path) -> None:
    output = tmp_path / "r.json"

    def stop_soon(_: Generate) -> Completion:
        if model.requests_answered == 3:
            raise KeyboardInterrupt
        return Completion("2", "stop", 1)

    model = Speaker(stop_soon)
    with pytest.raises(evalkit.EvalkitError, match="interrupted"):
        evalkit.run(model=model, tasks=[sums()], output=output)
    other = Speaker(lambda _: Completion("2", "stop", 1))
    evalkit.run(model=other, tasks=[sums()], output=output, max_new_tokens=4)
    assert other.requests_answered == 6


def test_a_score_of_all_documents_together_has_a_bootstrap_interval() -> None:
    def counts(document: OpenQuestion, text: str | None) -> list[float]:
        return [float((text or "").count("a")), float(len(text or ""))]

    share = TextMetric(
        "share_of_a",
        True,
        False,
        (0.0, 1.0),
        lambda document, text: (text or "").count("a") / len(text or "-"),
        Corpus(counts, lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum())),
        signature="counted by hand",
    )
    said = {1: "aaaa", 2: "ab", 3: "b", 4: "aab", 5: "b" * 10, 6: "ab"}
    task = sums(metrics=("share_of_a",), own_metrics={"share_of_a": share})
    result = evalkit.run(model=MockModel(texts=lambda request: said[first(request)]), tasks=[task]).tasks["sums"]
    value = result.metrics["share_of_a"]
    assert value.value == 8 / 22  # not the mean of the documents' shares
    assert value.stderr is not None
    assert value.ci95 is not None
    assert value.ci95[0] < 8 / 22 < value.ci95[1]
    assert result.outcomes == {"scored": 6}
    assert result.settings["signatures"] == {"share_of_a": "counted by hand"}
    assert result.samples[0].fields["share_of_a_statistics"] == [[4.0, 4.0]]


def test_scores_of_all_documents_together_look_at_every_sample() -> None:
    """BLEU is that of the first samples, of the second ones ... in the mean, by sacrebleu itself; so are `whole` scores."""
    import sacrebleu

    answers = {n: f"the sum of {n} and {n} is the number {2 * n}" for n in range(1, 7)}

    def texts(request: Generate) -> list[str]:
        n = first(request)
        return [answers[n], answers[n][: 12 + 2 * n], f"the sum is the number {n}", answers[n] + " of course"]

    def joined(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        return float(sum(map(len, texts)) / sum(len(one) for (one,) in references))

    together = TextMetric("joined", True, False, (0.0, 9.0), lambda *_: None, whole=joined)
    task = sums(
        document=lambda row: OpenQuestion(row["question"], answers[int(row["answer"]) // 2]),
        metrics=("bleu", "joined"),
        own_metrics={"joined": together},
        extractors={},
        decoding=Decoding(temperature=0.7, samples=4),
    )
    result = evalkit.run(model=MockModel(texts=texts), tasks=[task]).tasks["sums"]
    said = [texts(Generate(row["question"])) for row in ROWS]
    references = list(answers.values())
    expected = [sacrebleu.corpus_bleu([one[place] for one in said], [references]).score for place in range(4)]
    bleu = result.metrics["bleu"]
    assert bleu.value == pytest.approx(sum(expected) / 4)
    assert bleu.value < expected[0] == pytest.approx(100)
    assert bleu.ci95 is not None
    assert bleu.bounds == (0.0, 100.0)
    assert bleu.ci95[0] < bleu.value < bleu.ci95[1] < 100
    lengths = [len(text) for one in said for text in one]
    assert result.metrics["joined"].value == pytest.approx(sum(lengths) / 4 / sum(map(len, references)))


def test_unknown_metrics_and_extractors_are_named() -> None:
    with pytest.raises(TaskDefinitionError, match="no metric of generated text named 'exact_macht'"):
        evalkit.run(model=MockModel(), tasks=[sums(metrics=("exact_macht",))])
    with pytest.raises(TaskDefinitionError, match="exact_match@letter names no extractor"):
        evalkit.run(model=MockModel(), tasks=[sums(metrics=("exact_match@letter",))])
