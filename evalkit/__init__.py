"""evalkit evaluates language models and says whether a change made them better.

    import evalkit
    base = evalkit.run(model="smollm2", tasks=["mmlu", "arc"], limit=200)
    print(base.tasks["arc_challenge"].metrics["acc_norm"])

Everything public is here; heavy libraries are imported only when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    # evaluating
    "run": "evalkit.api",
    "plan": "evalkit.api",
    "Evaluation": "evalkit.api",
    "Run": "evalkit.results",
    "RunPlan": "evalkit.run_plan",
    "MockModel": "evalkit.backends.mock",
    # examining a model
    "diagnose": "evalkit.doctor.diagnose",
    "Diagnosis": "evalkit.doctor.diagnosis",
    # comparing
    "compare": "evalkit.comparing.compare",
    "compare_all": "evalkit.comparing.compare",
    "Comparison": "evalkit.comparison",
    "Comparisons": "evalkit.ranking",
    "leaderboard": "evalkit.comparing.ranking",
    "Ranking": "evalkit.ranking",
    "Verdict": "evalkit.comparison",
    # gating
    "gate": "evalkit.gating.decide",
    "GateResult": "evalkit.gating.result",
    "Policy": "evalkit.gating.policy",
    # verifying
    "verify": "evalkit.verifying.verify",
    "Verification": "evalkit.verification",
    # fine-tuning
    "fine_tune": "evalkit.sft.pipeline",
    "FineTuningRequest": "evalkit.sft.request",
    "TrainingSpec": "evalkit.sft.spec",
    "FineTuning": "evalkit.fine_tuning",
    "make_training_data": "evalkit.sft.making.make",
    "MakingRequest": "evalkit.sft.making.request",
    # writing a task
    "Task": "evalkit.task",
    "Group": "evalkit.task",
    "DataSource": "evalkit.task",
    "MultipleChoice": "evalkit.documents",
    "ContextChoice": "evalkit.documents",
    "Cloze": "evalkit.documents",
    "Text": "evalkit.documents",
    "OpenQuestion": "evalkit.documents",
    "Decoding": "evalkit.decoding",
    "Pattern": "evalkit.extraction",
    "TextMetric": "evalkit.metrics.text",
    # errors
    "EvalkitError": "evalkit.errors",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from evalkit.api import Evaluation as Evaluation
    from evalkit.api import plan as plan
    from evalkit.api import run as run
    from evalkit.backends.mock import MockModel as MockModel
    from evalkit.comparing.compare import compare as compare
    from evalkit.comparing.compare import compare_all as compare_all
    from evalkit.comparing.ranking import leaderboard as leaderboard
    from evalkit.comparison import Comparison as Comparison
    from evalkit.comparison import Verdict as Verdict
    from evalkit.decoding import Decoding as Decoding
    from evalkit.doctor.diagnose import diagnose as diagnose
    from evalkit.doctor.diagnosis import Diagnosis as Diagnosis
    from evalkit.documents import Cloze as Cloze
    from evalkit.documents import ContextChoice as ContextChoice
    from evalkit.documents import MultipleChoice as MultipleChoice
    from evalkit.documents import OpenQuestion as OpenQuestion
    from evalkit.documents import Text as Text
    from evalkit.errors import EvalkitError as EvalkitError
    from evalkit.extraction import Pattern as Pattern
    from evalkit.fine_tuning import FineTuning as FineTuning
    from evalkit.gating.decide import gate as gate
    from evalkit.gating.policy import Policy as Policy
    from evalkit.gating.result import GateResult as GateResult
    from evalkit.metrics.text import TextMetric as TextMetric
    from evalkit.ranking import Comparisons as Comparisons
    from evalkit.ranking import Ranking as Ranking
    from evalkit.results import Run as Run
    from evalkit.run_plan import RunPlan as RunPlan
    from evalkit.sft.making.make import make_training_data as make_training_data
    from evalkit.sft.making.request import MakingRequest as MakingRequest
    from evalkit.sft.pipeline import fine_tune as fine_tune
    from evalkit.sft.request import FineTuningRequest as FineTuningRequest
    from evalkit.sft.spec import TrainingSpec as TrainingSpec
    from evalkit.task import DataSource as DataSource
    from evalkit.task import Group as Group
    from evalkit.task import Task as Task
    from evalkit.verification import Verification as Verification
    from evalkit.verifying.verify import verify as verify


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
