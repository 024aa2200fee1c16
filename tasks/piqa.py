r"""PIQA: which of two ways reaches an everyday physical goal? Written by people, how-to style.

Paper: Bisk et al. 2020, "PIQA: Reasoning about Physical Commonsense in Natural Language", arXiv 1911.11641.
Licence of the data: AFL-3.0. lm-eval: `piqa`, the same prompts and scores.

This is the shortest task; read it before you write one of your own. A row of the dataset such as

    {"goal": "How do I open a jar?", "sol1": "Twist the lid.", "sol2": "Twist the glass.", "label": 0}

becomes the question "Question: How do I open a jar?\nAnswer:" with the choices "Twist the lid." and "Twist the
glass.", of which number 0 is right. evalkit adds the few-shot examples in front and scores " Twist the lid." (the
target delimiter, a space, and the choice) and " Twist the glass." after it; the likelier one is the model's answer.
"""

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> MultipleChoice:
    """A question with two choices."""
    return MultipleChoice(f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], row["label"])


piqa = Task(
    name="piqa",
    data=DataSource(id="baber/piqa", split="validation", shots_split="train"),
    columns={"goal": str, "sol1": str, "sol2": str, "label": int},
    document=document,
    metrics=("acc", "acc_norm"),
    shots_exclude_self=True,
    about="physical common sense: which of two ways reaches the goal",
    citation="Bisk et al. 2020, arXiv 1911.11641",
    tags=("commonsense",),
    lm_eval="piqa",
)
