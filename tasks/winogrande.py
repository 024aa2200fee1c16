"""WinoGrande: which of two names or things does the blank stand for? Winograd schemas, filtered against shortcuts.

Scored by partial evaluation (Trinh & Le 2018, arXiv 1806.02847): each option is put into the blank, and the one that
makes the rest of the sentence likelier is the answer.
Paper: Sakaguchi et al. 2019, "WinoGrande: An Adversarial Winograd Schema Challenge at Scale", arXiv 1907.10641.
Licence of the data: CC BY. lm-eval: `winogrande`, the same prompts and scores.
"""

from evalkit.documents import ContextChoice
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> ContextChoice:
    """The sentence up to and with each option, then the rest of it."""
    before, after = row["sentence"].split("_", 1)
    return ContextChoice([before + row["option1"], before + row["option2"]], after.strip(), int(row["answer"]) - 1)


winogrande = Task(
    name="winogrande",
    data=DataSource(id="allenai/winogrande", config="winogrande_xl", split="validation", shots_split="train"),
    columns={"sentence": str, "option1": str, "option2": str, "answer": str},
    document=document,
    metrics=("acc",),
    shots_exclude_self=True,
    about="common sense: what the blank in the sentence stands for",
    citation="Sakaguchi et al. 2019, arXiv 1907.10641",
    tags=("commonsense", "coreference"),
    lm_eval="winogrande",
)
