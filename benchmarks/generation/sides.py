"""Generates the texts of one case in one way (one process, one model load), and says how long it took."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.generation.cases import Case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=sorted(SIDES), required=True)
    parser.add_argument("--pretrained", required=True, help="directory of the model")
    parser.add_argument("--case", type=Path, required=True, help="JSON file")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--slots", type=int, help="of evalkit")
    parser.add_argument("--prompt-tokens", type=int, help="of evalkit, in a step")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    case = Case.read(arguments.case)
    generate = SIDES[arguments.side](arguments)
    warm = case.first(1)
    generate(Case(warm.name, tuple(prompt[-80:] for prompt in warm.prompts), warm.stop, 4))
    start, cpu = time.perf_counter(), time.process_time()
    texts, tokens = generate(case)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    arguments.output.write_text(
        json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "tokens": tokens, "texts": texts})
    )


Texts = tuple[list[str], int]


def evalkit(arguments: argparse.Namespace) -> Callable[[Case], Texts]:
    """evalkit's built-in engine."""
    from evalkit.backends.local import LocalBackend
    from evalkit.decoding import Decoding
    from evalkit.models import ModelOptions, load_model
    from evalkit.requests import Generate, Generation

    backend = LocalBackend(load_model(arguments.pretrained, ModelOptions(dtype="float32", device="cpu")))
    limits = backend.engine.generator.limits
    limits.slots = arguments.slots or limits.slots
    limits.budget = arguments.prompt_tokens or limits.budget

    def generate(case: Case) -> Texts:
        decoding = Decoding(max_new_tokens=case.max_new_tokens, stop=case.stop)
        replies = dict(backend.answer([Generate(prompt, decoding) for prompt in case.prompts]))
        texts, tokens = [], 0
        for index in range(len(case.prompts)):
            reply = replies[index]
            assert isinstance(reply, Generation)
            texts.append(reply.completions[0].text)
            tokens += reply.completions[0].tokens
        return texts, tokens

    return generate


def lm_eval(arguments: argparse.Namespace) -> Callable[[Case], Texts]:
    """lm-eval's `hf` model."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=arguments.pretrained, dtype="float32", batch_size=arguments.batch_size, device="cpu")

    def generate(case: Case) -> Texts:
        settings = {"until": list(case.stop), "do_sample": False, "max_gen_toks": case.max_new_tokens}
        requests = [
            Instance("generate_until", {}, (prompt, dict(settings)), index) for index, prompt in enumerate(case.prompts)
        ]
        texts = model.generate_until(requests, disable_tqdm=True)
        return texts, _count(model.tokenizer, texts)

    return generate


def static(arguments: argparse.Namespace) -> Callable[[Case], Texts]:
    """transformers' `generate` on batches of like length, padded on the left."""
    import torch

    model, tokenizer = _load(arguments.pretrained)

    def generate(case: Case) -> Texts:
        order = sorted(range(len(case.prompts)), key=lambda index: -len(tokenizer(case.prompts[index])["input_ids"]))
        texts = [""] * len(order)
        for start in range(0, len(order), arguments.batch_size):
            batch = order[start : start + arguments.batch_size]
            inputs = tokenizer([case.prompts[index] for index in batch], padding=True, return_tensors="pt")
            with torch.inference_mode():
                output = model.generate(
                    **inputs,
                    max_new_tokens=case.max_new_tokens,
                    do_sample=False,
                    stop_strings=list(case.stop),
                    tokenizer=tokenizer,
                    pad_token_id=tokenizer.pad_token_id,
                )
            for index, row in zip(batch, output[:, inputs["input_ids"].shape[1] :], strict=True):
                texts[index] = _cut(tokenizer.decode(row, skip_special_tokens=True), case.stop)
        return texts, _count(tokenizer, texts)

    return generate


def continuous(arguments: argparse.Namespace) -> Callable[[Case], Texts]:
    """transformers' continuous batching, which knows no stop texts: every answer goes on to an end token or the limit."""
    from transformers import GenerationConfig

    model, tokenizer = _load(arguments.pretrained)

    def generate(case: Case) -> Texts:
        config = GenerationConfig(
            max_new_tokens=case.max_new_tokens,
            do_sample=False,
            eos_token_id=model.generation_config.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        inputs = tokenizer(list(case.prompts))["input_ids"]
        found: dict[str, Any] = model.generate_batch(inputs, generation_config=config)
        # requests are numbered in the order in which they were given
        outputs = [found[key] for key in sorted(found, key=lambda key: int(key.rpartition("_")[2]))]
        by_prompt = {tuple(one.prompt_ids): one.generated_tokens for one in outputs}
        texts = [_cut(tokenizer.decode(by_prompt[tuple(ids)], skip_special_tokens=True), case.stop) for ids in inputs]
        return texts, _count(tokenizer, texts)

    return generate


def _load(pretrained: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pretrained, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return AutoModelForCausalLM.from_pretrained(pretrained, dtype=torch.float32).eval(), tokenizer


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def _count(tokenizer: Any, texts: list[str]) -> int:
    """Tokens of the texts: what is left of an answer when its stop text is cut off."""
    return sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)


SIDES: dict[str, Callable[[argparse.Namespace], Callable[[Case], Texts]]] = {
    "evalkit": evalkit,
    "lm-eval hf": lm_eval,
    "generate": static,
    "generate_batch": continuous,
}
"""Name -> what loads the model and returns a function from a case to its texts and the number of their tokens."""


if __name__ == "__main__":
    main()
