"""How far the tuned model's distribution is from the base's on a fixed text.

Only one of the two models is in memory at a time: the base's log-probabilities go to a file, 4 bytes a token and word of
the vocabulary, which is removed afterwards.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import OutputError
from evalkit.fine_tuning import Drift
from evalkit.results import read_samples, samples_path
from evalkit.runner.progress import Progress, Silent

if TYPE_CHECKING:
    import torch

    from evalkit.models import LoadedModel, ModelOptions

MAX_TOKENS = 1200
"""Tokens measured a text: of a vocabulary of 150,000 the base's log-probabilities then take 0.7 GB."""
WINDOW = 256
"""Tokens computed at once; a token's context begins with its window."""


def general_text() -> tuple[str, ...]:
    """Paragraphs of plain English and Chinese, written for this purpose: what any model should still be able to read."""
    text = resources.files("evalkit.sft.outcome").joinpath("general_text.txt").read_text(encoding="utf-8")
    return tuple(part.strip() for part in text.split("\n\n") if part.strip())


def prompts_of(result: Path, limit: int) -> tuple[str, ...]:
    """The prompts of a result, spread evenly over its log, each with what was scored or written after it.

    Args:
        result: Result file whose log of samples stands beside it.
        limit: Prompts at most.
    """
    path = samples_path(result)
    if not path.exists():
        return ()
    first: dict[tuple[str, str], str] = {}
    for row in read_samples(path):
        first.setdefault((row.task, row.id), f"{row.prompt}{row.target}" if row.kind == "generate" else row.prompt)
    texts = [text for text in dict.fromkeys(first.values()) if text.strip()]
    step = max(1, len(texts) // limit)
    return tuple(texts[::step][:limit])


@dataclass(frozen=True, slots=True)
class _Window:
    """Tokens that are computed together."""

    text: str
    ids: tuple[int, ...]


def drift(
    base: str,
    tuned: str,
    options: ModelOptions,
    texts: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    progress: Progress | None = None,
) -> tuple[Drift, ...]:
    """Perplexity, KL(base || tuned) and agreement of two models on texts.

    Args:
        base: The model before, as `--model` takes it.
        tuned: After.
        options: How to load both.
        texts: Name -> its passages.
        folder: Where the base's log-probabilities lie meanwhile.
        progress: Told what happens.

    Returns:
        One a text; none where the models have not the same tokenizer, so that a token is not the same thing in both.

    Raises:
        ModelError: A model cannot be loaded.
        OutputError: The disk is full.
    """
    import numpy as np

    from evalkit.models import open_model

    progress = progress or Silent()
    tokenizers = [open_model(model, options, weights=False).tokenizer for model in (base, tuned)]
    windows = [list(_windows(tokenizer, texts)) for tokenizer in tokenizers]
    if windows[0] != windows[1] or not windows[0]:
        return ()
    progress.stage("drift: the base's distributions")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".drift-") as place:
        before = _log_probabilities(base, options, windows[0])
        try:
            files = []
            for number, rows in enumerate(before):
                files.append(Path(place) / f"{number}.npy")
                np.save(files[-1], rows.cpu().numpy())
        except OSError as error:
            raise OutputError(
                f"{folder} cannot hold the base's distributions: {error.strerror}", hint="make room on the disk"
            ) from error
        progress.stage("drift: the tuned model's distributions")
        sums = {name: _Sums() for name in texts}
        after = _log_probabilities(tuned, options, windows[0])
        for window, file, rows in zip(windows[0], files, after, strict=True):
            sums[window.text].add(window.ids, np.load(file, mmap_mode="r"), rows)
    return tuple(
        sums[name].drift(name, hashlib.sha256("\n\n".join(given).encode("utf-8", "backslashreplace")).hexdigest())
        for name, given in texts.items()
        if sums[name].tokens
    )


def _windows(tokenizer: Any, texts: Mapping[str, Sequence[str]]) -> Iterator[_Window]:
    for name, passages in texts.items():
        left = MAX_TOKENS
        for passage in passages:
            ids = tokenizer(passage, add_special_tokens=False)["input_ids"]
            for start in range(0, len(ids), WINDOW):
                part = tuple(ids[start : start + min(WINDOW, left)])
                if len(part) > 1:
                    left -= len(part)
                    yield _Window(name, part)
                if left <= 1:
                    break
            if left <= 1:
                break


def _log_probabilities(model: str, options: ModelOptions, windows: Sequence[_Window]) -> Iterator[torch.Tensor]:
    """Of each window the log-probabilities of the next token, float32, (tokens - 1) x vocabulary."""
    import torch

    from evalkit.models import load_model

    loaded: LoadedModel = load_model(model, options)
    with torch.inference_mode():
        for window in windows:
            ids = torch.tensor([window.ids], device=loaded.device)
            logits = loaded.model(input_ids=ids, use_cache=False).logits[0, :-1]
            yield torch.log_softmax(logits.float(), dim=-1)


class _Sums:
    """What adds up over the tokens of a text."""

    def __init__(self) -> None:
        self.tokens = 0
        self.before = self.after = self.kl = 0.0
        self.agreeing = 0

    def add(self, ids: Sequence[int], before: Any, after: torch.Tensor) -> None:
        import numpy as np
        import torch

        base = torch.from_numpy(np.array(before)).to(after.device)
        size = min(base.shape[-1], after.shape[-1])  # rows of padding that one checkpoint has and the other has not
        base, tuned = base[:, :size].double(), after[:, :size].double()
        targets = torch.tensor(ids[1:], device=after.device)[:, None]
        self.tokens += len(ids) - 1
        self.before -= float(base.gather(1, targets).sum())
        self.after -= float(tuned.gather(1, targets).sum())
        self.kl += float((base.exp() * (base - tuned)).sum())
        self.agreeing += int((base.argmax(-1) == tuned.argmax(-1)).sum())

    def drift(self, name: str, sha256: str) -> Drift:
        """The means."""
        return Drift(
            text=name,
            sha256=sha256,
            tokens=self.tokens,
            nll_before=self.before / self.tokens,
            nll_after=self.after / self.tokens,
            kl=max(0.0, self.kl / self.tokens),
            agreement=self.agreeing / self.tokens,
        )
