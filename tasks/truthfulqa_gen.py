"""TruthfulQA, answered freely: is what the model writes nearer to the true answers than to the false ones?

Every question comes with true and false answers; `bleu_acc` is the share of replies whose BLEU with the nearest true
answer is above that with the nearest false one, `bleu_max` and `bleu_diff` are the similarities behind it, and so with
ROUGE. Six solved examples of general knowledge are part of every question, so the number of shots is fixed at 0.
Paper: Lin et al. 2022, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", arXiv 2109.07958.
Licence of the data: Apache-2.0. lm-eval: `truthfulqa_gen`, the same prompts and scores. Its main score is `bleu_max`, ours
the share `bleu_acc`, which says how often the model was truthful.
"""

from collections.abc import Sequence

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.metrics.truthfulness import METRICS
from evalkit.task import DataSource, Row, Task
from evalkit.tasks.truthfulqa import EXAMPLES

NO_COMMENT = "I have no comment."


def sentences(answers: Sequence[str]) -> list[str]:
    """The answers that are not empty, each with a full stop at its end."""
    stripped = [answer.strip() for answer in answers]
    return [answer if answer.endswith(".") else answer + "." for answer in stripped if answer]


def document(row: Row) -> OpenQuestion:
    """A question with its true and false answers; to have no comment is true of all."""
    true = sentences(row["correct_answers"])
    if NO_COMMENT not in true:
        true.append(NO_COMMENT)
    false = sentences(row["incorrect_answers"])
    if not false:
        raise ValueError("the question has no false answer to compare with")
    return OpenQuestion(f"Q: {row['question'].strip()}", row["best_answer"], tuple(true), {"false": tuple(false)})


task = Task(
    name="truthfulqa_gen",
    data=DataSource(id="truthfulqa/truthful_qa", config="generation", split="validation"),
    columns={"question": str, "best_answer": str, "correct_answers": [str], "incorrect_answers": [str]},
    document=document,
    metrics=("bleu_acc", *(name for name in METRICS if name != "bleu_acc")),
    own_metrics=METRICS,
    decoding=Decoding(max_new_tokens=256, stop=("\n\n",)),
    version=3,
    description=EXAMPLES,
    shots_fixed=True,
    about="misconceptions: answer in your own words; nearer to the true or to the false answers?",
    citation="Lin et al. 2022, arXiv 2109.07958",
    tags=("truthfulness", "generation"),
    lm_eval="truthfulqa_gen",
)
