"""evalkit's engine inside lm-eval, held to lm-eval's `hf` model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import CHAT_TEMPLATE, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

PAIRS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is ", "Paris"),
    ("", "A stitch in time"),
    ("Question: What?\nAnswer:", " the whistle told her that the tea could be made"),
    ("The quick brown fox " * 12, "jumps over the lazy dog"),
    ("The capital of France is", " Paris"),
]
TEXTS = ["Energy is neither created nor destroyed.", "tea " * 70, "x", "héllo wörld ☃"]


def instances(kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, one, index, (None, index, 1)) for index, one in enumerate(arguments)]  # type: ignore[arg-type]


def both(folder: Path) -> tuple[Any, Any]:
    from lm_eval.api.registry import get_model
    from lm_eval.models.huggingface import HFLM

    import evalkit.lm_eval_bridge.model

    ours = get_model("evalkit").create_from_arg_string(f"pretrained={folder}", {"device": "cpu", "batch_size": 1})
    assert isinstance(ours, evalkit.lm_eval_bridge.model.EvalkitLM)
    return ours, HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=2)


@pytest.mark.parametrize("add_bos", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "bloom", "mamba"])
def test_as_hf(name: str, add_bos: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    fields = {"llama": "max_position_embeddings", "gemma3": "max_position_embeddings", "gpt2": "n_positions"}
    limit = {fields[name]: 64} if name in fields else {}
    ours, theirs = both(tiny_model(name, tmp_path_factory.getbasetemp(), add_bos=add_bos, **limit))
    expected = theirs.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    found = ours.loglikelihood(instances("loglikelihood", PAIRS))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-3)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    texts = [(text,) for text in TEXTS]
    assert ours.loglikelihood_rolling(instances("loglikelihood_rolling", texts)) == pytest.approx(
        theirs.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True), abs=1e-3
    )


def test_without_compat_no_second_bos_is_scored(tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from evalkit.lm_eval_bridge.model import EvalkitLM

    folder = tiny_model("llama", tmp_path, add_bos=True)
    asked = instances("loglikelihood_rolling", [(TEXTS[0],)])
    (right,) = EvalkitLM(str(folder), device="cpu", compat=False).loglikelihood_rolling(asked)
    plain = HFLM(pretrained=str(folder), dtype="float32", device="cpu", add_bos_token=False)
    assert [right] == pytest.approx(plain.loglikelihood_rolling(asked, disable_tqdm=True), abs=1e-3)
    (compatible,) = EvalkitLM(str(folder), device="cpu").loglikelihood_rolling(asked)
    assert abs(right - compatible) > 0.1


def test_whole_evaluation(yardstick: Any, model: Path) -> None:
    from evalkit.lm_eval_bridge.model import EvalkitLM

    names = ["toy_choice", "toy_cloze", "toy_pages"]
    expected, found = yardstick(names), yardstick(names, lm=EvalkitLM(str(model), device="cpu"))
    for name in names:
        for metric, value in expected["results"][name].items():
            wanted = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
            assert found["results"][name][metric] == wanted, (name, metric)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_texts_are_those_of_hf(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ours, theirs = both(tiny_model(name, tmp_path_factory.getbasetemp()))
    contexts = [context for context, _ in PAIRS if context]
    settings: list[dict[str, Any]] = [
        {"until": [], "max_gen_toks": 12},
        {"until": ["\n"], "do_sample": False, "max_gen_toks": 5},
    ]
    free = ours.generate_until(instances("generate_until", [(context, settings[0]) for context in contexts]))
    stop = free[0][3:5]  # crosses the borders of tokens, most likely
    settings.append({"until": [stop], "max_gen_toks": 12, "temperature": 0.0})
    asked = [(context, kwargs) for kwargs in settings for context in contexts]
    expected = theirs.generate_until(instances("generate_until", asked), disable_tqdm=True)
    assert ours.generate_until(instances("generate_until", asked)) == expected
    assert expected[-len(contexts)] == free[0][: free[0].index(stop)] != free[0]


def test_repeats_are_drawn_apart(model: Path) -> None:
    from evalkit.lm_eval_bridge.model import EvalkitLM

    kept: list[tuple[str, Any, str]] = []
    ours = EvalkitLM(str(model), device="cpu")
    ours.cache_hook.add_partial = lambda *row: kept.append(row)
    drawn = ("The capital of France is", {"until": [], "do_sample": True, "temperature": 1.0, "max_gen_toks": 6})
    greedy = ("The capital of France is", {"until": [], "max_gen_toks": 6})
    texts = ours.generate_until(instances("generate_until", [drawn, greedy, drawn, drawn, greedy]))
    assert len({texts[0], texts[2], texts[3]}) == 3
    assert texts[1] == texts[4]
    assert [(kind, text) for kind, _, text in kept] == [("generate_until", text) for text in texts]
    assert texts == ours.generate_until(instances("generate_until", [drawn, greedy, drawn, drawn, greedy]))


def test_chat(tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from evalkit.lm_eval_bridge.model import EvalkitLM

    folder = tiny_model("llama", tmp_path, chat_template=CHAT_TEMPLATE)
    ours, theirs = EvalkitLM(str(folder), device="cpu"), HFLM(pretrained=str(folder), device="cpu")
    turns = [{"role": "user", "content": "Hi"}]
    assert ours.apply_chat_template(turns) == theirs.apply_chat_template(turns)
    assert ours.chat_template(True) == theirs.chat_template(True) == CHAT_TEMPLATE
    assert ours.tokenizer_name == theirs.tokenizer_name


def test_command_line_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evalkit.lm_eval_bridge.__main__ import main

    arguments = ["run", "--model", "evalkit", "--model_args", f"pretrained={tmp_path}/none", "--tasks", "arc_easy"]
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # as lm-eval sets it, so that it is put back
    monkeypatch.setattr(sys, "argv", ["evalkit.lm_eval_bridge", *arguments])
    assert main() == 5
    assert "error: there is no model directory" in capsys.readouterr().err
