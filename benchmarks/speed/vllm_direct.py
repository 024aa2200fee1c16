"""vLLM without lm-eval, as a careful user would ask it, behind evalkit's own data, prompts and metrics.

One-token answers to the same prompt are one request for the next token's log-probabilities (`logprob_token_ids`), which
may use vLLM's prefix cache. Longer answers need `prompt_logprobs`, for which vLLM does not read its prefix cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.speed.cases import Case
from benchmarks.speed.measurement import Measurement
from evalkit.chat import ChatFormat, Turns
from evalkit.engine import sequences as token_sequences
from evalkit.errors import UsageError
from evalkit.requests import Request, Response, Roll, Score

if TYPE_CHECKING:
    from evalkit.backends.base import Answer, Prepared
    from evalkit.results import ModelInfo


@dataclass(frozen=True, slots=True)
class VllmPrepared:
    """Requests and the token sequences that answer them, by request."""

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]
    sequences: Sequence[Sequence[token_sequences.Sequence]]


class VllmBackend:
    """Answers requests with `vllm.LLM`.

    Args:
        directory: The model.
        max_length: Inputs a sequence may have; None takes what the model's own length leaves.
    """

    def __init__(self, directory: str, max_length: int | None) -> None:
        from vllm import LLM

        from evalkit.engine.tokenization import TextEncoder
        from evalkit.models import load_tokenizer
        from evalkit.models.tokenizer import prefix_token

        # a prompt holds one token more than the inputs, and vLLM always generates one
        length = None if max_length is None else max_length + 2
        self.llm = LLM(model=directory, dtype="float32", max_model_len=length, enforce_eager=True)
        self.max_length = max_length or self.llm.llm_engine.model_config.max_model_len - 2
        tokenizer = load_tokenizer(directory)
        self.prefix_token = prefix_token(tokenizer)
        self.encoder = TextEncoder(tokenizer, self.prefix_token)
        self.directory = directory
        self.budget = 1
        self.device = "cpu"
        self._asked = 0
        self._computed = 0

    @property
    def info(self) -> ModelInfo:
        """The model's directory; nothing is hashed."""
        from evalkit.results import ModelInfo

        return ModelInfo(self.directory, "directory", None, None, "float32", "", "", None, {})

    def settings(self) -> dict[str, Any]:
        """The engine's name."""
        return {"engine": "vllm"}

    chat = ChatFormat()

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """No case has a chat template."""
        raise UsageError("this benchmark asks plain prompts", hint="leave --chat-template out")

    def cost(self, prepared: Prepared, seconds: float) -> None:
        """vLLM plans for itself."""

    def prepare(self, requests: Sequence[Request]) -> VllmPrepared:
        """Tokenises the requests by evalkit's rules."""
        asked = [request for request in requests if isinstance(request, Score)]
        pairs = iter(self.encoder.encode_pairs([(r.context, r.continuation) for r in asked], [r.shared for r in asked]))
        texts = iter(self.encoder.encode([r.text for r in requests if isinstance(r, Roll)], special_tokens=False))
        sequences = [
            [token_sequences.continuation_sequence(*next(pairs), self.max_length)]
            if isinstance(request, Score)
            else list(token_sequences.rolling_sequences(next(texts), self.prefix_token, self.max_length))
            for request in requests
        ]
        tokens = [sum(len(sequence.inputs) for sequence in own) for own in sequences]
        return VllmPrepared(requests, [0] * len(requests), tokens, sequences)

    def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
        """Answers all requests at once: vLLM does its own batching."""
        assert isinstance(prepared, VllmPrepared)
        assert not done
        everything = [sequence for own in prepared.sequences for sequence in own]
        self._asked += sum(prepared.tokens)
        scores = iter(self._score(everything))
        yield [(index, _response(own, [next(scores) for _ in own])) for index, own in enumerate(prepared.sequences)]

    def counters(self) -> dict[str, int]:
        """Tokens asked for, and tokens of all prompts without those that vLLM took from its prefix cache."""
        return {"tokens_asked": self._asked, "tokens_computed": self._computed}

    def _score(self, sequences: Sequence[token_sequences.Sequence]) -> list[tuple[np.ndarray, bool]]:
        """Log-probability of each target (nats), and whether all were the most probable, for each sequence."""
        from vllm import SamplingParams, TokensPrompt

        asked: dict[tuple[bytes, bytes], list[int]] = {}
        for place, sequence in enumerate(sequences):
            rest = sequence.targets if len(sequence.targets) > 1 else sequence.targets[:0]
            asked.setdefault((sequence.inputs.tobytes(), rest.tobytes()), []).append(place)
        prompts, parameters = [], []
        for places in asked.values():
            first = sequences[places[0]]
            tokens, own = first.inputs.tolist(), {"prompt_logprobs": 0, "flat_logprobs": True}
            if len(first.targets) > 1:
                tokens.append(int(first.targets[-1]))
            else:
                own = {"logprob_token_ids": sorted({int(sequences[place].targets[0]) for place in places})}
            prompts.append(TokensPrompt(prompt_token_ids=tokens))
            parameters.append(SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, **own))
        scores: dict[int, tuple[np.ndarray, bool]] = {}
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        for output, places in zip(outputs, asked.values(), strict=True):
            self._computed += len(output.prompt_token_ids) - (output.num_cached_tokens or 0)
            for place in places:
                scores[place] = _read(output, sequences[place])
        return [scores[place] for place in range(len(sequences))]


def _read(output: Any, sequence: token_sequences.Sequence) -> tuple[np.ndarray, bool]:
    targets = sequence.targets.tolist()
    if len(targets) == 1:
        completion = output.outputs[0]
        return np.array([completion.logprobs[0][targets[0]].logprob]), completion.token_ids[0] == targets[0]
    first = sequence.first_scored + 1
    rows = [output.prompt_logprobs[first + place][token] for place, token in enumerate(targets)]
    return np.array([row.logprob for row in rows]), all(row.rank == 1 for row in rows)


def _response(sequences: Sequence[token_sequences.Sequence], scores: Sequence[tuple[np.ndarray, bool]]) -> Response:
    values = np.concatenate([values for values, _ in scores])
    return Response(
        log_probability=float(values.sum()),
        greedy=all(greedy for _, greedy in scores),
        token_log_probabilities=tuple(values.tolist()),
        context_tokens=sequences[0].first_scored + 1,
        truncated=sequences[0].truncated,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", required=True, help="directory of the model")
    parser.add_argument("--data-dir")
    parser.add_argument("--case", required=True, help="JSON object")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    from benchmarks.speed.engines import evalkit_tasks
    from evalkit import api

    case = Case(**json.loads(arguments.case))
    run = api.run(
        model=VllmBackend(arguments.pretrained, case.max_length),
        tasks=evalkit_tasks(case),
        limit=f"first:{case.documents}",
        over_length="truncate",
        data_dir=arguments.data_dir,
        offline=True,
    )
    Measurement.of_run(run).write(arguments.output)


if __name__ == "__main__":
    main()
