"""Results of fine-tunings for the reports, with everything that one can have, or with little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.fine_tuning import (
    Drift,
    FineTuning,
    HeldOutLoss,
    OutputChange,
    PairAccuracy,
    RetrievalTable,
    SeedSpread,
    SmallEvaluation,
    StageMatrix,
    Training,
)
from evalkit.sft.gate import policy
from evalkit.training_data import (
    Contamination,
    DataReport,
    Overlap,
    Quantiles,
    SourceReport,
    TaskContamination,
    TokenReport,
)
from tests.reports.comparison_examples import HOSTILE, example_comparison

LENGTHS = Quantiles(5, 20, 40, 60, 200, 300)


def training(**changes: Any) -> Training:
    """A LoRA training of 60 steps, stopped early, step 40's weights kept."""
    made = Training(
        seed=0,
        stage=1,
        data=("train.jsonl",),
        model="peft:out/model",
        objective="sft",
        parameters=135_000_000,
        parameters_trained=4_900_000,
        steps=60,
        epochs=1.5,
        stopped="early",
        best_step=40,
        tokens=TokenReport(300, 20, 24_000, 9_000, LENGTHS, 128, 3, 3, 1),
        tokens_seen=36_000,
        seconds=120.0,
        peak_memory=2**31,
        settings={"lora_rank": 16, "batch_size": 8, "learning_rate": 5e-4, "warmup": 0.03, "bfloat16": False},
        losses=tuple((step, 2.0 / step) for step in range(1, 61)),
        held_out=(
            HeldOutLoss(0, 1.9, 500),
            HeldOutLoss(20, 0.8, 500),
            HeldOutLoss(40, 0.4, 500),
            HeldOutLoss(60, 0.5, 500),
        ),
        small=(
            SmallEvaluation(0, {"exam": 0.2, "biology": 0.3}, {"exam": 40, "biology": 40}),
            SmallEvaluation(60, {"exam": 0.6, "biology": 0.3}, {"exam": 40, "biology": 40}),
        ),
    )
    return replace(made, **changes)


def source(name: str = "train.jsonl") -> SourceReport:
    return SourceReport(
        name=name,
        format="prompt-completion",
        sha256="a" * 64,
        rows=340,
        kept=320,
        dropped={"duplicate": 15, "contaminated": 5},
        flagged={"conflicting": 2},
        languages={"en": 300, "zh": 20},
        characters=LENGTHS,
        answer_characters=LENGTHS,
        turns={2: 320},
    )


def everything(folder: Path, hostile: str = HOSTILE) -> FineTuning:
    """All that a fine-tuning can have, hostile texts among it."""
    found = example_comparison(folder, hostile=hostile)
    target = found.roots[0]
    overlap = Overlap("0123456789abcdef", "question+answer", 0.8, f"seven words {hostile}", (("train.jsonl", 7),))
    return FineTuning(
        created="2026-11-26T12:00:00+00:00",
        evalkit_version="0.1.0",
        base="org/base",
        tuned="peft:out/model",
        command=f"evalkit sft --model org/base {hostile}",
        configuration={"model": "org/base", "note": hostile, "versions": {"torch": "2.13.0"}},
        targets=(target,),
        data=DataReport((source(), source(hostile)), "dropped.jsonl", (f"2 + 2? {hostile}",), {"train.jsonl": 300}),
        contamination=Contamination(
            "drop-train", 340, 5, (TaskContamination(target, 40, 13, (overlap,), 1, 2, 0),), 0.2
        ),
        trainings=(training(), training(seed=1, model="peft:out/seed-1/model")),
        comparison=found,
        clean=found,
        drift=(
            Drift("general text", "b" * 64, 1188, 3.3, 3.5, 0.25, 0.7),
            Drift("the tasks", "c" * 64, 900, 2.0, 1.9, 0.5, 0.6),
        ),
        outputs=(OutputChange(target, 40, 12, 48, 1, 6),),
        seeds=(SeedSpread(target, "acc", 0.25, {0: 0.5, 1: 0.75}, 9, 40),),
        stages=StageMatrix(
            ("a.jsonl", "b.jsonl"),
            ("one", "two"),
            ("one", "two"),
            ("acc", "acc"),
            (0.4, 0.3),
            ((0.8, 0.3), (0.7, 0.85)),
            0.775,
            -0.1,
            0.0,
            0.1,
        ),
        retrieval=RetrievalTable("corpus.jsonl", "d" * 64, 1200, 3, found, found, found),
        gate=_gate(folder, target),
        alarms=(f"general text has become harder to predict {hostile}",),
        notes=("one training seed",),
        cost={"base": 20.0, "training": 120.0},
        files={"report": "report.html", "model": "model"},
    )


def _gate(folder: Path, target: str) -> Any:
    from evalkit.gating.decide import gate

    asked = policy((f"{target}:99pt",), (), (target,), (target,))
    assert asked is not None
    return gate(folder / "base.json", folder / "tuned.json", asked)


def compared(folder: Path) -> FineTuning:
    """Two models that there were."""
    return FineTuning(
        created="2026-11-26T12:00:00+00:00",
        evalkit_version="0.1.0",
        base="org/base",
        tuned="org/tuned",
        command="evalkit sft --model org/base --tuned org/tuned",
        configuration={},
        comparison=example_comparison(folder),
    )


def reward() -> FineTuning:
    """A reward model, which no task measures."""
    made = training(
        objective="reward",
        model="out/model",
        pairs_before=PairAccuracy(50, 100, (0.4, 0.6)),
        pairs_after=PairAccuracy(83, 100, (0.745, 0.892)),
        small=(),
    )
    return FineTuning(
        created="2026-11-26T12:00:00+00:00",
        evalkit_version="0.1.0",
        base="org/base",
        tuned="out/model",
        command="evalkit sft --model org/base --data pairs.jsonl --method reward",
        configuration={},
        data=DataReport((source("pairs.jsonl"),)),
        trainings=(made,),
    )
