"""Drift against KL and perplexity computed whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evalkit.models import load_model
from evalkit.sft.outcome import drift, general_text
from tests.sft.examples import OPTIONS, chat_model

TEXT = ("The quick brown fox jumps over the lazy dog.", "Energy is neither created nor destroyed.")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return chat_model(folder), chat_model(folder, seed=1)


def test_against_the_whole_distributions(models: tuple[str, str], tmp_path: Path) -> None:
    (found,) = drift(*models, OPTIONS, {"text": TEXT}, tmp_path)
    base, tuned = (load_model(one, OPTIONS) for one in models)
    kl = before = after = agreeing = tokens = 0.0
    for passage in TEXT:
        ids = torch.tensor([base.tokenizer(passage, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            one, other = (torch.log_softmax(model.model(ids).logits[0, :-1].double(), -1) for model in (base, tuned))
        targets = ids[0, 1:, None]
        kl += float(torch.nn.functional.kl_div(other, one, reduction="sum", log_target=True))
        before -= float(one.gather(1, targets).sum())
        after -= float(other.gather(1, targets).sum())
        agreeing += int((one.argmax(-1) == other.argmax(-1)).sum())
        tokens += len(targets)
    assert found.tokens == tokens
    assert found.kl == pytest.approx(kl / tokens, abs=1e-5)
    assert found.nll_before == pytest.approx(before / tokens, abs=1e-5)
    assert found.nll_after == pytest.approx(after / tokens, abs=1e-5)
    assert found.agreement == pytest.approx(agreeing / tokens)
    assert found.kl > 0.1
    assert list(tmp_path.iterdir()) == []


def test_a_model_has_not_drifted_from_itself(models: tuple[str, str], tmp_path: Path) -> None:
    (found,) = drift(models[0], models[0], OPTIONS, {"text": TEXT}, tmp_path)
    assert (found.kl, found.agreement) == (0, 1)
    assert found.nll_before == found.nll_after


def test_models_of_different_tokens_are_not_compared(models: tuple[str, str], tmp_path: Path) -> None:
    from tests.tiny_models import tiny_model

    other = tiny_model("llama", tmp_path / "models")
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(other)
    tokenizer.add_tokens(["quick brown fox"])
    tokenizer.save_pretrained(other)
    assert drift(models[0], str(other), OPTIONS, {"text": TEXT}, tmp_path) == ()


def test_the_general_text_is_english_and_chinese() -> None:
    text = "".join(general_text())
    assert sum("一" <= character <= "鿿" for character in text) > 200
    assert len(text.encode()) > 3000
