"""Makes a small skill to teach: sums whose result is written in English words.

    python examples/sft/number_words.py build/number_words

writes `train.jsonl` (prompt and completion), `held_out.jsonl` and the task file `number_words.yaml` that asks for the
held-out sums. No sum is on both sides, in either order of its numbers. The same seed always writes the same files.
"""

from __future__ import annotations

import argparse
import json
import random
from itertools import combinations_with_replacement
from pathlib import Path

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()

TASK = """\
task: number_words
kind: generate
data: held_out.jsonl
question: "{{prompt}}"
answer: completion
stop: ["\\n"]
max_new_tokens: 12
metrics: [exact_match]
"""


def words(number: int) -> str:
    """A number from 0 to 99 in English words."""
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] if ones == 0 else f"{TENS[tens]}-{ONES[ones]}"


def row(first: int, second: int) -> dict[str, str]:
    """One sum as prompt and completion."""
    return {
        "prompt": f"Compute {first} + {second}. Reply with the number in English words only.",
        "completion": words(first + second),
    }


def make(largest: int = 24, held_out: int = 80, seed: int = 0) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows to train on, and rows held out.

    Args:
        largest: Largest number that is added.
        held_out: Rows held out.
        seed: Of which, and of the order of the numbers.
    """
    generator = random.Random(seed)
    pairs = list(combinations_with_replacement(range(largest + 1), 2))
    generator.shuffle(pairs)
    turned = [pair if generator.random() < 0.5 else pair[::-1] for pair in pairs]
    rows = [row(*pair) for pair in turned]
    return rows[held_out:], rows[:held_out]


def main() -> None:
    """Writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, held_out = make(seed=arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train.jsonl", train), ("held_out.jsonl", held_out)):
        lines = "".join(json.dumps(one) + "\n" for one in rows)
        (arguments.folder / name).write_text(lines, encoding="utf-8")
    (arguments.folder / "number_words.yaml").write_text(TASK, encoding="utf-8")
    print(f"{arguments.folder}: {len(train)} rows to train on, {len(held_out)} held out")


if __name__ == "__main__":
    main()
