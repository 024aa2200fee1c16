"""BIG-Bench Hard: 27 sets of questions that take several steps, such as sorting words or following a swap of objects.

The model sees three worked examples, thinks aloud, and its answer is what follows "the answer is ", less the last
character of that line (the full stop; a reply without one loses a letter, as in lm-eval). The examples are those of
the benchmark's repository. They are read from lm-eval's files, which hold them, and not copied: `bbh` needs lm-eval
installed, `bbh:0shot` asks without examples and does not. lm-eval's variants without examples are `lm-eval:bbh_zeroshot`
and `lm-eval:bbh_cot_zeroshot`.
Paper: Suzgun et al. 2022, "Challenging BIG-Bench Tasks and Whether Chain-of-Thought Can Solve Them", arXiv 2210.09261.
Licence of the data and the one-line instructions: MIT (github.com/suzgunmirac/BIG-Bench-Hard).
lm-eval: `bbh` and `bbh_cot_fewshot_snarks` and so on, the same prompts and scores; the group weighs every question alike.
"""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.extraction import Pattern
from evalkit.task import DataSource, Group, Row, Task
from evalkit.worked_examples import worked_examples

DEDUCTION = "A logical deduction task which requires deducing the order of a sequence of objects."
SWAPS = (
    "A task requiring determining the final positions of a set of objects given their initial positions and a "
    "description of a sequence of swaps."
)
INSTRUCTIONS = {
    "boolean_expressions": "Evaluate the result of a random Boolean expression.",
    "causal_judgement": "Answer questions about causal attribution.",
    "date_understanding": "Infer the date from context.",
    "disambiguation_qa": "Clarify the meaning of sentences with ambiguous pronouns.",
    "dyck_languages": "Correctly close a Dyck-n word.",
    "formal_fallacies": "Distinguish deductively valid arguments from formal fallacies.",
    "geometric_shapes": "Name geometric shapes from their SVG paths.",
    "hyperbaton": "Order adjectives correctly in English sentences.",
    "logical_deduction_five_objects": DEDUCTION,
    "logical_deduction_seven_objects": DEDUCTION,
    "logical_deduction_three_objects": DEDUCTION,
    "movie_recommendation": "Recommend movies similar to the given list of movies.",
    "multistep_arithmetic_two": "Solve multi-step arithmetic problems.",
    "navigate": "Given a series of navigation instructions, determine whether one would end up back at the starting "
    "point.",
    "object_counting": "Questions that involve enumerating objects and asking the model to count them.",
    "penguins_in_a_table": "Answer questions about a table of penguins and their attributes.",
    "reasoning_about_colored_objects": "Answer extremely simple questions about the colors of objects on a surface.",
    "ruin_names": "Select the humorous edit that 'ruins' the input movie or musical artist name.",
    "salient_translation_error_detection": "Detect the type of error in an English translation of a German source "
    "sentence.",
    "snarks": "Determine which of two sentences is sarcastic.\n\nAccording to Cambridge University Dictionary, sarcasm "
    "is \"the use of remarks that clearly mean the opposite of what they say, made in order to hurt someone's feelings "
    'or to criticize something in a humorous way." Sarcastic sentences often contain satirical or ironic utterances, '
    "hyperboles, ambivalent or witty remarks.",
    "sports_understanding": "Determine whether an artificially constructed sentence relating to sports is plausible or "
    "not.",
    "temporal_sequences": "Task description: Answer questions about which times certain events could have occurred.",
    "tracking_shuffled_objects_five_objects": SWAPS,
    "tracking_shuffled_objects_seven_objects": SWAPS,
    "tracking_shuffled_objects_three_objects": SWAPS,
    "web_of_lies": "Evaluate a random boolean function expressed as a word problem.",
    "word_sorting": "Sort a list of words.",
}


def document(row: Row) -> OpenQuestion:
    """A question and its answer, which in a worked example follows the thoughts that lead to it."""
    return OpenQuestion(f"Q: {row['input']}\nA: Let's think step by step.\n", row["target"])


def subset(name: str, instruction: str) -> Task:
    """The task of one set of questions."""
    return Task(
        name=f"bbh_cot_fewshot_{name}",
        data=DataSource(id="SaylorTwift/bbh", config=name, split="test"),
        columns={"input": str, "target": str},
        document=document,
        metrics=("exact_match@answer",),
        extractors={"answer": Pattern("(?<=the answer is )(.*)(?=.)")},
        decoding=Decoding(max_new_tokens=1024, stop=("</s>", "Q", "\n\n")),
        version=4,
        description=f"{instruction}\n\n",
        shots=3,
        shots_data=worked_examples(f"bbh/cot_fewshot/{name}.yaml"),
        shots_sampler="first",
        target_delimiter="",
        about=f"BIG-Bench Hard: {name.replace('_', ' ')}",
        citation="Suzgun et al. 2022, arXiv 2210.09261",
        tags=("reasoning", "chain of thought", "generation"),
        lm_eval=f"bbh_cot_fewshot_{name}",
        lm_eval_metrics={"exact_match@answer": "exact_match,get-answer"},
    )


tasks = [subset(name, instruction) for name, instruction in INSTRUCTIONS.items()]

bbh = Group(
    name="bbh",
    members=tuple(task.name for task in tasks),
    metrics="exact_match@answer",
    weighting="items",
    version=3,
    about="27 sets of questions that take several steps",
)
