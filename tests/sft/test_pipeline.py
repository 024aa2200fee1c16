"""From data to verdict, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.api import Evaluation
from evalkit.errors import EvalkitError, InterruptedRunError, OverLengthError, UsageError
from evalkit.fine_tuning import FineTuning
from evalkit.sft.pipeline import fine_tune
from evalkit.sft.request import FineTuningRequest
from evalkit.sft.spec import TrainingSpec
from tests.sft.examples import ANIMALS, SOUNDS, chat_model, pairs, sounds, write_rows

SPEC = TrainingSpec(learning_rate=1e-2, batch_size=8, max_steps=40, held_out_every=10, patience=0)

SHORT = TrainingSpec(learning_rate=1e-2, batch_size=8, max_steps=4, held_out_every=4, patience=0)

TASK = """\
task: {name}
kind: generate
data: {name}.jsonl
question: "{{{{prompt}}}}"
answer: completion
stop: ["\\n"]
max_new_tokens: 6
metrics: [exact_match]
"""

CHOICE = """\
task: choice
kind: choice
data: choice.jsonl
question: "{{question}}"
choices: "{{choices}}"
answer: "{{answer}}"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take seconds: only the test that looks at the page has it made."""
    if request.node.name != "test_one_call_from_data_to_verdict":
        monkeypatch.setattr(FineTuning, "to_html", lambda self, path: path.touch())


@pytest.fixture(scope="module")
def whole(model: str, tmp_path_factory: pytest.TempPathFactory) -> FineTuning:
    """A fine-tuning that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTuning, "to_html", lambda self, path: path.touch())
        return fine_tune(make_request(model, make_folder(tmp_path_factory.mktemp("whole"))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Training rows, the task that they teach, and another."""
    return make_folder(tmp_path)


def make_folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "train.jsonl", sounds(48))
    write_rows(tmp_path / "pairs.jsonl", pairs(48))
    for name, first in (("sounds", 100), ("more", 200)):
        rows = [
            {"prompt": f"What does the {ANIMALS[at % 8]} say, {at + first}?", "completion": SOUNDS[at % 8]}
            for at in range(24)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name))
    rows = [
        {"question": f"Which one is a colour, {at}?", "choices": ["red", "seven", "slowly"], "answer": 0}
        for at in range(20)
    ]
    (tmp_path / "choice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "choice.yaml").write_text(CHOICE)
    return tmp_path


def make_request(
    model: str, folder: Path, output: str = "out", tasks: str = "sounds,choice", **changes: Any
) -> FineTuningRequest:
    names = ",".join(f"{folder / name}.yaml" for name in tasks.split(","))
    asked = {
        "evaluation": Evaluation(model=model, tasks=names, device="cpu", offline=True),
        "output": folder / output,
        "data": (str(folder / "train.jsonl"),),
        "spec": SPEC,
        "targets": ("sounds",),
        **changes,
    }
    return FineTuningRequest(**asked)


def test_one_call_from_data_to_verdict(model: str, folder: Path) -> None:
    asked = make_request(model, folder, eval_limit=6, spec=TrainingSpec(**{**SPEC.to_json(), "eval_every": 20}))
    result = fine_tune(asked)
    assert result.comparison is not None
    sounds_change = result.comparison.tasks["sounds"].change
    assert sounds_change.after > sounds_change.before + 0.3
    assert result.verdicts()["sounds"].value == "gained"
    assert set(result.verdicts()) == {"sounds", "choice"}
    assert not [one for one in result.comparison.conditions if one.blocks]  # the same prompts in the same order
    assert [one.step for one in result.trainings[0].small] == [0, 20, 40]
    assert result.trainings[0].small[0].n == {"sounds": 6, "choice": 6}
    assert result.drift[0].text == "general text"
    assert result.drift[0].kl > 0
    assert result.outputs[0].task == "sounds"
    assert result.data is not None
    assert result.data.rows == 48
    out = folder / "out"
    assert {"base.json", "tuned.json", "report.html", "sft.json", "config.json", "model"} <= {
        one.name for one in out.iterdir()
    }
    assert "base_model:" in (out / "model/README.md").read_text()
    document = json.loads((out / "sft.json").read_text())
    assert document["verdicts"]["sounds"] == "gained"
    assert document["configuration"]["training"]["learning_rate"] == 1e-2
    assert document["configuration"]["targets"] == ["sounds"]
    assert document["exit_code"] == 0
    assert not list(out.glob(".drift*"))
    page = (out / "report.html").read_text()
    assert "Gained: sounds" in page


def settled(result: FineTuning) -> dict[str, Any]:
    """What must not depend on interruptions."""
    assert result.comparison is not None
    return {
        "scores": {
            name: (one.change.before, one.change.after, one.change.p_adjusted)
            for name, one in result.comparison.tasks.items()
        },
        "losses": result.trainings[0].losses,
        "held_out": [(one.step, one.loss) for one in result.trainings[0].held_out],
        "drift": result.drift,
        "verdicts": result.verdicts(),
        "alarms": result.alarms,
    }


@pytest.mark.parametrize("stopped_at", ["base: scoring", "training", "tuned: scoring", "comparing", "measuring drift"])
def test_cut_off_anywhere_the_same_call_continues_to_the_same_result(
    model: str, folder: Path, stopped_at: str, whole: FineTuning
) -> None:

    class Stopping:
        """Interrupts once."""

        def __init__(self) -> None:
            self.done = False

        def stage(self, text: str) -> None:
            if not self.done and text.startswith(stopped_at):
                self.done = True
                raise KeyboardInterrupt

        def moved(self, text: str) -> None:
            if not self.done and stopped_at == "training" and text.startswith("training, step 13"):
                self.done = True
                raise KeyboardInterrupt

        def note(self, text: str) -> None: ...
        def update(self, status: Any) -> None: ...
        def finish(self) -> None: ...

    with pytest.raises(InterruptedRunError):
        fine_tune(make_request(model, folder, "cut"), Stopping())
    assert settled(fine_tune(make_request(model, folder, "cut", resume=True))) == settled(whole)
    assert settled(fine_tune(make_request(model, folder, "cut"))) == settled(whole)  # done already


def test_another_setting_in_the_folder_is_refused_until_fresh(model: str, folder: Path) -> None:
    fine_tune(make_request(model, folder))
    changed = TrainingSpec(**{**SPEC.to_json(), "max_steps": 4})
    with pytest.raises(UsageError, match=r"training.max_steps 40 -> 4"):
        fine_tune(make_request(model, folder, spec=changed))
    assert fine_tune(make_request(model, folder, spec=changed, fresh=True)).trainings[0].steps == 4
    write_rows(folder / "train.jsonl", sounds(40))
    with pytest.raises(UsageError, match="changed since"):
        fine_tune(make_request(model, folder, spec=changed))


def test_nothing_to_resume_is_said(model: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="holds no fine-tuning to continue"):
        fine_tune(make_request(model, folder, resume=True))


def test_two_models_are_compared_without_training(model: str, folder: Path) -> None:
    trained = fine_tune(make_request(model, folder))
    result = fine_tune(make_request(model, folder, "compared", data=(), tuned=trained.tuned))
    assert result.trainings == ()
    assert result.data is None
    assert result.comparison is not None
    assert trained.comparison is not None
    assert result.comparison.tasks["sounds"].change == trained.comparison.tasks["sounds"].change
    assert result.drift == trained.drift


def test_data_of_a_tuned_model_are_searched_for_the_test(model: str, folder: Path) -> None:
    """Nothing is trained, and the rows that the model was trained on elsewhere are looked at all the same."""
    rows = [json.loads(line) for line in (folder / "sounds.jsonl").read_text().splitlines()]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = fine_tune(make_request(model, folder, tuned=model, contamination="flag-eval"))
    assert result.trainings == ()
    assert result.contamination is not None
    assert result.contamination.found == 24
    assert any("items of sounds were trained on" in alarm for alarm in result.alarms)


def test_a_model_against_itself_raises_the_alarm(model: str, folder: Path) -> None:
    result = fine_tune(make_request(model, folder, data=(), tuned=model))
    assert any("behaves as the base model does" in alarm for alarm in result.alarms)


def test_training_that_changes_nothing_raises_the_alarm(model: str, folder: Path) -> None:
    spec = TrainingSpec(**{**SPEC.to_json(), "learning_rate": 0.0, "max_steps": 2})
    result = fine_tune(make_request(model, folder, spec=spec))
    assert result.alarms[0] == "training changed no weight: the tuned model is the base model"


def test_rows_that_hold_the_test_are_left_out_and_said(model: str, folder: Path) -> None:
    asked = [json.loads(line) for line in (folder / "sounds.jsonl").read_text().splitlines()]
    rows = (folder / "train.jsonl").read_text() + "".join(json.dumps(row) + "\n" for row in asked[:3])
    (folder / "train.jsonl").write_text(rows)
    result = fine_tune(make_request(model, folder))
    assert result.contamination is not None
    assert result.contamination.rows_found >= 3
    assert result.clean is not None
    dropped = [json.loads(line) for line in (folder / "out/dropped.jsonl").read_text().splitlines()]
    assert {row["index"] for row in dropped if row["reason"] == "contaminated"} >= {48, 49, 50}
    assert result.data is not None
    assert result.data.sources[0].dropped["contaminated"] == len(dropped)


def test_seeds_have_a_spread(model: str, folder: Path) -> None:
    result = fine_tune(make_request(model, folder, train_seeds=(0, 1)))
    spread = {one.task: one for one in result.seeds}
    assert set(spread["sounds"].after) == {0, 1}
    assert result.comparison is not None
    assert spread["sounds"].after[0] == result.comparison.tasks["sounds"].change.after
    assert (folder / "out/seed-1/tuned.json").exists()
    assert not any("one training seed" in note for note in result.notes)


def test_stages_have_a_matrix(model: str, folder: Path) -> None:
    write_rows(folder / "second.jsonl", sounds(40, first=300))
    data = (str(folder / "train.jsonl"), str(folder / "second.jsonl"))
    result = fine_tune(make_request(model, folder, tasks="sounds,more,choice", data=data, targets=("sounds", "more")))
    matrix = result.stages
    assert matrix is not None
    assert matrix.tasks == ("sounds", "more", "choice")
    assert len(matrix.scores) == 2
    assert matrix.accuracy == pytest.approx(sum(matrix.scores[1][:2]) / 2)
    assert matrix.backward_transfer == pytest.approx(matrix.scores[1][0] - matrix.scores[0][0])
    assert matrix.forward_transfer == pytest.approx(matrix.scores[0][1] - matrix.base[1])
    assert result.trainings[0].stage == 2
    assert result.tuned == f"peft:{folder / 'out/model'}"


def test_a_mix_and_replay_draw_rows(model: str, folder: Path) -> None:
    write_rows(folder / "other.jsonl", sounds(30, first=300))
    mix = {str(folder / "train.jsonl"): 1.0, str(folder / "other.jsonl"): 1.0}
    mixed = fine_tune(make_request(model, folder, "mixed", data=(), mix=mix))
    assert mixed.data is not None
    assert len(set(mixed.data.drawn.values())) == 1
    general = (str(folder / "other.jsonl"), 0.25)
    replayed = fine_tune(make_request(model, folder, "replayed", replay=general))
    assert replayed.data is not None
    drawn = replayed.data.drawn[str(folder / "other.jsonl")]
    assert drawn / (drawn + 39) == pytest.approx(0.25, abs=0.01)


def test_preference_pairs_are_dpo(model: str, folder: Path) -> None:
    spec = TrainingSpec(**{**SPEC.to_json(), "learning_rate": 1e-3, "max_steps": 8})
    result = fine_tune(make_request(model, folder, data=(str(folder / "pairs.jsonl"),), spec=spec))
    assert result.trainings[0].objective == "dpo"
    assert result.trainings[0].pairs_after is not None
    assert result.comparison is not None


def test_a_reward_model_has_pairs_and_no_tasks(model: str, folder: Path) -> None:
    result = fine_tune(make_request(model, folder, data=(str(folder / "pairs.jsonl"),), method="reward", targets=()))
    assert result.comparison is None
    assert result.trainings[0].pairs_after is not None
    assert "puts the chosen answer first" in (folder / "out/model/README.md").read_text()
    assert not (folder / "out/base.json").exists()
    assert result.notes == ("a reward model answers no task: none was evaluated",)


def test_retrieval_stands_beside_training(model: str, folder: Path) -> None:
    passages = [{"text": f"The {animal} says {sound}."} for animal, sound in zip(ANIMALS, SOUNDS, strict=True)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages))
    result = fine_tune(make_request(model, folder, tasks="sounds", retrieve=str(folder / "corpus.jsonl"), passages=2))
    table = result.retrieval
    assert table is not None
    assert (table.documents, table.passages) == (8, 2)
    assert result.comparison is not None
    plain = result.comparison.tasks["sounds"].change
    assert table.with_base.tasks["sounds"].change.before == plain.before
    assert table.on_tuned.tasks["sounds"].change.before == plain.after
    assert table.with_tuned.tasks["sounds"].change.after == table.on_tuned.tasks["sounds"].change.after
    with pytest.raises(EvalkitError, match="there is no file"):
        fine_tune(make_request(model, folder, "other", retrieve="absent.jsonl"))


@pytest.mark.parametrize("trained", [True, False])
def test_another_corpus_does_not_continue_a_fine_tuning(model: str, folder: Path, trained: bool) -> None:
    corpus = folder / "corpus.jsonl"
    corpus.write_text('{"text": "The cow says moo."}\n')
    what = {"spec": SHORT} if trained else {"tuned": model, "data": ()}
    asked = make_request(model, folder, tasks="sounds", retrieve=str(corpus), **what)
    fine_tune(asked)
    fine_tune(asked)  # the same one does
    corpus.write_text('{"text": "The cow says woof."}\n')
    with pytest.raises(UsageError, match=r"--retrieve .*corpus.jsonl changed since"):
        fine_tune(asked)


def test_passages_too_long_are_told_before_training(model: str, folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(json.dumps({"text": "What does the cow say? " * 400}) + "\n")
    with pytest.raises(OverLengthError) as told:
        fine_tune(make_request(model, folder, tasks="sounds", retrieve=str(folder / "corpus.jsonl")))
    assert "--passages" in str(told.value.hint)
    assert not (folder / "out/model").exists()


@pytest.mark.parametrize(
    ("gain", "forget", "code"), [(("sounds:10pt",), (), 0), (("sounds:99pt",), (), 1), ((), ("choice:1pt",), 3)]
)
def test_what_was_asked_decides_the_exit_code(
    model: str, folder: Path, gain: tuple[str, ...], forget: tuple[str, ...], code: int
) -> None:
    result = fine_tune(make_request(model, folder, require_gain=gain, max_forget=forget))
    assert result.exit_code == code, result.gate.headline() if result.gate else ""


SLIPS: list[tuple[dict[str, Any], str]] = [
    ({"data": ()}, "nothing to train on"),
    ({"data": ("missing.jsonl",)}, "there is no file missing.jsonl"),
    ({"targets": ("unknown",)}, "the target unknown is none of the tasks"),
    ({"train_seeds": (0, 0)}, "a training seed is given twice"),
    ({"train_seeds": ()}, "no training seed"),
    ({"resume": True, "fresh": True}, "--resume continues and --fresh starts anew"),
    ({"tuned": "other", "train_seeds": (0, 1)}, "--tuned trains nothing"),
    ({"method": "dpo"}, "no preference pairs"),
    ({"require_gain": ("unknown:3pt",)}, "unknown is none of the tasks"),
    ({"require_gain": ("lots",)}, "is no amount"),
]


@pytest.mark.parametrize(("changes", "message"), SLIPS)
def test_slips_are_told(model: str, folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        fine_tune(make_request(model, folder, **changes))


@pytest.mark.parametrize("served", ["openai:model@http://127.0.0.1:9/v1", "vllm:model"])
def test_served_models_are_not_trained(folder: Path, served: str) -> None:
    with pytest.raises(UsageError, match="not a model that is loaded in this process"):
        fine_tune(make_request(served, folder))


def test_a_folder_of_something_else_is_left_alone(model: str, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(UsageError, match=r"holds files of something else: thesis\.tex"):
            fine_tune(make_request(model, folder, fresh=fresh))
    assert (folder / "out/thesis.tex").read_text() == "years of work"
