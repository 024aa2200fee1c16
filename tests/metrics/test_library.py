"""Metrics of the `evaluate` library, from local files as a user would write them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.backends.base import Prepared
from evalkit.backends.mock import MockModel
from evalkit.data import DataOptions
from evalkit.documents import OpenQuestion
from evalkit.errors import EvaluationError, TaskDefinitionError
from evalkit.metrics import TextMetric, text_metric
from evalkit.metrics.library import library_metric
from evalkit.requests import Request
from evalkit.results import Run
from evalkit.task import DataSource, Task
from tests.metrics.test_translation import estimate

pytestmark = pytest.mark.filterwarnings("ignore")  # evaluate's and datasets' own warnings

CODE = """
import datasets
import evaluate
{imports}

class Score(evaluate.Metric):
    def _info(self):
        text = datasets.Value("{text}")
        references = {references}
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
            features=datasets.Features({{"predictions": text, "references": references}}))

    def _compute(self, predictions, references{options}):
        {body}
"""
SHARE = "return {'share': sum(p == r for p, r in zip(predictions, references)) / len(predictions)}"
LENGTHS = (
    "return {'ratio': sum(map(len, predictions)) / sum(map(len, references)), 'characters': sum(map(len, predictions))}"
)
DOCUMENTS = [OpenQuestion("q", text) for text in ("aa", "bbbb", "c")]
TEXTS = ["aa", "bb", "c"]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """evaluate copies a metric's code into a cache, from which it imports it."""
    cache = tmp_path_factory.mktemp("modules")

    def forget() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
            del sys.modules[name]

    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", str(cache))
        patch.setattr("evaluate.config.HF_METRICS_CACHE", str(cache))
        patch.syspath_prepend(str(cache))
        yield
    forget()


def write(
    folder: Path,
    body: str,
    *,
    name: str = "share",
    several: bool = False,
    text: str = "string",
    options: str = "",
    imports: str = "",
) -> Path:
    references = "datasets.Sequence(text)" if several else "text"
    path = folder / name / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    code = CODE.format(imports=imports, text=text, references=references, options=options, body=body)
    path.write_text(code, encoding="utf-8")
    return path


def ready(metric: TextMetric, **options: Any) -> TextMetric:
    assert metric.prepare is not None
    metric.prepare(DataOptions(**options))
    return metric


def test_a_score_that_is_a_mean_has_the_means_interval(tmp_path: Path) -> None:
    metric = ready(text_metric(f"evaluate:{write(tmp_path, SHARE)}"))
    assert [metric.value(document, text) for document, text in zip(DOCUMENTS, TEXTS, strict=True)] == [1.0, 0.0, 1.0]
    found = estimate(metric, DOCUMENTS, TEXTS)
    assert found.value == pytest.approx(2 / 3)
    assert found.ci95 is not None


def test_a_score_that_is_none_has_no_interval(tmp_path: Path) -> None:
    write(tmp_path, LENGTHS, name="lengths")
    metric = ready(text_metric(f"evaluate:{tmp_path}/lengths/ratio"))
    found = estimate(metric, DOCUMENTS, TEXTS)
    assert (found.value, found.stderr, found.ci95) == (5 / 7, None, None)
    under_way = estimate(metric, DOCUMENTS, TEXTS, intervals=False)
    assert under_way.value == pytest.approx((1 + 0.5 + 1) / 3), "the mean stands in while the run goes on"


def test_the_whole_is_computed_once_and_only_at_the_end(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    body = f"open({str(calls)!r}, 'a').write(f'{{len(predictions)}} '); {SHARE}"
    metric = ready(text_metric(f"evaluate:{write(tmp_path, body)}"))
    calls.write_text("")
    estimate(metric, DOCUMENTS, TEXTS, intervals=False)
    assert calls.read_text().split() == ["1"] * 3
    estimate(metric, DOCUMENTS, TEXTS)
    assert calls.read_text().split() == ["1"] * 6 + ["3"]


def test_several_numbers_need_a_key(tmp_path: Path) -> None:
    path = write(tmp_path, LENGTHS)
    with pytest.raises(TaskDefinitionError, match="gives several numbers") as caught:
        ready(text_metric(f"evaluate:{path}"))
    assert "ratio, characters" in (caught.value.hint or "")
    with pytest.raises(TaskDefinitionError, match="gives no number 'rato'"):
        ready(text_metric(f"evaluate:{path}/rato"))


def test_a_number_for_each_text_is_averaged(tmp_path: Path) -> None:
    body = "return {'lengths': [len(p) * factor for p in predictions], 'hash': 'abc'}"
    path = write(tmp_path, body, options=", factor=1")
    metric = ready(text_metric(f"evaluate:{path}?factor=2"))
    found = estimate(metric, DOCUMENTS, TEXTS)
    assert found.value == pytest.approx(2 * 5 / 3)
    assert found.ci95 is not None
    assert "|factor:2|" in metric.signed(DOCUMENTS)


def test_references(tmp_path: Path) -> None:
    document = OpenQuestion("q", "a", ("a", "b"))
    one = ready(text_metric(f"evaluate:{write(tmp_path, SHARE)}"))
    with pytest.raises(TaskDefinitionError, match="takes one reference a text"):
        one.value(document, "a")
    body = "return {'any': sum(p in r for p, r in zip(predictions, references)) / len(predictions)}"
    several = ready(text_metric(f"evaluate:{write(tmp_path, body, name='any', several=True)}"))
    assert [several.value(document, text) for text in ("a", "b", "c")] == [1.0, 1.0, 0.0]


def test_a_metric_that_takes_one_reference_is_refused_before_the_model_is_asked(tmp_path: Path) -> None:
    class Unasked(MockModel):
        def prepare(self, requests: Sequence[Request]) -> Prepared:
            raise AssertionError("the model was asked")

    task = Task(
        name="t",
        data=DataSource(id="t", rows=[{"of": ("a",)}, {"of": ("a", "b")}]),
        document=lambda row: OpenQuestion("q", "a", row["of"]),
        metrics=(f"evaluate:{write(tmp_path, SHARE)}",),
    )
    with pytest.raises(TaskDefinitionError, match="takes one reference a text"):
        evalkit.run(model=Unasked(), tasks=[task])


def test_less_is_better_where_it_is(tmp_path: Path) -> None:
    assert not text_metric(f"evaluate:{write(tmp_path, SHARE, name='wer')}").higher_is_better
    path = write(tmp_path, SHARE)
    assert text_metric(f"evaluate:{path}").higher_is_better
    assert not text_metric(f"evaluate:{path}?lower_is_better=true").higher_is_better


def test_a_text_for_which_it_is_not_defined_has_no_value(tmp_path: Path) -> None:
    body = "return {'r': sum(map(len, references)) / sum(map(len, predictions))}"
    metric = ready(text_metric(f"evaluate:{write(tmp_path, body)}"))
    assert metric.value(DOCUMENTS[0], "") is None
    # a failure leaves nothing behind that the next computation would count in
    assert estimate(metric, DOCUMENTS, ["aa", "", "c"]).value == pytest.approx(7 / 3)
    with pytest.raises(EvaluationError, match="fails on 2 texts: ZeroDivisionError"):
        estimate(metric, DOCUMENTS[:2], ["", ""])


def test_draws_repeat(tmp_path: Path) -> None:
    path = write(tmp_path, "return {'draw': float(numpy.random.rand())}", imports="import numpy")
    values = [ready(text_metric(f"evaluate:{path}")).value(DOCUMENTS[0], "a") for _ in range(2)]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"body": SHARE, "text": "int32"}, "does not compare texts with references"),
        ({"body": SHARE, "imports": "import no_such_package"}, "no_such_package"),
        ({"body": "raise KeyError('broken')"}, "KeyError: 'broken'"),
        ({"body": "return {"}, "cannot be loaded: SyntaxError"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_run(tmp_path: Path, code: dict[str, str], message: str) -> None:
    path = write(tmp_path, code.pop("body"), **code)  # type: ignore[arg-type]
    with pytest.raises((TaskDefinitionError, EvaluationError), match=message) as caught:
        ready(text_metric(f"evaluate:{path}"))
    assert caught.value.hint


def test_names_come_from_the_data_directories_before_the_hub(tmp_path: Path) -> None:
    write(tmp_path / "metrics", SHARE, name="my_share")
    metric = ready(text_metric("evaluate:my_share/share"), directories=(tmp_path,), offline=True)
    assert metric.value(DOCUMENTS[0], "aa") == 1.0


def test_code_from_the_hub_needs_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        TaskDefinitionError, match="would be fetched from the hub as Python code, if it exists"
    ) as caught:
        ready(text_metric("evaluate:rouge/rouge1"))
    assert "--trust-remote-code" in (caught.value.hint or "")
    asked: list[Any] = []

    def load(*arguments: Any, download_config: Any, **more: Any) -> Any:
        asked.append((arguments[0], download_config and download_config.local_files_only))
        raise FileNotFoundError("no such module")

    monkeypatch.setattr("evaluate.load", load)
    for offline, said in ((True, "nothing may be fetched offline"), (False, "on the hub")):
        with pytest.raises(TaskDefinitionError, match=f"was not found.*{said}"):
            ready(text_metric("evaluate:org/rouge/rouge1"), trust_remote_code=True, offline=offline)
    assert asked == [("org/rouge", True), ("org/rouge", None)]


@pytest.mark.parametrize("spec", ["evaluate:", "evaluate:./nowhere", "evaluate:nowhere.py/key", "evaluate:a/b/c/d"])
def test_malformed_names_are_refused_at_once(spec: str) -> None:
    with pytest.raises(TaskDefinitionError) as caught:
        text_metric(spec)
    assert caught.value.hint


def test_a_path_starts_at_the_tasks_file(tmp_path: Path) -> None:
    write(tmp_path, SHARE)
    assert ready(library_metric("evaluate:./share/share", tmp_path)).value(DOCUMENTS[0], "aa") == 1.0
    assert library_metric("evaluate:share/share.py", tmp_path).name == "evaluate:share/share.py"


def run(tmp_path: Path, metrics: Sequence[str]) -> Run:
    rows = tuple({"q": f"q{number}", "a": "abc"} for number in range(4))
    task = Task(
        name="t",
        data=DataSource(id="t", rows=rows),
        document=lambda row: OpenQuestion(row["q"], row["a"]),
        metrics=tuple(metrics),
    )
    texts = {"q0": "abc", "q1": "ab", "q2": "", "q3": "abc"}
    return evalkit.run(model=MockModel(texts=texts), tasks=[task], output=tmp_path / "run.json")


def test_a_run_keeps_the_texts_once_and_the_signature(tmp_path: Path) -> None:
    body = "return {'r': sum(map(len, references)) / sum(map(len, predictions))}"
    share, ratio = (
        f"evaluate:{write(tmp_path, code, name=name)}" for name, code in (("share", SHARE), ("ratio", body))
    )
    result = run(tmp_path, [share, ratio]).tasks["t"]
    assert result.metrics[share].value == 0.5
    assert result.metrics[share].ci95 is not None
    assert result.metrics[ratio].value == 12 / 8
    assert result.metrics[ratio].ci95 is None
    assert result.outcomes == {"empty": 1, "scored": 3}
    by_text = {sample.fields["texts"]["texts"][0]: sample for sample in result.samples}
    assert ratio not in by_text[""].metrics
    assert by_text["ab"].fields["texts"] == {"texts": ["ab"], "references": ["abc"]}
    assert set(result.settings["signatures"]) == {share, ratio}
    assert Run.load(tmp_path / "run.json").tasks["t"].metrics == result.metrics


def test_a_yaml_task_names_a_metric_beside_it(tmp_path: Path) -> None:
    write(tmp_path, SHARE)
    (tmp_path / "rows.csv").write_text("q,a\nx,abc\ny,abd\n")
    (tmp_path / "t.yaml").write_text(
        "task: t\nkind: generate\ndata: rows.csv\nquestion: q\nanswer: a\nmetrics: ['evaluate:./share', exact_match]\n"
    )
    found = evalkit.run(model=MockModel(texts=lambda _: "abc"), tasks=str(tmp_path / "t.yaml")).tasks["t"].metrics
    assert {name: metric.value for name, metric in found.items()} == {"evaluate:./share": 0.5, "exact_match": 0.5}
