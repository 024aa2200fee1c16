"""HellaSwag: which of four endings continues the scene? The wrong ones are machine-written and hard for machines.

Paper: Zellers et al. 2019, "HellaSwag: Can a Machine Really Finish Your Sentence?", arXiv 1905.07830.
Licence of the data: MIT. lm-eval: `hellaswag`, the same prompts and scores. Several documents come from one video or
one how-to page; their errors go together, so the standard error here is clustered by source and larger than lm-eval's.
"""

import re

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Row, Task


def clean(text: str) -> str:
    """Drops the bracketed marks that the how-to pages left behind."""
    without_marks = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return without_marks.replace("  ", " ")


def document(row: Row) -> MultipleChoice:
    """A scene with four endings."""
    scene = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return MultipleChoice(clean(scene), [clean(ending) for ending in row["endings"]], int(row["label"]))


def source(row: Row) -> str:
    """The video or page that the scene is from."""
    return str(row["source_id"])


hellaswag = Task(
    name="hellaswag",
    data=DataSource(id="Rowan/hellaswag", split="validation", shots_split="train"),
    columns={"activity_label": str, "ctx_a": str, "ctx_b": str, "endings": [str], "source_id": str, "label": str},
    document=document,
    metrics=("acc_norm", "acc"),
    shots_exclude_self=True,
    cluster=source,
    about="common sense: which ending continues the scene",
    citation="Zellers et al. 2019, arXiv 1905.07830",
    tags=("commonsense",),
    lm_eval="hellaswag",
)
