"""LAMBADA: predict the last word of a passage from a novel; people need the whole passage for it.

This is OpenAI's version of the test set, with its own detokenisation.
Paper: Paperno et al. 2016, "The LAMBADA dataset", arXiv 1606.06031. Licence of the data: CC BY 4.0.
lm-eval: `lambada_openai`, the same prompts and scores at 0 shots (`acc` and `perplexity` of the last word). The
dataset has a test split only. Where lm-eval is asked for few-shot examples it draws them from that test split, the
document itself not excluded; evalkit keeps the task at 0 shots.
"""

from evalkit.documents import Cloze
from evalkit.task import DataSource, Group, Row, Task


def document(row: Row) -> Cloze:
    """The passage without its last word, and that word."""
    passage, word = row["text"].rsplit(" ", 1)
    return Cloze(passage, word)


lambada_openai = Task(
    name="lambada_openai",
    data=DataSource(id="EleutherAI/lambada_openai", config="default", split="test"),
    columns={"text": str},
    document=document,
    metrics=("acc", "perplexity"),
    shots_fixed=True,
    about="last word of a passage from a novel",
    citation="Paperno et al. 2016, arXiv 1606.06031",
    tags=("language modelling",),
    lm_eval="lambada_openai",
)

lambada = Group(name="lambada", members=("lambada_openai",), metrics="acc", about="versions of LAMBADA")
