"""Logs that Inspect made with its mock model, read. `make_inspect_logs.py` says how."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.foreign import read_foreign
from evalkit.comparing.foreign.building import agrees
from evalkit.errors import UsageError
from evalkit.results import Run

LOGS = Path(__file__).parent / "inspect"


def read(path: Path) -> Run:
    found = read_foreign(path)
    assert found is not None
    run, origin = found
    assert origin == "inspect"
    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return Path(shutil.copy(LOGS / "numbers.eval", tmp_path / "numbers.eval"))


def change(path: Path, edit: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> None:
    """Rewrites the archive; members for which `edit` gives None are left out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            changed = edit(name, content)
            if changed is not None:
                archive.writestr(name, json.dumps(changed))


def edit_header(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    def one(name: str, content: dict[str, Any]) -> dict[str, Any]:
        if name == "header.json":
            edit(content)
        return content

    change(path, one)


def edit_samples(path: Path, edit: Callable[[dict[str, Any]], Any], sample: object = None) -> None:
    def one(name: str, content: dict[str, Any]) -> dict[str, Any]:
        if name.startswith("samples/") and sample in (None, content["id"]):
            edit(content)
        return content

    change(path, one)


# --- what Inspect says


def test_scores_are_those_that_inspect_reports() -> None:
    """Inspect printed accuracy 0.5 +- 0.158 and mean 4.3 of `numbers`, and 0.5 +- 0.224 of `letters`."""
    numbers = read(LOGS / "numbers.eval").tasks["numbers"]
    assert {name: value.value for name, value in numbers.metrics.items()} == pytest.approx(
        {"match": 0.5, "length": 4.3}
    )
    assert numbers.metrics["match"].stderr == pytest.approx(0.15811388300841897, rel=1e-9)
    letters = read(LOGS / "letters.eval").tasks["letters"]
    assert letters.metrics["choice"].value == 0.5
    assert letters.metrics["choice"].stderr == pytest.approx(0.22360679774997896, rel=1e-9)


def test_a_sample_is_the_mean_over_its_epochs() -> None:
    task = read(LOGS / "numbers.eval").tasks["numbers"]
    values = {one.fields["sample_id"]: dict(one.metrics) for one in task.samples}
    assert values["1"] == {"match": 0.5, "length": 1.0}
    assert values["3"] == {"match": 0.0, "length": 5.5}
    assert values["6"] == {}
    assert task.n == 6
    assert task.settings["epochs"] == 2


def test_outcomes_tell_errors_and_unreadable_answers_from_wrong_ones() -> None:
    numbers, letters = (read(LOGS / f"{name}.eval").tasks[name] for name in ("numbers", "letters"))
    assert [one.outcome for one in numbers.samples] == ["mixed", "mixed", "unparsed", "right", "mixed", "errored"]
    assert numbers.outcomes == {"mixed": 3, "unparsed": 1, "right": 1, "errored": 1}
    # "I cannot say" is the third answer
    assert [one.outcome for one in letters.samples] == ["right", "wrong", "unparsed", "right", "wrong", "right"]


def test_what_the_run_was_is_kept() -> None:
    run = read(LOGS / "numbers.eval")
    assert run.model.name == "mockllm/model"
    assert run.environment["inspect_ai"].startswith("0.3.")
    assert run.tasks["numbers"].settings["solvers"][0] == {"name": "fail_on", "params": {"word": "minutes"}}
    assert run.tasks["numbers"].settings["extractors"] == {"match": '{"numeric": true}', "length": "{}"}
    assert run.tasks["numbers"].dataset.id == "numbers"


def test_samples_pair_whatever_their_order_and_answers(log: Path) -> None:
    before = read(log)
    edit_samples(log, lambda sample: sample["output"].update(completion="another"))
    edit_header(log, lambda header: header["eval"]["dataset"].update(sample_ids=[6, 5, 4, 3, 2, 1]))
    after = read(log)
    ids = [[one.id for one in run.tasks["numbers"].samples] for run in (before, after)]
    assert ids[0] == ids[1][::-1]
    assert len(set(ids[0])) == 6


def test_another_input_is_another_document(log: Path) -> None:
    before = read(log).tasks["numbers"]
    edit_samples(log, lambda sample: sample.update(input="How many?"), sample=2)
    after = read(log).tasks["numbers"]
    assert [one.id == two.id for one, two in zip(before.samples, after.samples, strict=True)].count(False) == 1


def test_ids_of_messages_do_not_count(log: Path) -> None:
    def ask(identity: str) -> Callable[[dict[str, Any]], Any]:
        return lambda sample: sample.update(
            input=[{"id": f"{identity}{sample['epoch']}", "role": "user", "content": "?"}]
        )

    edit_samples(log, ask("one"))
    before = read(log)
    edit_samples(log, ask("two"))
    assert [one.id for one in read(log).tasks["numbers"].samples] == [one.id for one in before.tasks["numbers"].samples]


def test_a_changed_prompt_changes_the_hash(log: Path) -> None:
    before = read(log).tasks["numbers"].prompt_sha256
    edit_samples(log, lambda sample: sample["messages"][0].update(content="Think. How many?"), sample=3)
    assert read(log).tasks["numbers"].prompt_sha256 != before


@pytest.mark.parametrize(
    ("edit", "outcome"),
    [
        (lambda sample: sample["output"]["choices"][0].update(stop_reason="max_tokens"), "truncated"),
        (lambda sample: sample["output"]["choices"][0].update(stop_reason="content_filter"), "refused"),
        (lambda sample: sample.update(limit={"type": "time", "limit": 3}), "truncated"),
        (lambda sample: sample["output"].update(completion=" "), "empty"),
        (lambda sample: sample["scores"]["match"].update(answer=None), "unparsed"),
        (lambda sample: sample["scores"]["match"].update(value="N", answer="x"), "unparsed"),
        (lambda sample: sample["scores"]["match"].update(reason="refusal"), "refused"),
        (lambda sample: sample["scores"]["match"].update(answer="70"), "wrong"),
    ],
)
def test_why_an_answer_is_not_right(edit: Callable[[dict[str, Any]], Any], outcome: str, log: Path) -> None:
    edit_samples(log, edit, sample=3)
    assert read(log).tasks["numbers"].samples[2].outcome == outcome


@pytest.mark.parametrize(("value", "number"), [("P", 0.5), (True, 1.0), ("no", 0.0), ("0.25", 0.25), (3, 3.0)])
def test_values_are_numbers_as_inspect_has_them(value: object, number: float, log: Path) -> None:
    edit_samples(log, lambda sample: sample["scores"]["match"].update(value=value), sample=3)
    edit_header(log, lambda header: header["results"].update(scores=[]))
    assert read(log).tasks["numbers"].samples[2].metrics["match"] == number


def test_a_sample_that_a_scorer_did_not_score_has_no_value(log: Path) -> None:
    """Inspect's mark for it is NaN."""
    edit_samples(log, lambda sample: sample["scores"]["length"].update(value=float("nan")), sample=3)
    edit_header(log, lambda header: header["results"]["scores"].pop())
    task = read(log).tasks["numbers"]
    assert task.samples[2].metrics == {"match": 0.0}
    assert task.metrics["length"].value == pytest.approx((1 + 5 + 2 + 8) / 4)


def test_a_scorer_of_texts_is_left_out(log: Path) -> None:
    edit_samples(log, lambda sample: sample["scores"]["length"].update(value="long"), sample=3)
    assert list(read(log).tasks["numbers"].metrics) == ["match"]


def test_a_scorer_of_several_values_gives_a_metric_each(log: Path) -> None:
    edit_samples(log, lambda sample: sample["scores"] and sample["scores"]["length"].update(value={"a": 1, "b": 0}))
    edit_header(log, lambda header: header["results"]["scores"].pop())
    assert list(read(log).tasks["numbers"].metrics) == ["match", "length/a", "length/b"]


def test_another_reducer_than_the_mean_is_not_held_against_the_samples(log: Path) -> None:
    def reduce(header: dict[str, Any]) -> None:
        header["eval"]["config"]["epochs_reducer"] = ["max"]
        header["results"]["scores"][0]["metrics"]["accuracy"]["value"] = 0.8

    edit_header(log, reduce)
    assert read(log).tasks["numbers"].metrics["match"].value == 0.5


# --- a folder, and the JSON form


def test_a_folder_of_different_tasks_is_one_run() -> None:
    assert list(read(LOGS).tasks) == ["letters", "numbers"]


def test_a_folder_of_the_same_task_twice_is_not_guessed_at(log: Path) -> None:
    shutil.copy(log, log.with_name("again.eval"))
    with pytest.raises(UsageError, match=r"holds 2 logs, of several runs: again.eval, numbers.eval"):
        read(log.parent)


def test_the_json_form_reads_the_same(log: Path) -> None:
    with zipfile.ZipFile(log) as archive:
        document = json.loads(archive.read("header.json"))
        names = [name for name in archive.namelist() if name.startswith("samples/")]
        document["samples"] = [json.loads(archive.read(name)) for name in names]
    other = log.with_suffix(".json")
    other.write_text(json.dumps(document))
    assert read(other).tasks == read(log).tasks


# --- damaged logs


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda header: header.update(status="error"), r"numbers.eval .* did not finish \(status error\)"),
        (lambda header: header.pop("status"), "numbers.eval, header.json: status is missing"),
        (lambda header: header["eval"].update(model=3), "header.json: eval.model is a whole number, expected a string"),
        (lambda header: header["eval"].update(dataset=None), "eval.dataset is null, expected an object"),
        (lambda header: header["results"].update(total_samples=14), r"holds 12 samples, but .* 14 were"),
        (lambda header: header.update(results=None), "results is null, expected an object"),
        (
            lambda header: header["results"]["scores"][0]["metrics"]["accuracy"].update(value=0.7),
            r"results.scores\[0\].metrics.accuracy.value is 0.7, but the samples give 0.5",
        ),
    ],
)
def test_a_damaged_header_names_the_field(edit: Callable[[dict[str, Any]], Any], message: str, log: Path) -> None:
    edit_header(log, edit)
    with pytest.raises(UsageError, match=message):
        read(log)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda sample: sample.pop("input"), r"samples/3_epoch_1.json: input is missing"),
        (lambda sample: sample.update(epoch="1"), "epoch is a string, expected a whole number"),
        (lambda sample: sample.update(scores=[1]), "scores is a list, expected an object"),
        (lambda sample: sample["scores"]["match"].pop("value"), "scores.match.value is missing"),
        (lambda sample: sample.update(id=None), "id is neither a string nor a whole number"),
        (lambda sample: sample.update(epoch=1), "holds sample 3, epoch 1, twice"),
        (lambda sample: sample.update(input=f"epoch {sample['epoch']}"), "epochs of sample 3 have different inputs"),
    ],
)
def test_a_damaged_sample_names_the_field(edit: Callable[[dict[str, Any]], Any], message: str, log: Path) -> None:
    edit_samples(log, edit, sample=3)
    with pytest.raises(UsageError, match=message):
        read(log)


def test_a_log_without_samples_says_how_to_get_them(log: Path) -> None:
    change(log, lambda name, content: content if name == "header.json" else None)
    with pytest.raises(UsageError, match=r"numbers.eval holds no samples") as error:
        read(log)
    assert "--no-log-samples" in str(error.value.hint)


def test_a_log_that_broke_off_is_no_result(log: Path) -> None:
    change(log, lambda name, content: content if name != "header.json" else None)
    with pytest.raises(UsageError, match="holds no header"):
        read(log)


def test_scores_that_differ_by_rounding_agree() -> None:
    assert agrees(0.1 + 0.2, 0.3)
    assert not agrees(0.3, 0.3001)


def test_what_the_model_answers_is_no_part_of_the_prompt(log: Path) -> None:
    before = read(log).tasks["numbers"].prompt_sha256
    edit_samples(log, lambda sample: sample["messages"][-1].update(content="another"), sample=3)
    assert read(log).tasks["numbers"].prompt_sha256 == before


def test_the_headline_is_the_main_metric(log: Path) -> None:
    edit_header(log, lambda header: header["results"]["headline"].update(scorer="length"))
    assert list(read(log).tasks["numbers"].metrics) == ["length", "match"]
