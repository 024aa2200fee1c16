"""Makes a small skill to teach: orders in everyday words, written down as JSON.

    python examples/sft/orders.py build/orders

writes `train.jsonl` (prompt and completion), `held_out.jsonl` and the task file `orders.yaml` that asks for the held-out
orders. No order is on both sides, and some things, colours and places are met in the held-out orders only. The same seed
always writes the same files.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
THINGS = [
    "mug",
    "lamp",
    "scarf",
    "chair",
    "notebook",
    "candle",
    "blanket",
    "basket",
    "vase",
    "clock",
    "bottle",
    "cushion",
]
COLOURS = ["red", "blue", "green", "black", "white", "yellow", "grey", "orange"]
PLACES = ["Oslo", "Lima", "Cairo", "Dublin", "Kyoto", "Quito", "Riga", "Porto", "Hanoi", "Turin", "Bergen", "Seville"]
UNSEEN = {
    "things": ["kettle", "mirror", "teapot"],
    "colours": ["purple", "brown"],
    "places": ["Tunis", "Graz", "Malmö"],
}
"""Met in held-out orders only."""

WORDINGS = (
    "Please send {count} {colour} {things} to {place}.",
    "We need {count} {things} in {place}, all of them {colour}.",
    "Could {place} get {count} {things}? Make them {colour}.",
    "Ship {things} to {place}: {count} of them, in {colour}.",
    "I would like to order {count} {colour} {things} for our office in {place}.",
    "For {place}: {count} {things}, {colour} if you please.",
)

TASK = """\
task: orders
kind: generate
data: held_out.jsonl
question: "{{prompt}}"
answer: completion
stop: ["\\n"]
max_new_tokens: 48
metrics: [exact_match]
"""


def row(wording: str, number: int, thing: str, colour: str, place: str) -> dict[str, str]:
    """One order as prompt and completion.

    Args:
        wording: Of `WORDINGS`.
        number: How many are ordered, 2 to 12: in words in the order, in digits in the answer.
        thing: What.
        colour: Its colour.
        place: Where it goes.
    """
    text = wording.format(count=NUMBERS[number - 1], colour=colour, things=f"{thing}s", place=place)
    order = {"item": thing, "colour": colour, "count": number, "city": place}
    return {"prompt": f"Write this order as JSON. {text}", "completion": json.dumps(order, ensure_ascii=False)}


def make(train: int = 320, held_out: int = 100, seed: int = 0) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows to train on, and rows held out, in half of which something is new.

    Args:
        train: Rows to train on.
        held_out: Rows held out.
        seed: Of what is drawn.
    """
    generator = random.Random(seed)
    kept: dict[str, dict[str, str]] = {}

    def draw(things: list[str], colours: list[str], places: list[str]) -> dict[str, str]:
        while True:
            number = generator.randint(2, len(NUMBERS))
            one = row(
                generator.choice(WORDINGS),
                number,
                generator.choice(things),
                generator.choice(colours),
                generator.choice(places),
            )
            if one["completion"] not in kept:  # no order twice, in whatever words
                kept[one["completion"]] = one
                return one

    rows = [draw(THINGS, COLOURS, PLACES) for _ in range(train)]
    known = [draw(THINGS, COLOURS, PLACES) for _ in range(held_out - held_out // 2)]
    new = [draw(UNSEEN["things"], UNSEEN["colours"], UNSEEN["places"]) for _ in range(held_out // 2)]
    asked = [*known, *new]
    generator.shuffle(asked)
    return rows, asked


def main() -> None:
    """Writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, held_out = make(seed=arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train.jsonl", train), ("held_out.jsonl", held_out)):
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
        (arguments.folder / name).write_text(lines, encoding="utf-8")
    (arguments.folder / "orders.yaml").write_text(TASK, encoding="utf-8")
    print(f"{arguments.folder}: {len(train)} rows to train on, {len(held_out)} held out")


if __name__ == "__main__":
    main()
