"""TriviaQA: trivia questions written by enthusiasts, answered from memory (the reading passages are left out).

The answer ends at a line break, full stop or comma, and counts if it equals one of the known aliases, whatever the case
and punctuation. Paper: Joshi et al. 2017, "TriviaQA: A Large Scale Distantly Supervised Challenge Dataset for Reading
Comprehension", arXiv 1705.03551. Licence of the data: Apache 2.0. lm-eval: `triviaqa`, the same prompts and scores.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.extraction import Whole
from evalkit.metrics.matching import exact_match
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> OpenQuestion:
    """A question with the names that its answer goes by; examples show the first."""
    aliases = row["answer"]["aliases"]
    return OpenQuestion(f"Question: {row['question']}?\nAnswer:", aliases[0], tuple(aliases))


triviaqa = Task(
    name="triviaqa",
    data=DataSource(id="mandarjoshi/trivia_qa", config="rc.nocontext", split="validation", shots_split="train"),
    columns={"question": str, "answer": {"aliases": [str]}},
    document=document,
    metrics=("exact_match@answer",),
    own_metrics={"exact_match": exact_match(ignore_case=True, ignore_punctuation=True)},
    extractors={"answer": Whole()},
    decoding=Decoding(stop=("\n", ".", ",")),
    version=3,
    shots_exclude_self=True,
    about="trivia questions answered from memory",
    citation="Joshi et al. 2017, arXiv 1705.03551",
    tags=("knowledge", "generation"),
    lm_eval="triviaqa",
    lm_eval_metrics={"exact_match@answer": "exact_match,remove_whitespace"},
)
