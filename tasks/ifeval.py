"""IFEval: instructions whose following a program can check, such as "at least 300 words" or "no commas".

Four scores: the share of prompts all of whose instructions are followed, and the share of instructions; each strictly,
and loosely (without the first or last line, or asterisks). The checkers are Google's, taken from lm-eval at run time;
they need `evalkit[lm-eval]`, langdetect, immutabledict and NLTK's `punkt_tab`. The language detector is seeded here, in
lm-eval it is not. Paper: Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models",
arXiv 2311.07911. Licence of the data: Apache 2.0. lm-eval: `ifeval`, the same prompts and scores.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.metrics.instructions import instruction_level, prompt_level
from evalkit.task import DataSource, Row, Task

METRICS = (
    prompt_level("prompt_level_strict_acc", "strict"),
    instruction_level("inst_level_strict_acc", "strict"),
    prompt_level("prompt_level_loose_acc", "loose"),
    instruction_level("inst_level_loose_acc", "loose"),
)


def document(row: Row) -> OpenQuestion:
    """A prompt with its instructions; there is no single right reply."""
    return OpenQuestion(row["prompt"], "", details=dict(row))


ifeval = Task(
    name="ifeval",
    data=DataSource(id="google/IFEval", split="train"),
    columns={"key": int, "prompt": str, "instruction_id_list": [str]},
    document=document,
    metrics=tuple(metric.name for metric in METRICS),
    own_metrics={metric.name: metric for metric in METRICS},
    decoding=Decoding(max_new_tokens=1280),
    version=4,
    shots_fixed=True,
    about="instructions whose following a program can check",
    citation="Zhou et al. 2023, arXiv 2311.07911",
    tags=("instructions", "generation"),
    lm_eval="ifeval",
    lm_eval_metrics={metric.name: f"{metric.name},none" for metric in METRICS},
)
