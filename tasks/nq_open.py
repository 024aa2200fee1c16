"""Natural Questions, open: questions typed into a search engine, answered from memory in a few words.

The answer ends at a line break, full stop or comma, and counts if it equals one of the accepted ones, whatever the
case, the articles and the punctuation. Papers: Kwiatkowski et al. 2019, "Natural Questions: a Benchmark for Question
Answering Research"; Lee et al. 2019, arXiv 1906.00300 (the open set). Licence of the data: CC BY-SA 3.0.
lm-eval: `nq_open`, the same prompts and scores.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.extraction import Whole
from evalkit.metrics.matching import exact_match
from evalkit.task import DataSource, Row, Task

ARTICLES = r"\b(?:The |the |An |A |The |a |an )"


def document(row: Row) -> OpenQuestion:
    """A question with its accepted answers; examples show the first."""
    return OpenQuestion(f"Q: {row['question']}?\nA:", row["answer"][0], tuple(row["answer"]))


nq_open = Task(
    name="nq_open",
    data=DataSource(id="google-research-datasets/nq_open", split="validation", shots_split="train"),
    columns={"question": str, "answer": [str]},
    document=document,
    metrics=("exact_match@answer",),
    own_metrics={"exact_match": exact_match(ignore_case=True, ignore_punctuation=True, ignore=(ARTICLES,))},
    extractors={"answer": Whole()},
    decoding=Decoding(stop=("\n", ".", ",")),
    version=4,
    description="Answer these questions:\n\n",
    shots_delimiter="\n",
    shots_exclude_self=True,
    about="questions typed into a search engine, answered from memory",
    citation="Lee et al. 2019, arXiv 1906.00300",
    tags=("knowledge", "generation"),
    lm_eval="nq_open",
    lm_eval_metrics={"exact_match@answer": "exact_match,remove_whitespace"},
)
