"""ARC: multiple-choice science questions from US school exams (grades 3 to 9), an easy and a challenge set.

The challenge set holds the questions that a retrieval and a word co-occurrence method both answered wrong.
Paper: Clark et al. 2018, "Think you have Solved Question Answering? Try ARC", arXiv 1803.05457.
Licence of the data: CC BY-SA 4.0. lm-eval: `arc_easy` and `arc_challenge`, the same prompts and scores; its `ai2_arc`
is a mere tag, where the group `arc` averages the two sets' acc_norm.
"""

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Group, Row, Task


def document(row: Row) -> MultipleChoice:
    """A question; most have four choices, a few three or five."""
    choices = row["choices"]
    return MultipleChoice(
        f"Question: {row['question']}\nAnswer:", choices["text"], choices["label"].index(row["answerKey"])
    )


def arc(name: str, config: str, about: str) -> Task:
    """One of the two sets."""
    return Task(
        name=name,
        data=DataSource(id="allenai/ai2_arc", config=config, split="test", shots_split="train"),
        columns={"question": str, "choices": {"text": [str], "label": [str]}, "answerKey": str},
        document=document,
        metrics=("acc_norm", "acc"),
        about=about,
        citation="Clark et al. 2018, arXiv 1803.05457",
        tags=("science", "knowledge"),
        lm_eval=name,
    )


tasks = [
    arc("arc_easy", "ARC-Easy", "school science questions, the easy set"),
    arc("arc_challenge", "ARC-Challenge", "school science questions that simple methods answer wrong"),
    Group(name="arc", members=("arc_easy", "arc_challenge"), metrics="acc_norm", about="both sets of ARC"),
]
