"""A run that asks its documents in parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest

import evalkit
from evalkit import DataSource, Group, MockModel, MultipleChoice, Task
from evalkit.errors import OutputError, UsageError
from evalkit.results import Run, Sample, read_samples, samples_path
from evalkit.runner.looks import Offer, evaluate_in_looks
from evalkit.task import Row


def quiz(name: str, n: int) -> Task:
    def document(row: Row) -> MultipleChoice:
        return MultipleChoice(row["question"], ["yes", "no"], 0)

    rows = [{"question": f"{name} {place}"} for place in range(n)]
    return Task(name=name, data=DataSource(id=f"tests/{name}", rows=rows), document=document, metrics=("acc",))


TASKS: list[Task | Group] = [
    quiz("first", 12),
    quiz("second", 8),
    Group(name="both", members=("first", "second"), metrics="acc"),
]


class Scripted:
    """Asks for the documents at given places, look by look."""

    def __init__(self, *looks: Mapping[str, Sequence[int]]) -> None:
        self.looks = list(looks)
        self.offers: dict[str, Offer] = {}
        self.answered: list[dict[str, list[str]]] = []

    def described(self) -> Mapping[str, object]:
        return {"sequential": {"seed": 3}}

    def begin(self, offers: Mapping[str, Offer]) -> None:
        self.offers = dict(offers)

    def choose(self, answered: Mapping[str, Sequence[Sample]]) -> Mapping[str, Collection[str]]:
        self.answered.append({task: [sample.id for sample in samples] for task, samples in answered.items()})
        if not self.looks:
            return {}
        return {task: self.ids(task, places) for task, places in self.looks.pop(0).items()}

    def ids(self, task: str, places: Sequence[int]) -> list[str]:
        return [self.offers[task].items[place].id for place in places]


def evaluate(chooser: Scripted, model: MockModel | None = None, output: Path | None = None) -> Run:
    evaluation = evalkit.Evaluation(model=model or MockModel(), tasks=TASKS)
    selection, load_backend, data, settings = evaluation.parts()
    return evaluate_in_looks(selection, load_backend, data, settings, chooser, output=output)


def test_only_what_is_chosen_is_asked_and_stands_in_the_result(tmp_path: Path) -> None:
    model, chooser = MockModel(), Scripted({"first": [5, 2]}, {"first": [2, 9], "second": [1]})
    run = evaluate(chooser, model, tmp_path / "r.json")
    assert model.requests_answered == 2 * 4
    assert [sample.index for sample in run.tasks["first"].samples] == [2, 5, 9]
    assert [sample.index for sample in run.tasks["second"].samples] == [1]
    first, second = (
        chooser.ids("first", [2, 5]),
        {"first": chooser.ids("first", [9]), "second": chooser.ids("second", [1])},
    )
    assert chooser.answered == [{}, {"first": first}, second]
    assert run.settings["sequential"] == {"seed": 3}
    assert Run.load(tmp_path / "r.json") == run
    assert len(list(read_samples(samples_path(tmp_path / "r.json")))) == 8
    assert not list(tmp_path.glob("*.journal"))


def test_everything_in_looks_is_the_whole_run() -> None:
    run = evaluate(Scripted({"first": range(7)}, {"first": range(7, 12), "second": range(8)}))
    whole = evalkit.run(model=MockModel(), tasks=TASKS)
    assert (run.tasks, run.groups) == (whole.tasks, whole.groups)
    assert run.settings == whole.settings


def test_tasks_that_were_asked_nothing_are_left_out() -> None:
    run = evaluate(Scripted({"second": [0, 1, 2]}))
    assert list(run.tasks) == ["second"]
    assert run.groups["both"].tasks == ("second",)
    assert run.groups["both"].metrics["acc"].value == run.tasks["second"].metrics["acc"].value


def test_the_offer_is_what_a_whole_run_records() -> None:
    chooser = Scripted({"first": [0]})
    evaluate(chooser)
    whole = evalkit.run(model=MockModel(), tasks=TASKS)
    for name, task in whole.tasks.items():
        offer = chooser.offers[name]
        assert [item.id for item in offer.items] == [sample.id for sample in task.samples]
        assert (offer.prompt_sha256, offer.version, offer.shots) == (task.prompt_sha256, task.version, task.shots)


def test_a_repeated_choice_ends_the_run() -> None:
    model = MockModel()
    evaluate(Scripted({"first": [1]}, {"first": [1]}, {"first": [2]}), model)
    assert model.requests_answered == 2


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no document was chosen"):
        evaluate(Scripted())
    model = MockModel()
    with pytest.raises(UsageError, match=r"does not end in \.json"):
        evaluate(Scripted({"first": [0]}), model, tmp_path / "r.txt")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        evaluate(Scripted({"first": [0]}), model, tmp_path / "folder.json")
    assert model.requests_answered == 0
