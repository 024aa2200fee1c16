"""The comparison of generated texts in `make parity`: it counts what differs and says how near it was."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity import generation
from benchmarks.parity.cases import CASES, Case
from benchmarks.parity.ties import Parting, common, parting

CASE = Case("toy", 0, 2, generates=True)


def sample(index: int, text: str, tokens: list[int], **metrics: float) -> dict[str, Any]:
    return {"index": index, "prompt": f"prompt {index}", "text": text, "tokens": tokens, "metrics": metrics}


def side(*samples: dict[str, Any], **scores: float) -> dict[str, Any]:
    return {"case": "toy", "scores": scores, "samples": list(samples), "seconds": 1.0}


def explained(gap: float | None) -> generation.Explain:
    return lambda prompt, theirs, ours: Parting(common(theirs, ours), "a", "b", gap)


def test_equal_texts() -> None:
    """lm-eval's tokens go on where its batch did."""
    theirs = side(sample(0, "x", [1, 2, 3, 9], bleu=1.0), sample(1, "y", [4], bleu=3.0), bleu=2.0)
    ours = side(sample(0, "x", [1, 2, 3], bleu=1.0), sample(1, "y", [4], bleu=3.0), bleu=2.0)
    lines, notes, broken = generation.table([CASE], [theirs], [ours], explained(1.0))
    assert (notes, broken) == ([], [])
    assert lines[-1] == "| toy | 0 | 2 | bleu | 2.000000 | 2.000000 | 0 | 0 | 0 | 1.0 | 1.0 |"


@pytest.mark.parametrize(("gap", "ties", "wrong"), [(3e-5, 1, 0), (-3e-5, 1, 0), (0.2, 0, 1), (None, 0, 1)])
def test_differing_texts_are_explained(gap: float | None, ties: int, wrong: int) -> None:
    theirs = side(sample(0, "xa", [1, 2], bleu=1.0), bleu=1.0)
    ours = side(sample(0, "xb", [1, 3], bleu=2.0), bleu=2.0)
    lines, notes, broken = generation.table([CASE], [theirs], [ours], explained(gap))
    assert f"| 1 | {ties} | 0 |" in lines[-1]
    assert len(notes) == 1
    assert len(broken) == wrong


def test_same_text_of_other_tokens_and_other_metrics() -> None:
    theirs = [sample(0, "x", [1, 2], bleu=1.0), sample(1, "y", [4], bleu=1.0), sample(2, "z", [5])]
    ours = [sample(0, "x", [7], bleu=1.0), sample(1, "y", [4], bleu=1.1), {**sample(2, "z", [5]), "prompt": "other"}]
    found = generation.compare(theirs, ours, explained(0.0))
    assert (list(found.partings), found.unequal, found.prompts) == ([0], [1], [2])


def test_the_tokens_where_texts_part_are_scored(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from evalkit.models import ModelOptions, load_model
    from tests.tiny_models import tiny_model

    folder = tiny_model("llama", tmp_path_factory.getbasetemp())
    loaded = load_model(str(folder), ModelOptions(dtype="float32", device="cpu"))
    found = parting(loaded, "The moon", [5, 6, 7], [5, 9])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        logits = model(torch.tensor([[*loaded.tokenizer("The moon")["input_ids"], 5]])).logits[0, -1]
    assert found.place == 1
    assert found.gap == pytest.approx(float(logits[6] - logits[9]), abs=1e-5)
    assert parting(loaded, "The moon", [5, 6], [5]).gap is None


def test_sacrebleu_command() -> None:
    import sacrebleu

    texts = [("Das Haus ist klein.", "Das Haus ist sehr klein."), ("Es regnet", "Heute regnet es.")]
    samples = [{**sample(place, text, []), "target": target} for place, (text, target) in enumerate(texts)]
    hypotheses, references = [text for text, _ in texts], [[target for _, target in texts]]
    scores = {
        "bleu": sacrebleu.corpus_bleu(hypotheses, references).score,
        "chrf++": sacrebleu.corpus_chrf(hypotheses, references, word_order=2).score,
        "ter": sacrebleu.corpus_ter(hypotheses, references).score,
    }
    lines, broken = generation.sacrebleu_lines(CASE, side(*samples, **scores))
    assert len(lines) == 3
    assert broken == []
    _, broken = generation.sacrebleu_lines(CASE, side(*samples, **(scores | {"ter": 0.0})))
    assert len(broken) == 1


def test_names_of_cases() -> None:
    names = [case.name for case in CASES if case.generates]
    assert "lm-eval:wmt22_en_de" in names
    assert not any(Path(name).is_absolute() for name in names)
