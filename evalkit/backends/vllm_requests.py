"""What vLLM is asked for one prompt, and its outputs as our answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.backends.continuation import Continuation
from evalkit.backends.seeds import request_seed
from evalkit.backends.stop_texts import cut_at_stop
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.requests import Completion, Finish, Generate, Response
from evalkit.thinking import may_think

if TYPE_CHECKING:
    from vllm import SamplingParams


def score_prompt(sequence: TokenSequence) -> list[int]:
    """The prompt that scores a sequence: its inputs, and its last target where several are scored."""
    tokens: list[int] = sequence.inputs.tolist()
    return tokens if len(sequence.targets) == 1 else [*tokens, int(sequence.targets[-1])]


def score_request(sequences: Sequence[TokenSequence]) -> tuple[list[int], SamplingParams]:
    """The prompt and parameters that score sequences with the same prompt, either all of one target or none."""
    from vllm import SamplingParams

    how: dict[str, Any] = {"prompt_logprobs": 0, "flat_logprobs": True}
    if len(sequences[0].targets) == 1:
        how = {"logprob_token_ids": sorted({int(sequence.targets[0]) for sequence in sequences})}
    parameters = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, **how)
    return score_prompt(sequences[0]), parameters


def read_scores(output: Any, sequence: TokenSequence) -> tuple[np.ndarray, bool]:
    """Log-probability of each target (nats), and whether all were the most probable."""
    targets = sequence.targets.tolist()
    if len(targets) == 1:
        completion = output.outputs[0]
        return np.array([completion.logprobs[0][targets[0]].logprob]), completion.token_ids[0] == targets[0]
    first = sequence.first_scored + 1
    rows = [output.prompt_logprobs[first + place][token] for place, token in enumerate(targets)]
    return np.array([row.logprob for row in rows]), all(row.rank == 1 for row in rows)


def response(sequences: Sequence[TokenSequence], scores: Sequence[tuple[np.ndarray, bool]]) -> Response:
    """The answer from the scores of all sequences of a request."""
    values = np.concatenate([values for values, _ in scores])
    return Response(
        log_probability=float(values.sum()),
        greedy=all(greedy for _, greedy in scores),
        token_log_probabilities=tuple(values.tolist()),
        context_tokens=sequences[0].first_scored + 1,
        truncated=sequences[0].truncated,
    )


def generation_parameters(request: Generate, continuation: Continuation) -> SamplingParams:
    """How vLLM continues the prompt; it adds the end tokens of the model's generation configuration by itself."""
    from vllm import SamplingParams

    decoding = request.decoding
    return SamplingParams(
        n=decoding.samples,
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        top_k=decoding.top_k,
        max_tokens=decoding.max_new_tokens,
        stop=None if may_think(request) else list(continuation.decoding(request).stop),
        stop_token_ids=sorted(continuation.end_tokens(request)),
        seed=None if decoding.is_greedy else request_seed(decoding.seed, request.prompt),
    )


def completion(output: Any, request: Generate, continuation: Continuation) -> Completion:
    """One of vLLM's texts, read as the built-in engine reads its tokens."""
    asked = replace(request, decoding=continuation.decoding(request))
    text, stopped = cut_at_stop(continuation.decoder(request.decoding.thinking)(output.token_ids), asked)
    finish: Finish = "length" if output.finish_reason == "length" and not stopped else "stop"
    return Completion(text, finish, len(output.token_ids), tuple(output.token_ids))
