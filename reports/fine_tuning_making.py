"""How a fine-tuned model was made, in sections that all formats share: data, training, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.fine_tuning import FineTuning, HeldOutLoss, Training
from evalkit.reports.fine_tuning_words import method, shown_score
from evalkit.reports.plan import duration, size
from evalkit.reports.tables import Section, Table
from evalkit.reports.text import visible
from evalkit.training_data import SourceReport


def training(result: FineTuning) -> Section:
    """How the model was trained; of several trainings all in short."""
    if not result.trainings:
        return Section("training", "")
    first = result.trainings[0]
    rows = tuple(_training_facts(first))
    tables = [Table("Training", ("", "value"), rows)]
    if len(result.trainings) > 1:
        headings = ("training", "steps", "stopped", "best step", "held-out loss, base", "best", "time")
        tables.append(
            Table(
                "All trainings",
                headings,
                tuple((which(one, result), *_training_cells(one)) for one in result.trainings),
            )
        )
    return Section("training", "Training", (), tuple(tables))


def which(training: Training, result: FineTuning) -> str:
    """A training's name among several: its stage, where there is more than one, and its seed."""
    parts = [f"seed {training.seed}"]
    if len({one.stage for one in result.trainings}) > 1:
        parts.insert(0, f"stage {training.stage}")
    return ", ".join(parts)


def _training_cells(training: Training) -> tuple[str, ...]:
    before, best = base_and_best(training)
    return (
        f"{training.steps:,}",
        "early" if training.stopped == "early" else "at the end",
        f"{training.best_step:,}",
        "" if before is None else f"{before.loss:.4f}",
        "" if best is None else f"{best.loss:.4f}",
        duration(training.seconds),
    )


def base_and_best(training: Training) -> tuple[HeldOutLoss | None, HeldOutLoss | None]:
    """The held-out loss of the base and that of the weights that were kept; None where none was measured."""
    by_step = {one.step: one for one in training.held_out}
    return by_step.get(0), by_step.get(training.best_step)


def _training_facts(training: Training) -> Iterator[tuple[str, str]]:
    settings, tokens = training.settings, training.tokens
    yield "method", method(training)
    trained = training.parameters_trained / training.parameters
    yield "weights trained", f"{training.parameters_trained:,} of {training.parameters:,} ({trained:.2%})"
    stopped = "the held-out loss no longer fell" if training.stopped == "early" else "all steps done"
    yield "steps", f"{training.steps:,} of {settings.get('batch_size')} rows, {training.epochs:.2f} epochs ({stopped})"
    yield "rows", f"{tokens.rows:,} trained on, {tokens.held_out:,} held out"
    yield "tokens", f"{tokens.tokens:,} in the rows, {tokens.trained_tokens:,} of them trained on (the answers)"
    if tokens.lengths is not None:
        lengths = f"median {tokens.lengths.median:g}, 99% {tokens.lengths.p99:g}, longest {tokens.lengths.maximum:g}"
        cut = f"; {tokens.truncated:,} cut at {tokens.max_length:,}" if tokens.truncated else ""
        yield "tokens a row", f"{lengths}{cut}"
    if tokens.lost_end:
        yield "rows that lost their end of turn", f"{tokens.lost_end:,}: they teach the model not to stop"
    if tokens.without_labels:
        yield "rows without anything to train on", f"{tokens.without_labels:,}, left out"
    yield (
        "learning rate",
        f"{settings['learning_rate']:g} after a rise over {settings['warmup']:.0%} of the steps, then down a cosine",
    )
    yield "computed in", "bfloat16, weights in float32" if settings.get("bfloat16") else "float32"
    if training.losses:
        yield "training loss", f"{training.losses[0][1]:.4f} at first, {training.losses[-1][1]:.4f} at the end"
    before, best = base_and_best(training)
    if before is not None and best is not None:
        unit = "nats a token" if training.objective == "sft" else "nats a pair"
        yield (
            "held-out loss",
            f"{before.loss:.4f} before, {best.loss:.4f} at step {training.best_step:,}, whose weights were kept ({unit})",
        )
    speed = training.tokens_seen / training.seconds if training.seconds else 0.0
    yield "time", f"{duration(training.seconds)}, {training.tokens_seen:,} tokens, {speed:,.0f} a second"
    if training.peak_memory is not None:
        yield "memory at its peak", size(training.peak_memory)


def during(result: FineTuning) -> Section:
    """Evaluations of the live model."""
    small = result.trainings[0].small if result.trainings else ()
    if not small:
        return Section("during", "")
    names = list(dict.fromkeys(name for one in small for name in one.scores))
    headings = ("step", *(f"{visible(name)} (n {small[0].n.get(name, 0)})" for name in names))
    rows = tuple(
        (
            f"{one.step:,}",
            *(shown_score(result, name, one.scores[name]) if name in one.scores else "" for name in names),
        )
        for one in small
    )
    line = "the live model on a small slice of each task: a sign of life, too small for a verdict"
    return Section("during", "Scores during training", (line,), (Table("Scores by step", headings, rows),))


def data(result: FineTuning) -> Section:
    """What was read, kept and dropped."""
    report = result.data
    if report is None:
        return Section("data", "")
    lines = []
    if report.conflicts:
        lines.append(
            f"{len(report.conflicts)} {'prompt stands' if len(report.conflicts) == 1 else 'prompts stand'} with different "
            f"answers, as: {visible(report.conflicts[0])}"
        )
    if report.drawn:
        lines.append("rows drawn for an epoch: " + _counts(report.drawn))
    headings = (
        "source",
        "sha256",
        "form",
        "rows",
        "kept",
        "dropped",
        "kept, but odd",
        "languages",
        "characters, median to 99%",
    )
    table = Table("Training data", headings, tuple(map(_source_cells, report.sources)))
    return Section("data", "Training data", tuple(lines), (table,))


def _source_cells(source: SourceReport) -> tuple[str, ...]:
    lengths = source.characters
    return (
        visible(source.name),
        visible(source.sha256[:12]),
        source.format,
        f"{source.rows:,}",
        f"{source.kept:,}",
        _counts(source.dropped) or "none",
        _counts(source.flagged) or "none",
        _counts(dict(list(source.languages.items())[:4])),
        "" if lengths is None else f"{lengths.median:g} to {lengths.p99:g}",
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {visible(name)}" for name, count in counts.items())


def cost(result: FineTuning) -> Section:
    """Where the time went."""
    if not result.cost:
        return Section("cost", "")
    rows = tuple((visible(name), duration(seconds)) for name, seconds in result.cost.items())
    total = duration(sum(result.cost.values()))
    return Section("cost", "Cost", (f"{total} in all",), (Table("Time", ("step", "time"), rows),))
