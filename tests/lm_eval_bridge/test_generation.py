"""lm-eval's generation tasks through evalkit's runner, held to lm-eval's own evaluation of the same texts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytest.importorskip("lm_eval")

import evalkit
from evalkit.backends.mock import MockModel
from evalkit.data import DataOptions
from evalkit.decoding import Decoding
from evalkit.errors import EvalkitError, EvaluationError, TaskDefinitionError, UsageError
from evalkit.lm_eval_bridge import library
from evalkit.lm_eval_bridge.datasets_source import data_from
from evalkit.lm_eval_bridge.generation import decoding_of, stop_texts, texts_of
from evalkit.requests import Completion, Failure, Generate, Generation, Request, Roll
from evalkit.results import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

HUB = Path(__file__).parents[3] / "shared" / "data" / "hub"

COMMON = """
    dataset_path: someone/answers
    dataset_name: main
    output_type: generate_until
    test_split: test
    training_split: test
    fewshot_split: test
    doc_to_text: "Question: {{question}}\\nAnswer:"
    generation_kwargs: {until: ["Question:", "\\n\\n"], do_sample: false, max_gen_toks: 40}
    """
EXACT = r"""metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true,
                       regexes_to_ignore: [",", "\\.$"]}]"""
NUMBER = '{function: regex, regex_pattern: "answer is (\\\\-?[0-9]+)"}'
VOTE = "{function: majority_vote}, {function: take_first}"
LAST = '{function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}'

TASKS = {
    "numbers": f"""
        task: numbers
        doc_to_target: "{{{{answer}}}}"
        num_fewshot: 1
        {EXACT}
        filter_list:
          - {{name: strict-match, filter: [{NUMBER}, {{function: take_first}}]}}
          - {{name: flexible-extract, filter: [{LAST}, {{function: take_first}}]}}
        metadata: {{version: 3.0}}
        """,
    "votes": f"""
        task: votes
        doc_to_target: "{{{{answer}}}}"
        generation_kwargs: {{until: ["Question:"], do_sample: true, temperature: 0.7}}
        repeats: 5
        {EXACT}
        filter_list:
          - {{name: first, filter: [{NUMBER}, {{function: take_first}}]}}
          - {{name: maj@5, filter: [{NUMBER}, {VOTE}]}}
          - {{name: maj@3, filter: [{{function: take_first_k, k: 3}}, {NUMBER}, {VOTE}]}}
        """,
    "greedy_votes": """
        include: votes.yaml
        task: greedy_votes
        generation_kwargs: {until: ["Question:"], do_sample: false}
        """,
    "sentences": """
        task: sentences
        doc_to_target: "{{sentence}}"
        metric_list: [{metric: bleu}, {metric: ter}, {metric: chrf}, {metric: chrf++}]
        """,
    "aliases": """
        task: aliases
        doc_to_target: "{{aliases}}"
        metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true,
                       ignore_punctuation: true}]
        filter_list: [{name: remove_whitespace, filter: [{function: remove_whitespace}, {function: take_first}]}]
        """,
    "passages": """
        task: passages
        doc_to_target: "{{sentence}}"
        process_results: !function functions.process_results
        metric_list:
          - {metric: em, aggregation: mean, higher_is_better: true}
          - {metric: f1, aggregation: mean, higher_is_better: true}
        """,
    "mixed": """
        task: mixed
        class: !function functions.Mixed
        """,
    "broken": """
        task: broken
        doc_to_target: "{{sentence}}"
        process_results: !function functions.broken
        metric_list: [{metric: em, aggregation: mean, higher_is_better: true}]
        """,
    "strange": """
        task: strange
        doc_to_target: "{{sentence}}"
        generation_kwargs: {until: ["\\n"], repetition_penalty: 1.2}
        """,
    "missing": """
        task: missing
        doc_to_target: !function absent.doc_to_target
        """,
    "programs": """
        task: programs
        doc_to_target: "{{sentence}}"
        unsafe_code: true
        """,
}

FUNCTIONS = """
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks.drop.utils import get_metrics

def process_results(doc, results):
    scores = [get_metrics(results[0], [alias]) for alias in doc["aliases"]]
    return {"em": max(score[0] for score in scores), "f1": max(score[1] for score in scores)}

def broken(doc, results):
    raise LookupError("no such thing")

class Mixed(ConfigurableTask):
    def __init__(self, config=None):
        own = {"dataset_path": "someone/answers", "dataset_name": "main", "output_type": "generate_until",
               "test_split": "test", "doc_to_text": "{{question}}", "doc_to_target": "{{sentence}}"}
        super().__init__(config={**own, "task": "mixed"})

    def construct_requests(self, doc, ctx, **kwargs):
        kwargs = {name: kwargs[name] for name in ("metadata",)}
        return [
            Instance("generate_until", doc, (ctx, {"until": ["\\\\n"]}), 0, **kwargs),
            Instance("loglikelihood", doc, (ctx, " unanswerable"), 0, **kwargs),
        ]

    def process_results(self, doc, results):
        text, (log_probability, greedy) = results
        return {"length": len(text), "unanswerable": log_probability}

    def aggregation(self):
        return {"length": max, "unanswerable": lambda items: sum(items) / len(items)}

    def higher_is_better(self):
        return {"length": False, "unanswerable": True}
"""

SENTENCES = [
    "The house is small, but it has a garden.", "It rained the whole day.", "She reads a book about the moon.",
    "Nobody knows where the dog is.", "The train to Paris leaves at nine.", "He made tea for all of us.",
    "A quick brown fox jumps over the lazy dog.", "Energy is neither created nor destroyed.",
]  # fmt: skip


@pytest.fixture(scope="module")
def answers_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    (folder / "someone" / "answers" / "main").mkdir(parents=True)
    rows = [
        {
            "question": f"What is {number} and {number + 3}?",
            "answer": str(2 * number + 3),
            "aliases": [f"number {2 * number + 3}", f"it is {2 * number + 3}", sentence][: 1 + number % 3],
            "sentence": sentence,
        }
        for number, sentence in enumerate(SENTENCES)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "someone" / "answers" / "main" / "test.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    (folder / "functions.py").write_text(FUNCTIONS)
    (folder / "absent.py").write_text("import nothing_of_the_kind")
    for name, text in TASKS.items():
        whole = name == "mixed" or "include:" in text
        # a task's own settings follow, and win
        own = dedent(text).strip()
        keys = {line.split(":")[0] for line in own.splitlines() if not line.startswith(" ")}
        common = [line for line in dedent(COMMON).strip().splitlines() if line.split(":")[0] not in keys]
        (folder / f"{name}.yaml").write_text(own if whole else "\n".join([*common, own]) + "\n")
    return folder


def text_for(prompt: str, sample: int) -> str:
    """Another kind of answer for each document and sample."""
    question = prompt.rsplit("What is ", 1)[1].split("?")[0]
    first, second = (int(word) for word in question.split(" and "))
    right = first + second
    sentence = SENTENCES[first]
    kinds = [
        f" Let me see: {first} + {second}, so the answer is {right}.",
        f" The answer is {right}\n\nQuestion: the answer is 5",
        f"The answer is {right + 1}. No, {right}",
        " I do not know",
        "",
        " well" * 60 + f" the answer is {right}",
        f" {sentence}",
        f" number {right}.",
        f" {sentence[:-8]} indeed",
        f" it is {right}",
    ]
    return kinds[(first + 3 * sample) % len(kinds)]


TextFor = Callable[[str, int], str]


def mock(text_for: TextFor = text_for) -> MockModel:
    def texts(request: Generate) -> list[str]:
        return [text_for(request.prompt, sample) for sample in range(request.decoding.samples)]

    return MockModel(answers, texts=texts)


def answers(request: Request) -> float:
    assert not isinstance(request, Roll | Generate)
    return -float(len(request.context))


def fake(text_for: TextFor = text_for) -> Any:
    """A model of lm-eval's that gives the mock's texts."""
    from lm_eval.api.model import LM
    from lm_eval.models.utils import postprocess_generated_text

    class Fake(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return [(-float(len(one.args[0])), False) for one in requests]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError

        def generate_until(self, requests: list[Any]) -> list[str]:
            seen: Counter[str] = Counter()
            found = []
            for one in requests:
                context, settings = one.args
                sample = seen[context] if settings.get("do_sample") else 0
                seen[context] += 1
                text = postprocess_generated_text(text_for(context, sample), settings["until"], None)
                found.append(" ".join(text.split(" ")[: settings.get("max_gen_toks", 256)]))
            return found

    return Fake()


def scores(theirs: Any, name: str) -> dict[str, float]:
    """lm-eval's scores of a task by evalkit's names."""
    main = theirs["samples"][name][0]["filter"]
    found = {}
    for key, value in theirs["results"][name].items():
        metric, _, ensemble = key.partition(",")
        if ensemble and not metric.endswith("_stderr"):
            found[metric if ensemble == main else f"{metric}@{ensemble}"] = value
    return found


@pytest.fixture
def both(written: Path, answers_hub: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task's name -> evalkit's result, lm-eval's metrics by our names, and lm-eval's samples."""
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._index import TaskIndex

    monkeypatch.setattr(library, "_index", lambda: TaskIndex.build([written]))

    def ours(name: str, **options: Any) -> Run:
        model = options.pop("model", None) or mock()
        return evalkit.run(model=model, tasks=f"lm-eval:{name}", data_dir=str(answers_hub), offline=True, **options)

    def evaluate(name: str, **options: Any) -> tuple[Any, dict[str, float], list[Any]]:
        import lm_eval

        manager = TaskManager(include_defaults=False, include_path=str(written))
        with data_from(DataOptions((answers_hub,), offline=True)):
            theirs = lm_eval.simple_evaluate(model=fake(), tasks=[name], task_manager=manager, bootstrap_iters=0)
        return next(iter(ours(name, **options).tasks.values())), scores(theirs, name), theirs["samples"][name]

    evaluate.ours = ours  # type: ignore[attr-defined]
    return evaluate


@pytest.mark.parametrize("name", ["numbers", "votes", "greedy_votes", "sentences", "aliases", "passages", "mixed"])
def test_values_are_those_of_lm_eval(name: str, both: Any) -> None:
    result, metrics, _ = both(name)
    assert {name: one.value for name, one in result.metrics.items()} == pytest.approx(metrics, rel=1e-13)
    assert result.n == 8
    assert sum(result.outcomes.values()) == 8


def test_every_filter_and_sample(both: Any) -> None:
    result, metrics, samples = both("numbers")
    assert list(result.metrics) == ["exact_match", "exact_match@flexible-extract"]
    assert 0 < metrics["exact_match"] < metrics["exact_match@flexible-extract"] < 1  # the toy tells them apart
    for ensemble, metric in (("strict-match", "exact_match"), ("flexible-extract", "exact_match@flexible-extract")):
        theirs = [sample for sample in samples if sample["filter"] == ensemble]
        assert [sample.metrics[metric] for sample in result.samples] == [sample["exact_match"] for sample in theirs]
        found = [sample.fields["filtered"][ensemble] for sample in result.samples]
        assert found == [sample["filtered_resps"][0] for sample in theirs]
    assert (result.version, result.shots) == (3, 1)
    assert result.settings["decoding"]["max_new_tokens"] == 40
    assert result.settings["filters"] == ["strict-match", "flexible-extract"]


def test_outcomes(both: Any) -> None:
    result, _, _ = both("numbers")
    assert set(result.outcomes) == {"right", "wrong", "unparsed", "truncated", "empty"}
    for sample in result.samples:
        (answer,) = sample.fields["answers"]
        assert (sample.outcome == "right") == (sample.metrics["exact_match"] == 1.0)
        if sample.outcome == "wrong":
            assert answer is not None
        if sample.outcome == "truncated":
            assert sample.fields["finish"] == "length"
        if sample.outcome == "unparsed":
            assert (answer, sample.fields["finish"]) == (None, "stop")


def test_an_unfinished_thought_is_no_answer(both: Any) -> None:
    """Nor an empty one, as the text without its thought would have it."""

    def says(prompt: str, sample: int) -> str:
        return "<think>" * prompt.rsplit("What is ", 1)[1].startswith("0 ") + "The answer is 3"

    samples = both.ours("numbers", model=mock(says), thinking="<think>,</think>").tasks["lm-eval:numbers"].samples
    assert [sample.outcome for sample in samples[:2]] == ["truncated", "wrong"]
    assert samples[0].fields["answers"] == [None]


def test_repeats_are_samples(both: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    result, metrics, _ = both("votes", output=tmp_path / "run.json")
    assert set(metrics) == {"exact_match", "exact_match@maj@5", "exact_match@maj@3"}
    assert result.settings["decoding"]["samples"] == 5
    assert result.settings["decoding"]["temperature"] == 0.7
    rows = parquet.read_table(tmp_path / "run.samples.parquet").to_pylist()
    assert len(rows) == 8 * 5
    by_document = {sample.id: sample.fields["answers"] for sample in result.samples}
    for row in rows:
        assert row["answer"] == by_document[row["id"]][row["completion"]]
    assert any(row["answer"] for row in rows)
    assert any(row["answer"] is None for row in rows)


def test_the_sampling_seed_reaches_lm_evals_tasks(both: Any) -> None:
    decoding = both.ours("votes", sampling_seed=7, seed=3).tasks["lm-eval:votes"].settings["decoding"]
    assert decoding["seed"] == 7


def test_greedy_repeats_are_asked_once(both: Any) -> None:
    model = mock()
    run = both.ours("greedy_votes", model=model)
    result = run.tasks["lm-eval:greedy_votes"]
    assert model.requests_answered == 8
    assert result.settings["decoding"]["samples"] == 1
    first, *others = (one.value for one in result.metrics.values())
    assert others == [first, first]


@pytest.mark.parametrize(
    ("name", "options", "answers"),
    [
        ("votes", {"samples": 2}, "5 answers"),
        ("votes", {"samples": 6}, "5 answers"),
        ("greedy_votes", {"samples": 2}, "5 answers"),
        ("numbers", {"samples": 4, "temperature": 0.5}, "1 answer "),
        ("numbers", {"samples": 4}, "1 answer "),
    ],
)
def test_other_samples_than_the_task_counts(name: str, options: dict[str, Any], answers: str, both: Any) -> None:
    model = mock()
    with pytest.raises(UsageError, match=f"takes {answers}") as caught:
        both.ours(name, model=model, **options)
    assert "evalkit's own tasks" in (caught.value.hint or "")
    assert model.requests_answered == 0


@pytest.mark.parametrize(
    ("name", "samples", "drawn"), [("votes", 5, 5), ("greedy_votes", 5, 1), ("greedy_votes", 1, 1), ("numbers", 1, 1)]
)
def test_as_many_samples_as_the_task_counts(name: str, samples: int, drawn: int, both: Any) -> None:
    result = both.ours(name, samples=samples).tasks[f"lm-eval:{name}"]
    assert result.settings["decoding"]["samples"] == drawn


def test_users_decoding_wins(both: Any) -> None:
    run = both.ours("numbers", max_new_tokens=3, temperature=0.5)
    decoding = run.tasks["lm-eval:numbers"].settings["decoding"]
    assert (decoding["max_new_tokens"], decoding["temperature"], decoding["samples"]) == (3, 0.5, 1)
    assert decoding["stop"] == ["Question:", "\n\n"]


def test_scores_of_all_translations(both: Any) -> None:
    """Each document has its own score; that of all has a bootstrap's interval, and none while the run is under way."""
    result, _, _ = both("sentences")
    assert list(result.metrics) == ["bleu", "ter", "chrf", "chrf++"]
    assert result.metrics["ter"].higher_is_better is False
    for name, one in result.metrics.items():
        low, high = one.ci95
        assert low <= one.value <= high
        assert all(name in sample.metrics for sample in result.samples)
    assert set(result.outcomes) <= {"scored", "empty", "truncated"}


def test_targets(both: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    both("aliases", output=tmp_path / "run.json")
    rows = parquet.read_table(tmp_path / "run.samples.parquet").to_pylist()
    assert rows[0]["target"] == "number 3"
    assert rows[1]["target"] == "number 5 | it is 5"


def test_failures_are_left_out(both: Any) -> None:
    class Dying(MockModel):
        def _answer(self, request: Request) -> Any:
            if isinstance(request, Generate) and "What is 3 and" in request.prompt.rsplit("Question:", 1)[1]:
                return Failure("the endpoint died")
            return super()._answer(request)

    texts = lambda request: text_for(request.prompt, 0)  # noqa: E731
    result = both.ours("numbers", model=Dying(texts=texts)).tasks["lm-eval:numbers"]
    assert result.outcomes["errored"] == 1
    scored = [sample.metrics["exact_match"] for sample in result.samples if sample.outcome != "errored"]
    assert len(scored) == 7
    assert result.metrics["exact_match"].value == sum(scored) / 7

    class Dead(MockModel):
        def _answer(self, request: Request) -> Any:
            return Failure("the endpoint died")

    with pytest.raises(EvaluationError, match="no document of lm-eval:numbers has a value"):
        both.ours("numbers", model=Dead())


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("broken", TaskDefinitionError, "cannot score document 0: LookupError: no such thing"),
        ("strange", UsageError, "repetition_penalty"),
        ("missing", UsageError, "cannot be read: ModuleNotFoundError: .*nothing_of_the_kind"),
        ("programs", UsageError, "runs code that the model writes, without a sandbox"),
    ],
)
def test_what_cannot_be_done_is_said(name: str, error: type[EvalkitError], message: str, both: Any) -> None:
    with pytest.raises(error, match=message) as caught:
        both.ours(name)
    assert caught.value.hint


def test_chat_turns_are_kept(both: Any) -> None:
    asked: list[Generate] = []

    def texts(request: Generate) -> str:
        asked.append(request)
        return "4"

    both.ours("numbers", model=MockModel(texts=texts), chat_template="on")
    assert [turn["role"] for turn in asked[0].messages] == ["user", "assistant", "user"]
    assert asked[0].messages[-1]["content"] in asked[0].prompt


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"until": ["\n"]}, Decoding(stop=("\n",))),
        ({"until": "\n", "max_gen_toks": 7}, Decoding(stop=("\n",), max_new_tokens=7)),
        ({"until": [], "max_tokens": 7, "max_new_tokens": 9}, Decoding(max_new_tokens=9)),
        ({"until": [], "do_sample": False, "temperature": 1.0, "top_p": 0.9}, Decoding(top_p=0.9)),
        ({"until": [], "temperature": 0.2}, Decoding(temperature=0.2, top_k=50)),
        ({"until": [], "do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 0.95},
         Decoding(temperature=0.8, top_p=0.95)),
        ({"until": [], "do_sample": True}, Decoding()),
        ({"until": [], "num_beams": 4, "length_penalty": 0.6}, Decoding(beams=4, length_penalty=0.6)),
    ],
)  # fmt: skip
def test_generation_kwargs(settings: dict[str, Any], expected: Decoding) -> None:
    assert decoding_of(settings) == expected


def test_top_k_is_that_of_transformers() -> None:
    from transformers import GenerationConfig

    assert (
        decoding_of({"until": [], "temperature": 1.0}).top_k
        == GenerationConfig._get_default_generation_params()["top_k"]
    )


@pytest.mark.parametrize("until", [["Q:", "\n\n"], ["\n\nQ:", "Q:"], ["Q:", "\n\nQ:"], ["", "b"], ["b", "bb"]])
@pytest.mark.parametrize("text", ["a\n\nQ: b", "aQ:\n\n", "abb", "\n\nQ:", "none"])
def test_stop_texts_cut_as_lm_eval_does(text: str, until: list[str]) -> None:
    from lm_eval.models.utils import postprocess_generated_text

    places = [text.find(stop) for stop in stop_texts(until) if stop in text]
    assert text[: min(places, default=len(text))] == postprocess_generated_text(text, until, None)


def test_texts() -> None:
    two = Generation((Completion("a", "stop", 1), Completion("b", "stop", 1)), 3)
    assert texts_of(two, Decoding(temperature=1.0, samples=2), 2) == ["a", "b"]
    assert texts_of(two, Decoding(beams=2), 3) == ["a", "a", "a"]


@pytest.mark.skipif(not HUB.is_dir(), reason="the real benchmark data is not beside the checkout")
@pytest.mark.hub_data
@pytest.mark.slow
def test_tasks_of_the_library() -> None:
    """Real tasks on real data: five examples, a vote of 64, and sentence-level BLEU and ROUGE in a function."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    def text_for(prompt: str, sample: int) -> str:
        kind = int(hashlib.sha256(f"{prompt} {sample}".encode()).hexdigest()[:8], 16)
        number = 10 * (kind % 4)
        last = prompt.rsplit("Q: ", 1)[-1]
        return [f" It is {number}. The answer is {number}.", f" So.\n#### {number}", f" {last} is a myth.", ""][
            kind // 7 % 4
        ]

    names = ["gsm8k", "gsm8k_cot_self_consistency", "truthfulqa_gen"]
    library_folder = Path(lm_eval.__file__).parent / "tasks"
    folders = [str(library_folder / name) for name in ("gsm8k", "truthfulqa")]  # indexing all takes ten seconds
    manager = TaskManager(include_defaults=False, include_path=folders)
    with data_from(DataOptions((HUB,), offline=True)):
        theirs = lm_eval.simple_evaluate(
            model=fake(text_for), tasks=names, limit=6, task_manager=manager, bootstrap_iters=0
        )
    tasks = ",".join(f"lm-eval:{name}" for name in names)
    run = evalkit.run(model=mock(text_for), tasks=tasks, limit="first:6", data_dir=str(HUB), offline=True)
    for name in names:
        result = run.tasks[f"lm-eval:{name}"]
        assert {metric: one.value for metric, one in result.metrics.items()} == pytest.approx(scores(theirs, name))
