"""OpenBookQA: elementary science questions that need a fact from a small book and some common knowledge.

Asked closed book, as lm-eval does: the facts are not shown, and the question stem stands alone.
Paper: Mihaylov et al. 2018, "Can a Suit of Armor Conduct Electricity?", arXiv 1809.02789.
Licence of the data: Apache-2.0. lm-eval: `openbookqa`, the same prompts and scores.
"""

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> MultipleChoice:
    """A question stem with four endings."""
    choices = row["choices"]
    return MultipleChoice(row["question_stem"], choices["text"], choices["label"].index(row["answerKey"].lstrip()))


openbookqa = Task(
    name="openbookqa",
    data=DataSource(id="allenai/openbookqa", config="main", split="test", shots_split="train"),
    columns={"question_stem": str, "choices": {"text": [str], "label": [str]}, "answerKey": str},
    document=document,
    metrics=("acc_norm", "acc"),
    about="elementary science with common knowledge, closed book",
    citation="Mihaylov et al. 2018, arXiv 1809.02789",
    tags=("science", "commonsense"),
    lm_eval="openbookqa",
)
