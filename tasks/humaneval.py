"""HumanEval: 164 Python functions to finish from their signature and docstring, judged by running unit tests.

The model's code is run, and only with `--allow-code-execution`: in a process of its own, without network, with limits
(docs/reasoning-tasks.md says what is kept out). `pass@1` is the share of functions that pass; `--samples 20
--temperature 0.2 --top-p 0.95` estimates pass@1 and pass@20 from 20 samples a function, as the paper does.
Paper: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", arXiv 2107.03374. Licence of the data: MIT.
lm-eval: `humaneval`, the same prompts, programs and scores.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.metrics.programs import passes
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> OpenQuestion:
    """The head of a function, its body, and the tests that call it."""
    tests = f"{row['test']}\ncheck({row['entry_point']})"
    return OpenQuestion(row["prompt"], row["canonical_solution"], details={"before": row["prompt"], "after": tests})


humaneval = Task(
    name="humaneval",
    data=DataSource(id="openai/openai_humaneval", split="test"),
    columns={"prompt": str, "canonical_solution": str, "test": str, "entry_point": str},
    document=document,
    metrics=("pass@1",),
    own_metrics={"passes": passes()},
    decoding=Decoding(max_new_tokens=1024, stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint")),
    shots_fixed=True,
    about="Python functions to finish, judged by tests (needs --allow-code-execution)",
    citation="Chen et al. 2021, arXiv 2107.03374",
    tags=("code", "generation"),
    lm_eval="humaneval",
    lm_eval_metrics={"pass@1": "pass@1,create_test"},
)
