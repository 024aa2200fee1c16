"""Do the intervals cover, and do the tests keep their level? `python -m benchmarks.calibration [--draws N]`.

Simulates realistic data, counts, and prints a Markdown table. Exits with 1 where a rate is more than two standard
errors of the simulation outside what is promised. Seeded: the same number of draws gives the same table.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.calibration import corpora, decisions, differences, scores, several
from benchmarks.calibration.measured import markdown

PARTS = {
    "One score": scores,
    "Two models": differences,
    "Corpus scores": corpora,
    "Several tasks": several,
    "Decisions": decisions,
}


def main() -> int:
    """Prints the tables; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="simulated runs a case; slow ones take a fraction")
    parser.add_argument("--part", choices=list(PARTS), help="only this part")
    arguments = parser.parse_args()
    broken = 0
    for title, part in PARTS.items():
        if arguments.part in (None, title):
            start = time.monotonic()
            rows = list(part.measure(arguments.draws))
            broken += sum(not row.kept for row in rows)
            print(f"### {title}\n\n{markdown(rows)}\n")
            print(f"{title}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if broken:
        print(f"{broken} rates are outside what is promised", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
