"""What `evalkit sft-data` made, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.reports.comparison_table import _table
from evalkit.reports.plan import duration
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.training_data import Making


def render(made: Making, console: Console) -> None:
    """Prints how many rows there are, what the filters took, some rows, and what to do next.

    Args:
        made: What was made.
        console: Where to print.
    """
    from rich.text import Text

    plain = _is_ascii(console)

    def line(text: str, style: str = "") -> None:
        console.print(Text(_characters(text, plain), style=style))

    line(f"{made.kept:,} of {made.wanted:,} rows from {made.seeds:,} seeds", "bold")
    line(f"{made.grown:,} prompts grown in {made.rounds:,} rounds, {duration(made.seconds)}", "dim")
    console.print()
    table = _table(filter="word", prompts="number", share="number")
    counts = {**made.rejected, **({"not needed": made.surplus} if made.surplus else {}), "kept": made.kept}
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", f"{100 * count / max(1, made.grown):.1f}%")
    console.print(table)
    for prompt, answer in made.first:
        console.print()
        line(f"prompt: {_short(prompt)}")
        line(f"answer: {_short(answer)}")
    console.print()
    for name, path in made.files.items():
        console.print(
            Text.assemble((f"{name}: ", "dim"), (_characters(visible(str(path)), plain), "cyan")), soft_wrap=True
        )
    if made.kept:
        line(f"next: look at them, then evalkit sft --data {visible(str(made.output))} ...")


def _short(text: str) -> str:
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= 300 else f"{shown[:297]}..."
