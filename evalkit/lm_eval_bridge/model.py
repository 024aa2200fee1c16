"""evalkit's engine as a model of lm-eval: `--model evalkit`.

lm-eval 0.4.13 finds models in its own table only, so its command line is started through
`python -m evalkit.lm_eval_bridge`, which imports this module first. From Python, importing it is enough.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.api.registry import register_model

from evalkit.errors import ModelError
from evalkit.lm_eval_bridge.generation import decoding_of, texts_of
from evalkit.models import ModelOptions, load_model, render_chat
from evalkit.requests import Generate, Generation, Request, Response, Roll, Score

if TYPE_CHECKING:
    from evalkit.backends.local import LocalBackend

Answer = TypeVar("Answer", Response, Generation)


@register_model("evalkit")
class EvalkitLM(LM):  # type: ignore[misc]
    """Answers lm-eval's requests with evalkit's engine.

    Args:
        pretrained: Any model that evalkit knows: a hub id, a directory, a .gguf file, `peft:DIR`, `smollm2`.
        device: As `ModelOptions.device`; a CUDA device that is not there means `auto`, because lm-eval's command line
            passes `cuda:0` when the user says nothing.
        dtype: As `ModelOptions.dtype`: unlike lm-eval's `hf`, float32 on a CPU whatever the checkpoint says.
        max_length: Context length in tokens.
        batch_tokens: Distinct tokens a batch may hold. lm-eval's own `batch_size` counts rows and is not used.
        compat: Whether to compute as lm-eval's `hf` does even where that is wrong (a second beginning-of-sequence token
            that is scored in whole texts; log-softmax in the model's dtype).
        trust_remote_code: Runs Python code that comes with the model.
        offline: Touches no network.
        batch_size: Ignored.
        max_batch_size: Ignored.
    """

    def __init__(
        self,
        pretrained: str,
        device: str | None = None,
        dtype: str = "auto",
        max_length: int | None = None,
        batch_tokens: int | None = None,
        compat: bool = True,
        trust_remote_code: bool = False,
        offline: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        from evalkit.backends.local import LocalBackend, LocalOptions

        super().__init__()
        options = ModelOptions(
            dtype=dtype,
            device=_device(device),
            trust_remote_code=trust_remote_code,
            max_length=max_length,
            offline=offline,
        )
        self.backend: LocalBackend = LocalBackend(
            load_model(pretrained, options), LocalOptions(token_budget=batch_tokens, compat_lm_eval=compat)
        )
        self.tokenizer = self.backend.loaded.tokenizer
        self._device = self.backend.loaded.device

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log P(continuation | context) in nats, and whether greedy decoding gives the continuation."""
        asked = [Score(*instance.args) for instance in requests]
        answers = [(response.log_probability, response.greedy) for response in self._answer(asked, Response)]
        for instance, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", instance.args, answer)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log P(text) in nats, every token scored once."""
        asked = [Roll(*instance.args) for instance in requests]
        answers = [response.log_probability for response in self._answer(asked, Response)]
        for instance, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", instance.args, answer)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Text after each context, cut before the first stop text, with `generation_kwargs` read as `hf` reads them.

        The same request several times (`repeats` of a task) is asked once for so many samples, each with draws of its own.

        Raises:
            UsageError: The kwargs hold what evalkit does not know.
        """
        places: dict[tuple[str, str], list[int]] = {}
        for place, instance in enumerate(requests):
            context, settings = instance.args
            places.setdefault((context, json.dumps(settings, sort_keys=True)), []).append(place)
        end = self.tokenizer.decode([self.tokenizer.eos_token_id]) if self.tokenizer.eos_token_id is not None else None
        asked = [
            Generate(context, decoding_of(json.loads(settings), len(same), end=end))
            for (context, settings), same in places.items()
        ]
        answers = [""] * len(requests)
        for request, same, reply in zip(asked, places.values(), self._answer(asked, Generation), strict=True):
            for place, text in zip(same, texts_of(reply, request.decoding, len(same)), strict=True):
                answers[place] = text
        for instance, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("generate_until", instance.args, answer)
        return answers

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the model's chat template renders it."""
        if add_generation_prompt:
            return render_chat(self.tokenizer, chat_history)
        text = self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=False, continue_final_message=True
        )
        assert isinstance(text, str)
        return text

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template's source, for lm-eval's result file."""
        template: str | None = TemplateLM.chat_template(self, chat_template)
        return template

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval keys its cache of requests by."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """Identity of the model, for lm-eval's result file."""
        info = self.backend.info
        return {
            "model_num_parameters": info.parameters,
            "model_dtype": info.dtype,
            "model_revision": info.revision,
            "model_sha": info.weights_sha256,
        }

    def _answer(self, requests: Sequence[Request], kind: type[Answer]) -> list[Answer]:
        answers = dict(self.backend.answer(requests))
        replies = [answers[index] for index in sorted(answers)]
        found: list[Answer] = [reply for reply in replies if isinstance(reply, kind)]
        if len(found) != len(requests):
            raise ModelError(
                f"the engine answered {len(found)} of {len(requests)} requests", hint="Please report this."
            )
        return found


def _device(asked: str | None) -> str:
    import torch

    if asked is None or (asked.startswith("cuda") and not torch.cuda.is_available()):
        return "auto"
    return asked
