"""Scoring with encoder-decoder models: what the encoder reads is encoded once for all continuations after it."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from evalkit.engine import plan
from evalkit.engine.forward import SplitModel
from evalkit.engine.paths import Launched, padded, row_pairs
from evalkit.engine.plan import Batch, EncoderDecoderBatch
from evalkit.engine.planner import PairedPlanner
from evalkit.engine.self_check import SelfCheck, expected_values, largest_difference
from evalkit.engine.sequences import EncoderDecoderSequence, Sequence, TokenArray
from evalkit.engine.transfer import to_device
from evalkit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput


def split_model(model: PreTrainedModel) -> SplitModel:
    """The model as trunk and head: an `EncoderDecoderModel` where its configuration says that it is one."""
    return EncoderDecoderModel(model) if model.config.is_encoder_decoder else SplitModel(model)


class EncoderDecoderModel(SplitModel):
    """An encoder-decoder as encoder, trunk (its decoder) and head (all that comes after).

    Args:
        model: A transformers model of `AutoModelForSeq2SeqLM` in evaluation mode.

    Attributes:
        start: int32 [1 or 2], what every text of the decoder begins with: the start token, then the token that the
            model's generation settings force as the first (the target language of mBART-50, M2M100 and NLLB).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self.start = decoder_start(self.core)

    def _find_trunk(self) -> tuple[torch.nn.Module, str | None]:
        decoder = self.core.get_decoder()
        for owner in self.core.modules():
            for name, child in owner.named_children():
                if child is decoder:
                    return owner, name
        return self.core, None

    def _splits(self) -> bool:
        device = self.core.device
        tokens = torch.arange(8, device=device)[None]
        mask = torch.ones_like(tokens)
        with torch.inference_mode():
            encoded = self.encode(tokens, mask)
            whole = self._whole(tokens, encoded, mask)
            try:
                logits = self._head(self._decode(tokens, encoded, mask))
            except (AttributeError, TypeError, IndexError):
                return False
        return bool(logits.shape == whole.shape and torch.allclose(logits, whole, rtol=1e-2, atol=1e-2))

    def encode(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The encoder's hidden states [texts, tokens, size]."""
        hidden: torch.Tensor = self.core.get_encoder()(input_ids=tokens, attention_mask=mask).last_hidden_state
        return hidden

    def decoder_states(self, tokens: torch.Tensor, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What `log_probabilities` needs of the decoder: hidden states [rows, tokens, size], or all logits.

        Args:
            tokens: int64 [rows, tokens], decoder inputs.
            encoded: [rows, encoder tokens, size], from `encode`.
            mask: int64 [rows, encoder tokens], 0 at padding.
        """
        return self._decode(tokens, encoded, mask) if self.split else self._whole(tokens, encoded, mask)

    def _decode(self, tokens: torch.Tensor, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = self.core.get_decoder()(
            input_ids=tokens, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
        )
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def _whole(self, tokens: torch.Tensor, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.core(
            encoder_outputs=encoder_output(encoded), attention_mask=mask, decoder_input_ids=tokens, use_cache=False
        ).logits
        return logits

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        with self._given(hidden):
            logits: torch.Tensor = self.core(
                encoder_outputs=encoder_output(hidden),
                decoder_input_ids=torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device),
                use_cache=False,
            ).logits
        return logits

    def start_before_labels(self, targets: TokenArray) -> TokenArray:
        """What the model itself puts before `targets` when it is given them as labels, int32 [1].

        That is how lm-eval's `hf` model scores. It leaves the forced first token out, and mBART takes the last target for
        the start: it expects the language there.
        """
        labels = torch.from_numpy(targets.astype(np.int64))[None].to(self.core.device)
        inputs = self.core.prepare_decoder_input_ids_from_labels(labels=labels)
        return np.array([int(inputs[0, 0])], dtype=np.int32)


def encoder_output(hidden: torch.Tensor) -> BaseModelOutput:
    """Hidden states in the form in which models take them for `encoder_outputs`."""
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=hidden)


def decoder_start(model: PreTrainedModel) -> TokenArray:
    """What the decoder begins with: see `EncoderDecoderModel.start`.

    Raises:
        ModelError: The model does not say.
    """

    def named(name: str) -> int | None:
        """From the generation settings, else from the configuration, where older checkpoints keep it."""
        value = getattr(model.generation_config, name, None)
        return value if value is not None else getattr(model.config, name, None)

    first = named("decoder_start_token_id")
    if first is None:
        first = named("bos_token_id")
    if first is None:
        raise ModelError(
            "the encoder-decoder does not say which token its decoder starts with",
            hint="set decoder_start_token_id in its generation_config.json (mBART: the target language's token)",
        )
    forced = named("forced_bos_token_id")
    return np.array([first] if forced is None else [first, forced], dtype=np.int32)


class EncoderDecoderPath:
    """Every distinct encoder input once; decoder rows padded on the right, where a causal decoder does not look.

    Args:
        split: The model.
        upcast: See `SplitModel.log_probabilities`.
        alone: One sequence at a time, so that a score does not depend on what else is computed.
    """

    name = "encoder-decoder"

    def __init__(self, split: EncoderDecoderModel, *, upcast: bool = True, alone: bool = False) -> None:
        self.split = split
        self.upcast = upcast
        self.planner = PairedPlanner(alone)
        self.device = split.core.device

    def launch(self, sequences: Sequences[Sequence], batch: Batch) -> Launched:
        """Encodes a batch's inputs and scores all that comes after them."""
        if not isinstance(batch, EncoderDecoderBatch):
            raise TypeError("the encoder-decoder path computes batches of its own")
        own = cast("Sequences[EncoderDecoderSequence]", sequences)
        texts, text_mask = padded([own[index].encoder_inputs for index in batch.encoded])
        count, values = int(text_mask.sum()), []
        with torch.inference_mode():
            mask = to_device(text_mask, self.device)
            encoded = self.split.encode(to_device(texts, self.device), mask)
            for one in batch.passes:
                rows, row_mask = padded([own[row[-1]].inputs for row in one.rows])
                places = to_device(np.array(one.encoded), self.device)
                states = self.split.decoder_states(to_device(rows, self.device), encoded[places], mask[places])
                pairs = row_pairs(own, one.rows, rows.shape[1])
                values.append(self.split.log_probabilities(states.flatten(0, 1), pairs, upcast=self.upcast))
                count += int(row_mask.sum())
        counts = np.array([len(own[index].targets) for index in batch.indices], dtype=np.int64)
        return Launched(batch.indices, [0] * len(counts), counts, torch.cat(values, dim=1), count)


def choose_encoder_decoder_path(
    split: EncoderDecoderModel, max_length: int, *, upcast: bool = True, deterministic: bool = False
) -> tuple[EncoderDecoderPath, SelfCheck]:
    """The path, together or one sequence at a time, whichever agrees with plain forward passes of one sequence each.

    Raises:
        ModelError: Neither does.
    """
    sequences, (expected, tolerance) = probe(split, max_length)
    found = []
    for alone in (True,) if deterministic else (False, True):
        path = EncoderDecoderPath(split, alone=alone)
        found.append(largest_difference(_values(path, sequences), expected))
        if found[-1] is not None and found[-1] <= tolerance:
            path.upcast = upcast
            how = "one at a time" if alone else None
            return path, SelfCheck("encoder-decoder", None, found[-1], tolerance, 0, how)
    raise ModelError(
        "the encoder-decoder does not agree with itself: its log-probabilities differ from single forward passes by "
        f"{' and '.join('not a number' if one is None else f'{one:.2g}' for one in found)} nats, more than {tolerance:g}",
        hint="the model may not mask padding; try --dtype float32, or report the model",
    )


def probe(
    split: EncoderDecoderModel, max_length: int
) -> tuple[list[EncoderDecoderSequence], tuple[list[np.ndarray], float]]:
    """Sequences to try the model with; their log-probabilities by plain forward passes, and the tolerance (nats)."""
    sequences = _probe_sequences(split, max_length)
    return sequences, expected_values(split, sequences, lambda copies: _plain(split, sequences, copies))


def _probe_sequences(split: EncoderDecoderModel, max_length: int) -> list[EncoderDecoderSequence]:
    """Encoder inputs of several lengths, two of them the same, with continuations of several lengths."""
    generator = np.random.default_rng(0)
    low, high = split.vocabulary // 10, split.vocabulary - split.vocabulary // 10
    sequences: list[EncoderDecoderSequence] = []
    for text, scored in ((24, 5), (24, 3), (11, 8), (1, 1)):
        encoder = generator.integers(low, high, size=min(text, max_length)).astype(np.int32)
        if sequences and text == len(sequences[-1].encoder_inputs):
            encoder = sequences[-1].encoder_inputs
        targets = generator.integers(low, high, size=min(scored, max(1, max_length - 1))).astype(np.int32)
        inputs = np.concatenate([split.start, targets[:-1]])
        sequences.append(EncoderDecoderSequence(inputs=inputs, targets=targets, encoder_inputs=encoder))
    return sequences


def _plain(split: EncoderDecoderModel, sequences: Sequences[EncoderDecoderSequence], copies: int) -> list[np.ndarray]:
    """Log-probabilities (nats) of each sequence's targets from one whole forward pass each, by the model as it was loaded.

    With `copies` the sequence stands in so many rows: what then differs is the noise of products of other sizes.
    """
    values = []
    for sequence in sequences:
        texts, inputs, targets = (
            torch.from_numpy(array.astype(np.int64)).to(split.core.device)
            for array in (sequence.encoder_inputs, sequence.inputs, sequence.targets)
        )
        with torch.inference_mode():
            logits = split.model(
                input_ids=texts[None].repeat(copies, 1),
                decoder_input_ids=inputs[None].repeat(copies, 1),
                use_cache=False,
            ).logits[0, -len(targets) :]
        normalised = torch.log_softmax(logits.float(), dim=-1)
        values.append(normalised.gather(1, targets[:, None])[:, 0].cpu().numpy())
    return values


def _values(path: EncoderDecoderPath, sequences: Sequences[EncoderDecoderSequence]) -> list[np.ndarray]:
    batches = path.planner.plan(sequences, plan.depth_first(sequences), 1024)
    parts = [part for batch in batches for part in path.launch(sequences, batch).parts()]
    return [part.log_probabilities for part in sorted(parts)]
