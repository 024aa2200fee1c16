"""Coverage-guided fuzzing of the readers with atheris: `python -m benchmarks.fuzz --seconds 60 [READER ...]`.

The property is that of tests/hostile: any bytes give a value or an `EvalkitError`. Each reader runs in a process of its own,
begins with the valid file that the tests begin with, and keeps what it finds under build/fuzz/READER. atheris is no
dependency: `pip install atheris`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CORPORA = Path("build/fuzz")


def readers() -> dict[str, tuple[bytes, Callable[[Path, bytes], object]]]:
    """Reader -> a valid file, and what reads one in a folder."""
    from evalkit.data.formats import read_file
    from evalkit.gating.policy_file import PRESET, read_policy
    from evalkit.gating.result_json import read_gate
    from evalkit.models.gguf_reading import check_gguf
    from evalkit.ratings.file import read_ratings
    from evalkit.results import Run
    from tests.hostile import test_readers as valid

    def put(folder: Path, name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return {
        "task": (valid.CHOICE, valid.read_task),
        "result": (valid.BASE, lambda folder, content: Run.load(put(folder, "base.json", content))),
        "gate": (valid.GATE, lambda folder, content: read_gate(put(folder, "gate.json", content))),
        "policy": (
            PRESET.replace("# ", "").encode(),
            lambda folder, content: read_policy(put(folder, "gate.yaml", content)),
        ),
        "ratings": (valid.RATINGS, lambda folder, content: read_ratings(put(folder, "r.jsonl", content))),
        "gguf": (valid.gguf(), lambda folder, content: check_gguf(put(folder, "m.gguf", content))),
        **{
            name.removeprefix("d."): (
                content,
                lambda folder, content, name=name: read_file(put(folder, name, content)),  # type: ignore[misc]
            )
            for name, content in valid.FILES.items()
        },
    }


def fuzz(name: str, seconds: int) -> None:
    """Fuzzes one reader in this process; it does not return."""
    import atheris

    with atheris.instrument_imports(include=["evalkit", "yaml", "json"]):
        known = readers()
    from evalkit.errors import EvalkitError

    seed, read = known[name]
    corpus = CORPORA / name
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "valid").write_bytes(seed)

    def once(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, suppress(EvalkitError):
            read(Path(folder), content)

    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/crash-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def main() -> int:
    """Fuzzes readers one after another; 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="For each reader.")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz(options.one, options.seconds)
        return 0
    failed = []
    for name in options.readers or readers():
        command = [sys.executable, "-m", "benchmarks.fuzz", "--one", name, "--seconds", str(options.seconds)]
        done = subprocess.run(command, capture_output=True, text=True)
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} {' '.join(last)}", flush=True)
        if done.returncode:
            failed.append(name)
            print("\n".join(done.stderr.splitlines()[-30:]), flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
