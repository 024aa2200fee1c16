"""The card of a fine-tuned model: README.md in the form that model hubs read, with its data and what it did."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from evalkit.fine_tuning import FineTuning, Training
from evalkit.reports.fine_tuning_sections import change_table, sections
from evalkit.reports.fine_tuning_words import gate_reasons, headline, method
from evalkit.reports.markdown import escape
from evalkit.reports.tables import Table
from evalkit.reports.text import visible

SHOWN = ("clean", "contamination", "pairs", "seeds", "stages", "drift", "outputs", "training", "data")
"""Sections that stand on the card too."""


def model_card(result: FineTuning) -> str:
    """The card, as Markdown with a YAML head.

    Args:
        result: What was done; its `tuned` is the model that the card is of.
    """
    training = _of(result)
    return "\n".join([*_head(result, training), "", *_body(result, training)]) + "\n"


def _of(result: FineTuning) -> Training | None:
    return next((one for one in result.trainings if one.model == result.tuned), None)


def _head(result: FineTuning, training: Training | None) -> Iterator[str]:
    """YAML: what hubs sort and link models by. A JSON text is YAML too, so that no name can break out of its place."""
    is_adapter = result.tuned.startswith("peft:")
    objective = training.objective if training is not None else "sft"
    tag = {"sft": "sft", "dpo": "dpo", "reward": "reward-trainer"}[objective]
    yield "---"
    yield f"base_model: {json.dumps(visible(result.base), ensure_ascii=False)}"
    yield f"base_model_relation: {'adapter' if is_adapter else 'finetune'}"
    yield f"library_name: {'peft' if is_adapter else 'transformers'}"
    yield f"pipeline_tag: {'text-classification' if objective == 'reward' else 'text-generation'}"
    yield f"tags: {json.dumps(['evalkit', 'trl', tag, *(['lora'] if is_adapter else [])])}"
    yield "---"


def _body(result: FineTuning, training: Training | None) -> Iterator[str]:
    yield f"# {escape(visible(result.base))}, fine-tuned"
    yield ""
    yield f"**{escape(headline(result))}.**"
    if training is not None:
        yield ""
        yield f"{escape(visible(result.base))} after {method(training)}, stage {training.stage}, seed {training.seed}."
    if training is not None and training is not result.trainings[0]:
        yield ""
        yield "The verdicts on this card are of another of the trainings made together: the last stage with the first seed."
    for alarm in result.alarms:
        yield ""
        yield f"> **Alarm:** {escape(visible(alarm))}"
    if result.gate is not None:
        yield from ("", f"Gate: {escape(visible(result.gate.headline()))}")
        yield from ("", *(f"- {escape(reason)}" for reason in gate_reasons(result)))
    yield from ("", "## Use", "", *_use(result, training))
    if result.comparison is not None:
        yield from ("", "## Before and after", "", *_table(change_table("", result.comparison, result.targets)))
        yield from _notes(result)
    for section in sections(result):
        if section.key in SHOWN:
            yield from ("", f"## {section.heading}")
            for line in section.lines:
                yield from ("", escape(line))
            for table in section.tables:
                yield from ("", *_table(table))
    yield from ("", "## Do it again", "")
    if result.command:
        yield from ("```sh", visible(result.command), "```", "")
    versions = result.configuration.get("versions", {})
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    made = f"evalkit {result.evalkit_version}{f', {told}' if told else ''}"
    yield f"{made}; every setting stands in config.json beside the results."


def _use(result: FineTuning, training: Training | None) -> Iterator[str]:
    place = result.tuned.removeprefix("peft:")
    where = json.dumps(visible(place), ensure_ascii=False)
    if training is None or training.objective != "reward":
        yield from ("```sh", f"evalkit run --model {shlex.quote(visible(result.tuned))} --tasks arc_easy", "```")
    if result.tuned.startswith("peft:"):
        if result.base == "smollm2" or result.base.endswith(".gguf"):
            return  # transformers knows no such name, and evalkit does
        yield from (
            *(
                "",
                "```python",
                "from peft import AutoPeftModelForCausalLM",
                "from transformers import AutoTokenizer",
                "",
            ),
            f"model = AutoPeftModelForCausalLM.from_pretrained({where})",
            f"tokenizer = AutoTokenizer.from_pretrained({where})",
            "```",
        )
        return
    kind = "SequenceClassification" if training is not None and training.objective == "reward" else "CausalLM"
    yield from (
        *("", "```python", f"from transformers import AutoModelFor{kind}, AutoTokenizer", ""),
        f"model = AutoModelFor{kind}.from_pretrained({where})",
        f"tokenizer = AutoTokenizer.from_pretrained({where})",
        "```",
    )


def _notes(result: FineTuning) -> Iterator[str]:
    for note in result.notes:
        yield from ("", f"Note: {escape(visible(note))}")


def _table(table: Table) -> Iterator[str]:
    headings = [heading or " " for heading in table.headings]
    yield f"| {' | '.join(map(escape, headings))} |"
    yield f"|{'---|' * len(headings)}"
    for row in table.rows:
        yield f"| {' | '.join(escape(cell) for cell in row)} |"
