"""The end of a fine-tuning: alarms, the model's card, the numbers and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalkit.files import write_text
from evalkit.fine_tuning import FineTuning
from evalkit.sft.work import Work


def alarmed(work: Work, result: FineTuning) -> FineTuning:
    """The result with what makes it doubtful."""
    from evalkit.sft.outcome import alarms
    from evalkit.sft.training import weights_changed

    changed = None
    if result.trainings and result.trainings[0].objective != "reward":  # whose head is new
        with work.step("comparing"):
            changed = weights_changed(result.base, result.trainings[0].model, work.model_options())
    return replace(
        result,
        alarms=alarms(
            comparison=result.comparison,
            drift=result.drift,
            outputs=result.outputs,
            trainings=result.trainings,
            contamination=result.contamination,
            changed=changed,
            targets=result.targets,
        ),
    )


def finished(work: Work, result: FineTuning) -> FineTuning:
    """The result with its cost and files, written for people and programs."""
    from evalkit.reports.model_card import model_card
    from evalkit.sft.to_json import write_fine_tuning_json

    folder = work.workspace
    files = {"report": "report.html", "outcome": "sft.json", "configuration": "config.json"}
    named = {"base": "base.json", "tuned": "tuned.json", "dropped rows": "dropped.jsonl", "model": "model"}
    files |= {what: name for what, name in named.items() if folder.path(name).exists()}
    result = replace(result, cost=_cost(work, result), files=files)
    for training in result.trainings:
        write_text(
            Path(training.model.removeprefix("peft:")) / "README.md", model_card(replace(result, tuned=training.model))
        )
    write_fine_tuning_json(result, folder.path("sft.json"))
    work.progress.stage("writing the report")
    result.to_html(folder.path("report.html"))
    return result


def _cost(work: Work, result: FineTuning) -> dict[str, float]:
    """Seconds by step, of all processes that worked on it."""
    cost = work.workspace.cost()
    if result.trainings:
        cost["training"] = sum(one.seconds for one in result.trainings)
    return cost
