"""The folder of a fine-tuning: what lies where, and whose it is.

    OUT/config.json             what was asked, and the hashes of the training data
    OUT/dropped.jsonl           rows that were left out, with reasons
    OUT/base.json, tuned.json   results before and after (each with its samples.parquet)
    OUT/checkpoints/, model/    while training, and the trained model with its card
    OUT/drift.json              what was measured on texts
    OUT/sft.json, report.html   the outcome
    OUT/seed-1/, stage-1/ ...   the same for further seeds and earlier stages

Every file appears whole or not at all, and a step whose file is there is not done again: that is all there is to
continuing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import OutputError, UsageError
from evalkit.files import atomic_writer, check_writable, exclusive

SCHEMA = "evalkit.sft.config/1"

_MADE = (
    *("config.json", ".cost.json", "dropped.jsonl", "drift.json", "sft.json", "report.html", "checkpoints", "model"),
    "training.json",
    *("seed-*", "stage-*"),
    *(
        f"{side}{retrieval}.json{ending}"
        for side in ("base", "tuned")
        for retrieval in ("", "-retrieval")
        for ending in ("", ".journal")
    ),
    *(f"{side}{retrieval}.samples.parquet" for side in ("base", "tuned") for retrieval in ("", "-retrieval")),
)
"""What a fine-tuning writes, and `--fresh` takes away."""


class Workspace:
    """The folder of a fine-tuning.

    Args:
        folder: It; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """A file of it."""
        return self.folder / name

    def part(self, stage: int, stages: int, seed: int, seeds: tuple[int, ...]) -> Path:
        """Where one training is: the last stage with the first seed in the folder itself, the others below it.

        Args:
            stage: From 1 on.
            stages: Number of stages.
            seed: The training's.
            seeds: All of them.
        """
        names = [f"stage-{stage}"] if stage < stages else []
        if seed != seeds[0]:
            names.append(f"seed-{seed}")
        return self.folder / "-".join(names) if names else self.folder

    @contextmanager
    def opened(self, configuration: Mapping[str, Any], *, fresh: bool, resume: bool) -> Iterator[None]:
        """Holds the folder for this process, once it is sure that it is empty or of the same fine-tuning.

        Raises:
            UsageError: It holds another fine-tuning, or files that are of none; or there is nothing to resume.
            OutputError: It cannot be written, or another process works in it.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is a file", hint="-o names a folder")
        configuration = json.loads(json.dumps(configuration))  # as a file would give it back
        check_writable(self.path("config.json"))
        with self._locked():
            if fresh:
                self._clear()
            self._check(configuration, resume=resume)
            if not self.path("config.json").exists():
                self.write("config.json", {"schema": SCHEMA, **configuration})
            yield

    def _check(self, configuration: Mapping[str, Any], *, resume: bool) -> None:
        config = self.path("config.json")
        if not config.exists():
            foreign = sorted(one.name for one in self.folder.iterdir() if one.name not in (_LOCK, _COST))
            if resume:
                raise UsageError(
                    f"{self.folder} holds no fine-tuning to continue", hint="leave --resume out to begin one"
                )
            if foreign:
                raise UsageError(
                    f"{self.folder} holds files of something else: {', '.join(foreign[:5])}",
                    hint="give a folder of its own",
                )
            return
        known = self._known(config)
        changed = [name for name in {**known, **configuration} if known.get(name) != configuration.get(name)]
        if changed:
            raise UsageError(
                f"{self.folder} holds a fine-tuning with other settings: {_differences(known, configuration, changed)}",
                hint="give another folder, or --fresh to start anew in this one",
            )

    @staticmethod
    def _known(config: Path) -> dict[str, Any]:
        try:
            known = json.loads(config.read_text(encoding="utf-8"))
            if known.pop("schema") != SCHEMA:
                raise KeyError
        except (ValueError, KeyError, AttributeError, OSError):
            raise UsageError(
                f"{config} is not of a fine-tuning by this version of evalkit", hint="give another folder, or --fresh"
            ) from None
        known.pop("sources", None)
        return dict(known)

    def keep_sources(self, sources: Mapping[str, str]) -> None:
        """Remembers the training data by their hashes.

        Raises:
            UsageError: They are not those that the work was begun with.
        """
        config = json.loads(self.path("config.json").read_text(encoding="utf-8"))
        known = config.get("sources")
        if known is None:
            self.write("config.json", {**config, "sources": dict(sources)})
            return
        changed = [name for name in {**known, **sources} if known.get(name) != sources.get(name)]
        if changed:
            raise UsageError(
                f"{', '.join(changed)} changed since the fine-tuning in {self.folder} was begun",
                hint="give another folder, or --fresh to start anew in this one",
            )

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Writes a JSON file.

        Raises:
            OutputError: The place cannot be written.
        """
        text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
        with atomic_writer(self.path(name)) as stream:
            stream.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def add_cost(self, step: str, seconds: float) -> None:
        """Adds to the time that a step took.

        Raises:
            OutputError: The place cannot be written.
        """
        cost = self.cost()
        self.write(_COST, {**cost, step: round(cost.get(step, 0.0) + seconds, 3)})

    def cost(self) -> dict[str, float]:
        """Step -> seconds that all processes spent on it."""
        try:
            return dict(json.loads(self.path(_COST).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _clear(self) -> None:
        """Takes away what a fine-tuning left, and nothing else."""
        if not self.path("config.json").exists():
            return
        for pattern in _MADE:
            for found in self.folder.glob(pattern):
                if found.is_dir() and not found.is_symlink():
                    shutil.rmtree(found)
                else:
                    found.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with exclusive(self.path(_LOCK), f"another process works in {self.folder}"):
            yield


_LOCK, _COST = ".lock", ".cost.json"


def _differences(known: Mapping[str, Any], wanted: Mapping[str, Any], names: list[str]) -> str:
    """What differs, one level into mappings: "training.learning_rate 0.0002 -> 0.0005"."""
    found = []
    for name in names:
        one, other = known.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += [
                f"{name}.{key} {one.get(key)} -> {other.get(key)}"
                for key in {**one, **other}
                if one.get(key) != other.get(key)
            ]
        else:
            found.append(f"{name} {one} -> {other}")
    return "; ".join(found)
