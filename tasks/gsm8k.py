"""GSM8K: grade-school mathematics in words; two to eight steps of arithmetic lead to a number.

The answer is found in two ways, as in lm-eval: `strict` is the number after "####" (`gsm8k`) or after "The answer is"
(the others), `flexible` the last number of the text. Both are compared after dropping ",", "$", all before "#### " and
a full stop at the end; so "$29.00" is not 29. `gsm8k_cot` shows the eight worked examples of Wei et al. 2022
(arXiv 2201.11903), which are read from lm-eval's files where it is installed; with `:0shot` it needs them not.
Paper: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", arXiv 2110.14168. Licence of the data: MIT.
lm-eval: `gsm8k`, `gsm8k_cot` and `gsm8k_cot_zeroshot`, the same prompts, answers and scores.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.extraction import NUMBER, Pattern
from evalkit.metrics.matching import exact_match
from evalkit.task import DataSource, Row, Task
from evalkit.worked_examples import worked_examples

SAME_NUMBER = exact_match(ignore_case=True, ignore=(",", r"\$", "(?s).*#### ", r"\.$"))


def document(row: Row) -> OpenQuestion:
    """A problem and its solution, which ends in "#### 18"."""
    return OpenQuestion(f"Question: {row['question']}\nAnswer:", row["answer"])


def step_by_step(row: Row) -> OpenQuestion:
    """A problem with the words that make a model think aloud."""
    return OpenQuestion(f"Q: {row['question']}\nA: Let's think step by step.", row["answer"])


def worked(row: Row) -> OpenQuestion:
    """A problem and its number, or in a worked example (`target`) the thoughts that lead to it."""
    answer = row["answer"].split("####")[-1].strip() if "answer" in row else row["target"]
    return OpenQuestion(f"Q: {row['question']}\nA:", answer)


gsm8k = Task(
    name="gsm8k",
    data=DataSource(id="openai/gsm8k", config="main", split="test", shots_split="train"),
    columns={"question": str, "answer": str},
    document=document,
    metrics=("exact_match@strict", "exact_match@flexible"),
    own_metrics={"exact_match": SAME_NUMBER},
    extractors={"strict": Pattern(r"#### (\-?[0-9\.\,]+)"), "flexible": NUMBER},
    decoding=Decoding(stop=("Question:", "</s>", "<|im_end|>")),
    version=3,
    shots=5,
    about="grade-school mathematics in words",
    citation="Cobbe et al. 2021, arXiv 2110.14168",
    tags=("mathematics", "reasoning", "generation"),
    lm_eval="gsm8k",
    lm_eval_metrics={
        "exact_match@strict": "exact_match,strict-match",
        "exact_match@flexible": "exact_match,flexible-extract",
    },
)

SAID = {"strict": Pattern(r"The answer is (\-?[0-9\.\,]+)."), "flexible": NUMBER}

gsm8k_cot_zeroshot = Task(
    name="gsm8k_cot_zeroshot",
    data=DataSource(id="openai/gsm8k", config="main", split="test", shots_split="train"),
    columns=gsm8k.columns,
    document=step_by_step,
    metrics=gsm8k.metrics,
    own_metrics=gsm8k.own_metrics,
    extractors=SAID,
    decoding=Decoding(stop=("Q:", "</s>", "<|im_end|>")),
    version=3,
    shots_fixed=True,
    about='GSM8K after "Let\'s think step by step."',
    citation="Kojima et al. 2022, arXiv 2205.11916",
    tags=(*gsm8k.tags, "chain of thought"),
    lm_eval="gsm8k_cot_zeroshot",
    lm_eval_metrics=gsm8k.lm_eval_metrics,
)

gsm8k_cot = Task(
    name="gsm8k_cot",
    data=DataSource(id="openai/gsm8k", config="main", split="test"),
    columns=gsm8k.columns,
    document=worked,
    metrics=gsm8k.metrics,
    own_metrics=gsm8k.own_metrics,
    extractors=SAID,
    decoding=Decoding(stop=("Q:", "</s>", "<|im_end|>")),
    version=3,
    shots=8,
    shots_data=worked_examples("gsm8k/gsm8k-cot.yaml"),
    shots_sampler="first",
    about="GSM8K after eight worked examples",
    citation="Wei et al. 2022, arXiv 2201.11903",
    tags=(*gsm8k.tags, "chain of thought"),
    lm_eval="gsm8k_cot",
    lm_eval_metrics=gsm8k.lm_eval_metrics,
)
