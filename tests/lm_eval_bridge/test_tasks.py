"""lm-eval's tasks through evalkit's runner, held to lm-eval's own evaluation with its `hf` model."""

from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.api import run
from evalkit.errors import DataError, UnknownTaskError, UsageError
from evalkit.lm_eval_bridge import library, task_run
from evalkit.lm_eval_bridge.tasks import LmEvalTask, load
from evalkit.results import Run
from evalkit.task import Group

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def ours(toy_tasks: Path, hub: Path, model: Path) -> Any:
    def evaluate(tasks: str, **options: Any) -> Run:
        return run(
            model=str(model),
            tasks=tasks,
            data_dir=str(hub),
            offline=True,
            over_length="truncate",
            compat="lm-eval",
            **options,
        )

    return evaluate


def samples_agree(ours: Any, theirs: list[dict[str, Any]], metrics: list[str]) -> None:
    assert [sample.index for sample in ours.samples] == [sample["doc_id"] for sample in theirs]
    for metric in metrics:
        for one, other in zip(ours.samples, theirs, strict=True):
            assert one.metrics[metric] == pytest.approx(other[metric], abs=1e-3), (metric, one.index)


@pytest.mark.parametrize("shots", [0, 3])
def test_multiple_choice(shots: int, ours: Any, yardstick: Any) -> None:
    expected = yardstick(["toy_choice"], shots)
    key = "lm-eval:toy_choice" + (":3shot" if shots else "")
    result = ours("lm-eval:toy_choice", shots=shots).tasks[key]
    samples_agree(result, expected["samples"]["toy_choice"], ["acc", "acc_norm", "acc_mutual_info"])
    for metric in ("acc", "acc_norm", "acc_mutual_info", "brier_score"):
        assert result.metrics[metric].value == pytest.approx(
            expected["results"]["toy_choice"][f"{metric},none"], abs=1e-4
        )
    assert result.metrics["acc"].chance == 0.25
    assert result.metrics["brier_score"].higher_is_better is False
    assert (result.version, result.shots, result.n) == (3, shots, 12)
    assert (result.dataset.id, result.dataset.config, result.dataset.source) == ("someone/toy", "quiz", "data-dir")
    assert sum(result.outcomes.values()) == 12


def test_scores_of_all_documents_together(ours: Any, yardstick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 and Matthews' correlation are no means: the value is lm-eval's, the interval a bootstrap's."""
    monkeypatch.setattr(task_run, "RESAMPLES", 100)
    expected = yardstick(["toy_binary"])["results"]["toy_binary"]
    metrics = ours("lm-eval:toy_binary").tasks["lm-eval:toy_binary"].metrics
    for metric in ("f1", "mcc"):
        assert metrics[metric].value == pytest.approx(expected[f"{metric},none"])
    low, high = metrics["f1"].ci95
    assert 0 <= low <= metrics["f1"].value <= high <= 1
    assert metrics["f1"].stderr > 0


def test_prompts_are_lm_eval_s(ours: Any, yardstick: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    expected = yardstick(["toy_choice"], 2)["samples"]["toy_choice"]
    ours("lm-eval:toy_choice:2shot", output=tmp_path / "run.json")
    rows = parquet.read_table(tmp_path / "run.samples.parquet").to_pylist()
    asked = [(row["prompt"], row["continuation"]) for row in rows]
    assert asked == [tuple(arguments) for sample in expected for arguments in sample["arguments"]]
    scores = [row["log_probability"] for row in rows]
    theirs = [response[0][0] for sample in expected for response in sample["resps"]]
    assert scores == pytest.approx(theirs, abs=1e-3)
    assert {row["target"].strip() for row in rows} <= {
        choice.strip() for sample in expected for choice in sample["doc"]["choices"]
    }


def test_a_limited_run_asks_the_same_prompts(ours: Any, tmp_path: Path) -> None:
    """Few-shot examples are drawn in sequence, so a sample of documents must not change them."""
    from pyarrow import parquet

    prompts = []
    for name, limit in (("all", None), ("some", 4)):
        ours("lm-eval:toy_choice:2shot", limit=limit, output=tmp_path / f"{name}.json")
        rows = parquet.read_table(tmp_path / f"{name}.samples.parquet").to_pylist()
        prompts.append({(row["id"], row["request"]): row["prompt"] for row in rows})
    every, some = prompts
    assert len({key[0] for key in some}) == 4
    assert some.items() <= every.items()


def test_loglikelihood(ours: Any, yardstick: Any) -> None:
    expected = yardstick(["toy_cloze"])
    result = ours("lm-eval:toy_cloze").tasks["lm-eval:toy_cloze"]
    samples_agree(result, expected["samples"]["toy_cloze"], ["acc"])
    values = expected["results"]["toy_cloze"]
    assert result.metrics["acc"].value == values["acc,none"]
    assert result.metrics["perplexity"].value == pytest.approx(values["perplexity,none"], rel=1e-5)
    assert result.metrics["perplexity"].stderr is not None


def test_rolling(ours: Any, yardstick: Any) -> None:
    expected = yardstick(["toy_pages"])
    result = ours("lm-eval:toy_pages").tasks["lm-eval:toy_pages"]
    for metric in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        assert result.metrics[metric].value == pytest.approx(
            expected["results"]["toy_pages"][f"{metric},none"], rel=1e-5
        )
        assert result.metrics[metric].higher_is_better is False
        assert result.metrics[metric].ci95 is not None
    assert result.outcomes == {"scored": 12}


def test_metrics_of_the_task_s_own(ours: Any, yardstick: Any) -> None:
    """A function gives values that are no proportion, one of them for some documents only."""
    expected = yardstick(["toy_own"])
    result = ours("lm-eval:toy_own").tasks["lm-eval:toy_own"]
    values = expected["results"]["toy_own"]
    for metric in ("acc", "long", "middle"):
        assert result.metrics[metric].value == pytest.approx(values[f"{metric},none"], abs=1e-4)
    having = [sample for sample in result.samples if "long" in sample.metrics]
    assert 0 < len(having) < 12
    assert result.metrics["acc"].chance is None
    low, high = result.metrics["middle"].ci95 or (0.0, 0.0)
    assert low <= result.metrics["middle"].value <= high
    assert result.outcomes == {"scored": 12}


@pytest.mark.parametrize("shots", [None, 2])
def test_group(shots: int | None, ours: Any, yardstick: Any) -> None:
    expected = yardstick(["toy_group"], shots)
    found = ours("lm-eval:toy_group", shots=shots)
    assert list(found.tasks) == ["lm-eval:toy_choice", "lm-eval:toy_choice_first"]
    group = found.groups["lm-eval:toy_group"]
    assert group.metrics["acc"].value == pytest.approx(expected["groups"]["toy_group"]["acc,none"])
    for name in ("toy_choice", "toy_choice_first"):
        samples_agree(found.tasks[f"lm-eval:{name}"], expected["samples"][name], ["acc", "acc_norm"])


def test_tag(toy_tasks: Path) -> None:
    assert [task.name for task in load("toy_tag", None)] == [
        "lm-eval:toy_choice", "lm-eval:toy_choice_first", "lm-eval:toy_cloze", "lm-eval:toy_own",
    ]  # fmt: skip


def test_yaml_file(toy_tasks: Path) -> None:
    (task,) = load(str(toy_tasks / "toy_cloze.yaml"), None)
    assert task.name == "lm-eval:toy_cloze"


@pytest.mark.parametrize(
    ("name", "asked", "shots", "key"),
    [
        ("toy_choice", None, 0, "lm-eval:toy_choice"),
        ("toy_choice", 0, 0, "lm-eval:toy_choice"),
        ("toy_choice", 5, 5, "lm-eval:toy_choice:5shot"),
        ("toy_choice_first", None, 1, "lm-eval:toy_choice_first"),
        ("toy_choice_first", 0, 0, "lm-eval:toy_choice_first:0shot"),
        ("toy_own", 5, 0, "lm-eval:toy_own"),  # the task says 0 itself: lm-eval lets nobody change that
    ],
)
def test_number_of_shots(name: str, asked: int | None, shots: int, key: str, toy_tasks: Path) -> None:
    (task,) = load(name, asked)
    assert isinstance(task, LmEvalTask)
    assert (task.shots, task.name) == (shots, key)


def test_group_entry(toy_tasks: Path) -> None:
    group, *tasks = load("toy_group", None)
    assert isinstance(group, Group)
    assert group.members == tuple(task.name for task in tasks)
    assert (group.metrics, group.weighting) == ("acc", "items")


def test_unknown_name(toy_tasks: Path) -> None:
    with pytest.raises(UnknownTaskError, match="toy_choise") as caught:
        load("toy_choise", None)
    assert "toy_choice" in (caught.value.hint or "")


def test_absent_data(ours: Any) -> None:
    with pytest.raises(DataError, match="someone/absent") as caught:
        ours("lm-eval:toy_nowhere")
    assert "--data-dir" in (caught.value.hint or "")


def test_library_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else find(name))
    with pytest.raises(UsageError, match="not installed") as caught:
        load("arc_easy", None)
    assert "evalkit[lm-eval]" in (caught.value.hint or "")


def test_chat_template(toy_tasks: Path, hub: Path, tmp_path: Path) -> None:
    """Prompts are those of lm-eval's `--apply_chat_template`, the template being the model's."""
    from pyarrow import parquet

    from tests.tiny_models import CHAT_TEMPLATE, tiny_model

    folder = tiny_model("llama", tmp_path, chat_template=CHAT_TEMPLATE)
    evalkit.run(
        model=str(folder), tasks="lm-eval:toy_choice:1shot", data_dir=str(hub), offline=True, chat_template="on",
        system="Be brief.", output=tmp_path / "run.json",
    )  # fmt: skip
    row = parquet.read_table(tmp_path / "run.samples.parquet").to_pylist()[0]
    start = "<|system|>\nBe brief.\n\nAnswer the questions.\n\n\n<|user|>\nQuestion:"
    assert row["prompt"].startswith(start)
    assert row["prompt"].count("<|user|>") == 2
    assert row["prompt"].endswith("\nAnswer:\n<|assistant|>\n")
    assert not row["continuation"].startswith(" ")


def test_index_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks._index import Entry, Kind, TaskIndex

    monkeypatch.setenv("EVALKIT_HOME", str(tmp_path))
    library._index.cache_clear()
    import lm_eval.tasks

    folder = Path(lm_eval.tasks.__file__).parent
    built = TaskIndex.build([folder / "arc", folder / "mmlu" / "default"])
    calls: list[object] = []

    def build(paths: object) -> dict[str, Entry]:
        calls.append(paths)
        return built

    monkeypatch.setattr(TaskIndex, "build", build)
    first = library._index()
    library._index.cache_clear()
    second = library._index()
    library._index.cache_clear()
    assert len(calls) == 1
    assert second == first
    assert second["mmlu"].kind is Kind.GROUP
    assert second["ai2_arc"].tags == {"arc_easy", "arc_challenge"}
    assert (second["arc_easy"].yaml_path or Path()).is_file()


def test_a_split_that_the_data_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks._factory import TaskFactory

    def build(*_: object) -> None:
        raise KeyError("train")

    monkeypatch.setattr(TaskFactory, "_build_task", build)
    with pytest.raises(DataError, match="quiz reads split 'train', which the data at hand does not have") as caught:
        task_run._build(library.Leaf("quiz", None, None, {"fewshot_split": "train"}))
    assert "--data-dir" in (caught.value.hint or "")


def test_code_of_the_model_is_refused_before_the_task_s_own_code_is_imported() -> None:
    """humaneval's functions fetch the hub's code_eval when they are imported."""
    with pytest.raises(UsageError, match="runs code that the model writes, without a sandbox") as caught:
        load("humaneval", None)
    assert "evalkit's humaneval" in (caught.value.hint or "")
