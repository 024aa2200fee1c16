"""MMLU: multiple-choice exam questions in 57 subjects, from elementary mathematics to professional law.

The choices are shown under letters, and the letter is scored. Each subject has five development questions, the
customary 5 shots (`mmlu:5shot`); like lm-eval, evalkit asks without them by default.
Paper: Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", arXiv 2009.03300.
Licence of the data: MIT. lm-eval: `mmlu`, `mmlu_stem` and so on, `mmlu_anatomy` and so on, the same prompts and scores;
groups weigh every question alike.
"""

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Group, Row, Task

SUBJECTS = {
    "stem": """
        abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science
        college_mathematics college_physics computer_security conceptual_physics electrical_engineering
        elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
        high_school_mathematics high_school_physics high_school_statistics machine_learning""",
    "other": """
        business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing
        medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology""",
    "social_sciences": """
        econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics
        high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations
        security_studies sociology us_foreign_policy""",
    "humanities": """
        formal_logic high_school_european_history high_school_us_history high_school_world_history international_law
        jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law
        world_religions""",
}
CATEGORIES = {category: names.split() for category, names in SUBJECTS.items()}


def document(row: Row) -> MultipleChoice:
    """A question with its choices under the letters A to D, which are the answers."""
    choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip("ABCD", row["choices"], strict=True))
    return MultipleChoice(f"{row['question'].strip()}{choices}\nAnswer:", "ABCD", row["answer"])


def subject(name: str, category: str) -> Task:
    """The task of one subject."""
    title = name.replace("_", " ")
    return Task(
        name=f"mmlu_{name}",
        data=DataSource(id="cais/mmlu", config=name, split="test", shots_split="dev"),
        columns={"question": str, "choices": [str], "answer": int},
        document=document,
        metrics=("acc",),
        description=f"The following are multiple choice questions (with answers) about {title}.\n\n",
        shots_sampler="first",
        about=f"exam questions about {title}",
        citation="Hendrycks et al. 2021, arXiv 2009.03300",
        tags=("knowledge", category.replace("_", " ")),
        lm_eval=f"mmlu_{name}",
    )


def group(name: str, members: list[str], about: str) -> Group:
    """Subjects or categories together, every question weighing alike."""
    members = [f"mmlu_{member}" for member in members]
    return Group(name=name, members=tuple(members), metrics="acc", weighting="items", version=2, about=about)


tasks = [subject(name, category) for category, names in CATEGORIES.items() for name in names]
groups = [
    *(
        group(f"mmlu_{category}", names, f"{len(names)} subjects of MMLU: {category.replace('_', ' ')}")
        for category, names in CATEGORIES.items()
    ),
    group("mmlu", list(CATEGORIES), "exam questions in 57 subjects"),
]
