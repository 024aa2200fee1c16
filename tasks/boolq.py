"""BoolQ: yes-or-no questions that people typed into a search engine, each with a passage that answers it.

Paper: Clark et al. 2019, "BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions", arXiv 1905.10044;
taken from SuperGLUE. Licence of the data: CC BY-SA 3.0. lm-eval: `boolq`, the same prompts and scores. Questions
about the same passage are clustered in the standard error here.
"""

from hashlib import sha256

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> MultipleChoice:
    """A passage and a question; the choices are no and yes, in the order of the labels."""
    return MultipleChoice(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", ["no", "yes"], row["label"])


def passage(row: Row) -> str:
    """The passage asked about, as a short hash."""
    return sha256(row["passage"].encode()).hexdigest()[:16]


boolq = Task(
    name="boolq",
    data=DataSource(id="aps/super_glue", config="boolq", split="validation", shots_split="train"),
    columns={"passage": str, "question": str, "label": int},
    document=document,
    metrics=("acc",),
    version=2,
    shots_exclude_self=True,
    cluster=passage,
    about="yes-or-no questions about a passage",
    citation="Clark et al. 2019, arXiv 1905.10044",
    tags=("reading",),
    lm_eval="boolq",
)
