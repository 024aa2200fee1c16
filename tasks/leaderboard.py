"""The log-likelihood benchmarks of the first Open LLM Leaderboard (2023), with its shots and metrics.

ARC-Challenge 25-shot acc_norm, HellaSwag 10-shot acc_norm, MMLU 5-shot acc, TruthfulQA mc2 0-shot. The leaderboard
averaged MMLU over its 57 subjects, each weighing alike, where the group `mmlu` weighs every question alike. Of its
later additions, WinoGrande and GSM8K, neither is part of this group, which has no namesake in lm-eval (its
`leaderboard` is the second edition, with other tasks).
"""

from evalkit.task import Group
from evalkit.tasks import mmlu

leaderboard_mmlu = Group(
    name="leaderboard_mmlu",
    members=tuple(f"{task.name}:5shot" for task in mmlu.tasks),
    metrics="acc",
    weighting="tasks",
    about="MMLU 5-shot, the mean over its 57 subjects",
)

leaderboard = Group(
    name="leaderboard",
    members=("arc_challenge:25shot", "hellaswag:10shot", "leaderboard_mmlu", "truthfulqa_mc2"),
    metrics={
        "arc_challenge:25shot": "acc_norm",
        "hellaswag:10shot": "acc_norm",
        "leaderboard_mmlu": "acc",
        "truthfulqa_mc2": "mc2",
    },
    weighting="tasks",
    metric_name="average",
    about="ARC, HellaSwag, MMLU and TruthfulQA as the first Open LLM Leaderboard ran them",
)
