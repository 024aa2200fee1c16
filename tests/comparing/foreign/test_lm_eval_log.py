"""lm-eval's own logs of a tiny model, read; evalkit's results of the same model and rows are the yardstick.

`make_lm_eval_logs.py` says how the files were made.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.foreign import read_foreign
from evalkit.errors import UsageError
from evalkit.results import Run, TaskResult

LOGS = Path(__file__).parent / "lm_eval"
DATE = "2026-11-26T02-16-28.260979"
NAMES = {"arc_easy": "arc_easy", "hellaswag": "hellaswag", "gsm8k:0shot": "gsm8k", "wikitext": "wikitext"}


@pytest.fixture(scope="module")
def ours() -> Run:
    return Run.load(LOGS / "evalkit.json")


@pytest.fixture(scope="module")
def theirs() -> Run:
    return read(LOGS / "tiny")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LOGS / "tiny", tmp_path / "tiny"))


def read(path: Path) -> Run:
    found = read_foreign(path)
    assert found is not None
    run, origin = found
    assert origin == "lm-eval"
    return run


def results(folder: Path) -> Path:
    return folder / f"results_{DATE}.json"


def samples(folder: Path, task: str) -> Path:
    return folder / f"samples_{task}_{DATE}.jsonl"


def change_results(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(results(folder).read_text())
    change(document)
    results(folder).write_text(json.dumps(document))


def change_samples(folder: Path, task: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    lines = [json.loads(line) for line in samples(folder, task).read_text().splitlines()]
    changed = change(lines)
    samples(folder, task).write_text("".join(json.dumps(line) + "\n" for line in (changed or lines)))


# --- the same run by both harnesses


@pytest.mark.parametrize("key", NAMES)
def test_documents_have_the_ids_that_evalkit_gives_them(key: str, ours: Run, theirs: Run) -> None:
    assert [one.id for one in theirs.tasks[key].samples] == [one.id for one in ours.tasks[key].samples]
    assert [one.index for one in theirs.tasks[key].samples] == [one.index for one in ours.tasks[key].samples]


def test_copies_of_a_document_are_told_apart_as_in_evalkit(theirs: Run) -> None:
    ids = [one.id for one in theirs.tasks["arc_easy"].samples]
    assert ids[6] == f"{ids[2]}#2"


@pytest.mark.parametrize("key", NAMES)
def test_prompts_have_the_hash_that_evalkit_gives_them(key: str, ours: Run, theirs: Run) -> None:
    assert theirs.tasks[key].prompt_sha256 == ours.tasks[key].prompt_sha256


@pytest.mark.parametrize("key", NAMES)
def test_values_are_those_that_lm_eval_reports(key: str, theirs: Run) -> None:
    reported = json.loads(results(LOGS / "tiny").read_text())["results"][NAMES[key]]
    names = {"exact_match@strict": "exact_match,strict-match", "exact_match@flexible": "exact_match,flexible-extract"}
    assert theirs.tasks[key].metrics
    for metric, value in theirs.tasks[key].metrics.items():
        assert value.value == pytest.approx(reported[names.get(metric, f"{metric},none")], rel=1e-9)
    assert len(theirs.tasks[key].metrics) == sum("," in name and "_stderr" not in name for name in reported)


@pytest.mark.parametrize("key", NAMES)
def test_metrics_clusters_and_values_are_evalkits(key: str, ours: Run, theirs: Run) -> None:
    mine, other = ours.tasks[key], theirs.tasks[key]
    assert next(iter(mine.metrics)) == next(iter(other.metrics))
    assert other.metrics.keys() <= mine.metrics.keys()
    for one, two in zip(mine.samples, other.samples, strict=True):
        assert one.cluster == two.cluster
        for metric, value in two.metrics.items():
            assert value == pytest.approx(one.metrics[metric], rel=1e-5)
        for name in ("picked", "gold", "choices", "margin", "log_likelihood", "words", "bytes"):
            if name in one.fields:
                assert two.fields[name] == pytest.approx(one.fields[name], rel=1e-5), name


def test_intervals_and_chance_are_made_as_for_evalkits_own_runs(ours: Run, theirs: Run) -> None:
    for key in ("arc_easy", "hellaswag"):
        mine, other = ours.tasks[key].metrics["acc"], theirs.tasks[key].metrics["acc"]
        assert (mine.stderr, mine.ci95, mine.chance, mine.bounds) == (
            other.stderr,
            other.ci95,
            other.chance,
            other.bounds,
        )


def test_settings_are_in_evalkits_words(ours: Run, theirs: Run) -> None:
    assert theirs.settings == {"limit": "first:7", "chat_template": "off", "system": None, "engine": "lm-eval hf"}
    mine, other = ours.tasks["gsm8k:0shot"].settings, theirs.tasks["gsm8k:0shot"].settings
    ignored = {"thinking", "seed"}
    assert other["decoding"] == {name: value for name, value in mine["decoding"].items() if name not in ignored}
    assert other["extractors"] == mine["extractors"]
    assert theirs.model.name == "tiny"
    assert theirs.model.dtype == "float32"
    assert theirs.model.parameters == ours.model.parameters
    assert theirs.created.startswith("2026-")


def test_a_text_in_which_nothing_was_found_is_unparsed_and_a_blank_one_empty(copy: Path) -> None:
    def blank(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["doc_id"] == 1:
                line["resps"] = [[" \n"]]

    change_samples(copy, "gsm8k", blank)
    outcomes = [one.outcome for one in read(copy).tasks["gsm8k:0shot"].samples]
    assert outcomes == ["unparsed", "empty", "unparsed", "unparsed", "unparsed"]


def test_a_right_answer_is_right_and_a_readable_wrong_one_wrong(copy: Path) -> None:
    def answer(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["doc_id"] < 2 and line["filter"] == "strict-match":
                line["filtered_resps"] = ["7"]
                line["exact_match"] = float(line["doc_id"] == 0)

    change_samples(copy, "gsm8k", answer)
    change_results(copy, lambda document: document["results"]["gsm8k"].update({"exact_match,strict-match": 0.2}))
    task = read(copy).tasks["gsm8k:0shot"]
    assert [one.outcome for one in task.samples[:3]] == ["right", "wrong", "unparsed"]
    assert task.samples[1].fields["answers"] == ["7"]


# --- which files


def test_the_folder_above_and_the_file_and_the_samples_mean_the_same_run(theirs: Run) -> None:
    assert read(LOGS) == theirs
    assert read(results(LOGS / "tiny")) == theirs
    only = read(samples(LOGS / "tiny", "hellaswag"))
    assert only.tasks == {"hellaswag": theirs.tasks["hellaswag"]}


def test_the_newest_of_several_runs_is_read_and_named(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    older = "2020-01-01T00-00-00.000000"
    shutil.copy(results(copy), copy / f"results_{older}.json")
    with caplog.at_level(logging.WARNING):
        assert read(copy).environment["file"] == f"results_{DATE}.json"
    assert f"holds 2 runs; the newest is read: results_{DATE}.json" in caplog.text


def test_several_models_in_a_folder_are_not_guessed_at(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(LOGS / "tiny", tmp_path / name)
    with pytest.raises(UsageError, match="runs of 2 models"):
        read(tmp_path)


def test_a_log_without_samples_says_how_to_get_them(copy: Path) -> None:
    samples(copy, "gsm8k").unlink()
    with pytest.raises(UsageError, match=r"samples of gsm8k are missing .* no samples_gsm8k_2026") as error:
        read(copy)
    assert "--log_samples" in str(error.value.hint)


def test_other_files_are_of_no_known_kind(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"schema": "something/1"}')
    assert read_foreign(other) is None
    assert read_foreign(tmp_path) is None
    assert read_foreign(tmp_path / "notes.txt") is None


# --- tasks that evalkit does not have, or has otherwise


def test_a_task_that_evalkit_lacks_is_named_as_evalkit_runs_it(copy: Path) -> None:
    change_results(copy, lambda document: _rename(document, "arc_easy", "own_task"))
    samples(copy, "arc_easy").rename(samples(copy, "own_task"))
    run = read(copy)
    task = run.tasks["lm-eval:own_task"]
    assert list(task.metrics) == ["acc", "acc_norm"]
    assert [one.outcome for one in task.samples].count("right") == 1


def test_rows_that_evalkits_task_does_not_read_make_it_lm_evals(copy: Path) -> None:
    change_samples(copy, "arc_easy", lambda lines: [line["doc"].pop("answerKey") for line in lines] and None)
    assert "lm-eval:arc_easy" in read(copy).tasks


def test_rows_that_lm_eval_changed_make_it_lm_evals(copy: Path) -> None:
    change_results(copy, lambda document: document["configs"]["arc_easy"].update(process_docs="def process_docs ..."))
    assert "lm-eval:arc_easy" in read(copy).tasks


def test_another_number_of_shots_is_in_the_name(copy: Path) -> None:
    change_results(copy, lambda document: document["n-shot"].update(arc_easy=25))
    task = read(copy).tasks["arc_easy:25shot"]
    assert task.shots == 25
    assert task.settings["shots_sampler"] == "lm-eval"


def test_a_score_that_no_sample_has_is_taken_as_reported(copy: Path) -> None:
    def pairs(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["metrics"].append("f1")
            line["f1"] = [0, 1]

    change_samples(copy, "arc_easy", pairs)
    change_results(
        copy,
        lambda document: (
            document["results"]["arc_easy"].update({"f1,none": 0.25, "f1_stderr,none": 0.1}),
            document["configs"]["arc_easy"]["metric_list"].append({"metric": "f1", "aggregation": "f1"}),
        ),
    )
    task = read(copy).tasks["arc_easy"]
    assert task.metrics["f1"].value == 0.25
    assert task.metrics["f1"].stderr == 0.1
    assert task.metrics["f1"].ci95 is None
    assert task.samples[0].fields["f1_item"] == [0, 1]


def test_a_perplexity_is_summed_up_as_a_ratio(theirs: Run) -> None:
    task = theirs.tasks["wikitext"]
    likelihood = math.fsum(one.fields["log_likelihood"] for one in task.samples)
    words = sum(one.fields["words"] for one in task.samples)
    assert task.metrics["word_perplexity"].value == pytest.approx(math.exp(-likelihood / words), rel=1e-12)
    assert task.metrics["word_perplexity"].ci95 is not None
    assert not task.metrics["word_perplexity"].higher_is_better


# --- groups


def test_a_group_is_rebuilt_with_the_weighting_that_gives_its_value(copy: Path) -> None:
    """arc_easy: 1 of 7, hellaswag: 2 of 4."""
    run = read_with_group(copy, 3 / 11)
    assert run.groups["lm-eval:both"].weighting == "items"
    assert run.groups["lm-eval:both"].tasks == ("arc_easy", "hellaswag")
    assert run.groups["lm-eval:both"].metrics["acc"].value == pytest.approx(3 / 11)
    assert read_with_group(copy, (1 / 7 + 2 / 4) / 2).groups["lm-eval:both"].weighting == "tasks"


def test_a_group_that_is_no_mean_of_its_tasks_is_left_out(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_with_group(copy, 0.9).groups == {}
    assert "the group both is left out" in caplog.text


def read_with_group(folder: Path, value: float) -> Run:
    change_results(
        folder,
        lambda document: document.update(
            groups={"both": {"acc,none": value, "alias": "both"}}, group_subtasks={"both": ["arc_easy", "hellaswag"]}
        ),
    )
    return read(folder)


# --- damaged logs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.pop("configs"), f"results_{DATE}.json: configs is missing"),
        (lambda document: document.update(configs=[]), "configs is a list, expected an object"),
        (lambda document: document["n-shot"].update(arc_easy="0"), "n-shot.arc_easy is a string, expected a whole"),
        (lambda document: document.update(date=1e20), "date is 1e[+]20, which is no time"),
        (lambda document: document["config"].update(limit="ten"), "config.limit is a string, expected a number"),
        (
            lambda document: document["configs"]["arc_easy"].pop("output_type"),
            "configs.arc_easy.output_type is missing",
        ),
        (lambda document: document["results"].pop("gsm8k"), "results.gsm8k is missing"),
        (
            lambda document: document["results"]["arc_easy"].update({"acc,none": 0.5}),
            "the samples give acc = 0.14285714285714285, but .* says results.arc_easy.acc,none = 0.5",
        ),
        (
            lambda document: document["n-samples"]["gsm8k"].update(effective=6),
            f"samples_gsm8k_{DATE}.jsonl holds 5 documents, but .* says that 6",
        ),
    ],
)
def test_a_damaged_results_file_names_the_field(
    change: Callable[[dict[str, Any]], Any], message: str, copy: Path
) -> None:
    change_results(copy, change)
    with pytest.raises(UsageError, match=message):
        read(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1].pop("doc"), f"samples_arc_easy_{DATE}.jsonl, line 2: doc is missing"),
        (lambda lines: lines[1].update(doc_id="1"), "line 2: doc_id is a string, expected a whole number"),
        (lambda lines: lines[0].update(acc="yes"), "acc"),
        (lambda lines: lines[0].pop("acc"), "line 1: acc is missing"),
        (lambda lines: lines[0].update(acc=math.inf), "line 1: acc is inf, expected a finite number"),
        (lambda lines: lines[:-1], "holds 6 documents, but .* says that 7"),
        (lambda lines: [*lines, lines[0]], "document 0 is logged twice for the filter none"),
        (lambda lines: lines[0].update(metrics="acc"), "line 1: metrics is a string, expected a list"),
    ],
)
def test_a_damaged_samples_file_names_the_line(
    change: Callable[[list[dict[str, Any]]], Any], message: str, copy: Path
) -> None:
    change_samples(copy, "arc_easy", lambda lines: found if isinstance(found := change(lines), list) else None)
    with pytest.raises(UsageError, match=message):
        read(copy)


def test_a_cut_off_samples_file_says_where(copy: Path) -> None:
    content = samples(copy, "arc_easy").read_bytes()
    samples(copy, "arc_easy").write_bytes(content[:-40])
    with pytest.raises(UsageError, match=f"samples_arc_easy_{DATE}.jsonl, line 7: the file is not JSON"):
        read(copy)


def test_an_endless_line_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.comparing.foreign.lm_eval_samples.LONGEST_LINE", 200)
    with pytest.raises(UsageError, match="line 1 is longer than"):
        read(copy)


def test_samples_without_their_results_say_what_is_missing(copy: Path) -> None:
    results(copy).unlink()
    with pytest.raises(UsageError, match=f"there is no results_{DATE}.json"):
        read(samples(copy, "arc_easy"))


def test_documents_out_of_order_are_sorted_and_their_prompts_unknown(copy: Path, theirs: Run) -> None:
    """So lm-eval writes them when several processes evaluate."""
    change_samples(copy, "arc_easy", lambda lines: lines[::2] + lines[1::2])
    task = read(copy).tasks["arc_easy"]
    assert [one.id for one in task.samples] == [one.id for one in theirs.tasks["arc_easy"].samples]
    assert task.prompt_sha256 == ""


def test_a_run_that_was_read_can_be_saved_as_evalkits(theirs: Run, tmp_path: Path) -> None:
    theirs.save(tmp_path / "saved.json")
    assert Run.load(tmp_path / "saved.json").tasks.keys() == theirs.tasks.keys()
    assert isinstance(theirs.tasks["arc_easy"], TaskResult)


def _rename(document: dict[str, Any], name: str, new: str) -> None:
    for section in ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples"):
        document[section][new] = document[section].pop(name)


def test_a_target_that_is_no_index_of_the_right_answer_is_no_gold(copy: Path) -> None:
    """TruthfulQA's targets are labels of several right answers: `acc` does not follow from them."""
    assert read(copy).tasks["arc_easy"].samples[0].fields["gold"] == 3
    change_samples(copy, "arc_easy", lambda lines: lines[0].update(target="1"))
    assert "gold" not in read(copy).tasks["arc_easy"].samples[0].fields
