"""Training against TRL itself, and against its own interruption."""

from __future__ import annotations

import copy
import errno
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from evalkit.errors import EvaluationError, OutputError, TrainingDataError, UsageError
from evalkit.fine_tuning import Training
from evalkit.models import load_model
from evalkit.sft.rows import TrainingRow
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training import train, weights_changed
from tests.sft.examples import OPTIONS, chat_model, conversation, pairs, sounds

SPEC = TrainingSpec(learning_rate=1e-3, batch_size=8, micro_batch=4, max_steps=12, held_out_every=4, patience=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("models"))


def trained(model: str, folder: Path, spec: TrainingSpec = SPEC, rows: list[TrainingRow] | None = None) -> Training:
    rows = sounds() if rows is None else rows
    return train(model, OPTIONS, rows[:-8], rows[-8:], spec, folder)


def weights(place: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    folder = Path(place.removeprefix("peft:"))
    return load_file(folder / ("adapter_model.safetensors" if place.startswith("peft:") else "model.safetensors"))


def difference(one: str, other: str) -> float:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def bare_trl(model: str, folder: Path, spec: TrainingSpec, rows: list[TrainingRow]) -> list[float]:
    """The losses of TRL alone: its own rendering, tokens and masks, from the conversations."""
    from datasets import Dataset
    from peft import LoraConfig, TaskType
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    loaded = load_model(model, OPTIONS)
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": one.role, "content": one.content} for one in row.prompt],
                "completion": [{"role": "assistant", "content": row.answer}],
            }
            for row in rows
        ]
    )
    adapter = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.lora_dropout,
        target_modules="all-linear",
        task_type=TaskType.CAUSAL_LM,
    )
    config = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=spec.max_steps,
        learning_rate=spec.peak_learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=spec.seed,
        data_seed=spec.seed,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        completion_only_loss=True,
        gradient_checkpointing=False,
        max_length=None,
        dataloader_pin_memory=False,
    )
    set_seed(spec.seed)
    run = SFTTrainer(
        model=loaded.model.requires_grad_(True).train(),
        args=config,
        train_dataset=data,
        processing_class=copy.deepcopy(loaded.tokenizer),
        peft_config=adapter if spec.lora_rank else None,
    )
    run.train()
    return [one["loss"] for one in run.state.log_history if "loss" in one]


@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.filterwarnings("ignore")
def test_the_loss_is_that_of_trl_alone(model: str, tmp_path: Path, rank: int) -> None:
    rows = sounds()
    spec = TrainingSpec(
        lora_rank=rank, lora_dropout=0.0, learning_rate=1e-3, batch_size=8, micro_batch=4, max_steps=12, warmup=0.0
    )
    ours = train(model, OPTIONS, rows, (), spec, tmp_path / "ours")
    theirs = bare_trl(model, tmp_path / "theirs", spec, rows)
    assert len(theirs) == 12
    assert theirs[-1] < theirs[0] - 0.01
    assert [loss for _, loss in ours.losses] == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("rank", [0, 8])
def test_training_lowers_the_held_out_loss_and_changes_the_weights(model: str, tmp_path: Path, rank: int) -> None:
    spec = TrainingSpec(lora_rank=rank, learning_rate=3e-3, batch_size=8, max_steps=30, held_out_every=10)
    training = trained(model, tmp_path, spec)
    losses = {one.step: one.loss for one in training.held_out}
    assert sorted(losses) == [0, 10, 20, 30]
    assert losses[30] < losses[0] - 1
    assert training.best_step == min((step for step in losses if step), key=lambda step: losses[step])
    assert training.steps == 30
    assert training.stopped == "finished"
    assert weights_changed(model, training.model, OPTIONS)
    assert training.model.startswith("peft:") == bool(rank)
    assert not (tmp_path / "checkpoints").exists()
    trained_share = training.parameters_trained / training.parameters
    assert trained_share == 1 if not rank else 0 < trained_share < 1


def test_the_held_out_loss_is_the_sum_over_tokens(model: str, tmp_path: Path) -> None:
    rows = sounds()
    held_out = [conversation("Say a lot.", "moo woof meow hoot buzz"), conversation("Say a little.", "moo")]
    training = train(model, OPTIONS, rows, held_out, SPEC, tmp_path)
    loaded = load_model(model, OPTIONS)
    total, count = 0.0, 0
    for row in held_out:
        turns = [{"role": one.role, "content": one.content} for one in row.messages]
        whole = loaded.tokenizer.apply_chat_template(turns, return_dict=False)
        start = len(loaded.tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False))
        ids = torch.tensor([whole])
        with torch.no_grad():
            logs = torch.log_softmax(loaded.model(ids).logits[0].double(), -1)
        total -= sum(float(logs[place - 1, whole[place]]) for place in range(start, len(whole)))
        count += len(whole) - start
    first = training.held_out[0]
    assert first.tokens == count
    assert first.loss == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("rank", [0, 8])
def test_resumed_training_equals_an_uninterrupted_one(
    model: str, tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TrainingSpec(
        lora_rank=rank, lora_dropout=0.1, learning_rate=1e-3, batch_size=8, max_steps=12, held_out_every=4, patience=0
    )
    whole = trained(model, tmp_path / "whole", spec)
    from evalkit.sft.training.watch import Watch

    step_end = Watch.on_step_end

    def killed(self: Watch, args: Any, state: Any, control: Any, **given: Any) -> None:
        step_end(self, args, state, control, **given)
        if state.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_step_end", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(model, tmp_path / "cut", spec)
    assert [one.name for one in (tmp_path / "cut/checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    (tmp_path / "cut/checkpoints/checkpoint-6").mkdir()  # as a process killed while saving leaves it
    cut = trained(model, tmp_path / "cut", spec)
    assert difference(whole.model, cut.model) <= 1e-6
    assert [loss for _, loss in cut.losses] == pytest.approx([loss for _, loss in whole.losses], abs=1e-6)
    assert [one.loss for one in cut.held_out] == pytest.approx([one.loss for one in whole.held_out], abs=1e-6)
    assert cut.best_step == whole.best_step
    assert cut.steps == whole.steps


def test_a_training_that_is_done_is_not_done_again(model: str, tmp_path: Path) -> None:
    first = trained(model, tmp_path)
    stamp = (tmp_path / "model/adapter_model.safetensors").stat().st_mtime_ns
    assert trained(model, tmp_path) == first
    assert (tmp_path / "model/adapter_model.safetensors").stat().st_mtime_ns == stamp


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model: str, tmp_path: Path) -> None:
    one, same = (trained(model, tmp_path / name) for name in ("one", "same"))
    other = trained(model, tmp_path / "other", TrainingSpec(**{**SPEC.to_json(), "seed": 1}))
    assert difference(one.model, same.model) == 0
    assert difference(one.model, other.model) > 1e-4


def test_evaluating_on_the_way_changes_nothing(model: str, tmp_path: Path) -> None:
    def scores(loaded: Any) -> tuple[dict[str, float], dict[str, int]]:
        torch.rand(7)  # an evaluation that draws
        assert not loaded.model.training
        return {"task": 0.5}, {"task": 3}

    plain = trained(model, tmp_path / "plain")
    spec = TrainingSpec(**{**SPEC.to_json(), "eval_every": 3})
    rows = sounds()
    watched = train(model, OPTIONS, rows[:-8], rows[-8:], spec, tmp_path / "watched", evaluate=scores)
    assert difference(plain.model, watched.model) == 0
    assert [one.step for one in watched.small] == [0, 3, 6, 9, 12]
    assert watched.small[0].scores == {"task": 0.5}


def test_early_stopping_keeps_the_best_weights(model: str, tmp_path: Path) -> None:
    rows = sounds(24)
    odd = [conversation(row.prompt_text, SOUND) for row, SOUND in zip(sounds(8), ["zzz"] * 8, strict=True)]
    spec = TrainingSpec(learning_rate=1e-2, batch_size=8, max_steps=200, held_out_every=2, patience=3)
    training = train(model, OPTIONS, rows, odd, spec, tmp_path)
    assert training.stopped == "early"
    assert training.steps < 200
    later = [one for one in training.held_out if one.step]
    assert training.best_step == min(later, key=lambda one: one.loss).step
    assert len([one for one in later if one.step > training.best_step]) == 3


def test_packing_trains_on_the_same_tokens(model: str, tmp_path: Path) -> None:
    spec = TrainingSpec(**{**SPEC.to_json(), "packing": True, "max_length": 64, "max_steps": 3, "held_out_every": 3})
    packed = trained(model, tmp_path / "packed", spec)
    assert packed.losses
    assert packed.losses[-1][1] < packed.losses[0][1]


def test_bfloat16_keeps_the_weights_in_float32(model: str, tmp_path: Path) -> None:
    spec = TrainingSpec(**{**SPEC.to_json(), "precision": "bfloat16", "lora_rank": 0})
    training = trained(model, tmp_path, spec)
    assert training.settings["bfloat16"] is True
    assert training.losses[-1][1] < training.losses[0][1]
    assert {one.dtype for one in weights(training.model).values()} == {torch.float32}


def test_an_adapter_is_trained_further(model: str, tmp_path: Path) -> None:
    first = trained(model, tmp_path / "first")
    further = trained(first.model, tmp_path / "further")
    assert further.model.startswith("peft:")
    assert further.held_out[0].loss == pytest.approx(first.held_out[-1].loss, abs=1e-5)
    assert further.held_out[-1].loss < first.held_out[-1].loss
    assert weights_changed(first.model, further.model, OPTIONS)
    assert not weights_changed(first.model, first.model, OPTIONS)


# --- preference pairs


def test_dpo_starts_at_log_two_and_prefers_the_chosen_answers(model: str, tmp_path: Path) -> None:
    rows = pairs()
    spec = TrainingSpec(objective="dpo", learning_rate=3e-3, batch_size=8, max_steps=40, held_out_every=10, patience=0)
    training = train(model, OPTIONS, rows[:-8], rows[-8:], spec, tmp_path)
    assert training.held_out[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert training.losses[0][1] == pytest.approx(math.log(2), abs=1e-4)
    assert training.held_out[-1].loss < math.log(2) - 0.05
    assert training.pairs_before is not None
    assert training.pairs_after is not None
    assert training.pairs_after.value > training.pairs_before.value
    assert training.pairs_after.n == 8


@pytest.mark.parametrize("rank", [0, 8])
def test_a_reward_model_learns_which_answer_is_better(model: str, tmp_path: Path, rank: int) -> None:
    rows = pairs(40)
    spec = TrainingSpec(
        objective="reward",
        lora_rank=rank,
        learning_rate=3e-3,
        batch_size=8,
        max_steps=40,
        held_out_every=10,
        patience=0,
    )
    training = train(model, OPTIONS, rows[:-8], rows[-8:], spec, tmp_path)
    assert training.pairs_after is not None
    assert training.pairs_after.value > 0.8
    assert training.losses[-1][1] < 0.3
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place = training.model
    network = AutoModelForSequenceClassification.from_pretrained(place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    right = 0
    for row in rows[-8:]:
        rewards = []
        for answer in (row.answer, row.rejected):
            turns = [*({"role": one.role, "content": one.content} for one in row.prompt)]
            ids = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": answer}], return_dict=False)
            with torch.no_grad():
                rewards.append(float(network(torch.tensor([ids])).logits))
        right += rewards[0] > rewards[1]
    assert right == training.pairs_after.right


# --- what goes wrong


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    compute = SFTTrainer.compute_loss

    def broken(self: Any, *given: Any, **named: Any) -> Any:
        loss = compute(self, *given, **named)
        return loss * float("nan") if self.state.global_step >= 6 else loss

    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(EvaluationError, match=r"loss was nan at step 7; the last good checkpoint is .*checkpoint-4"):
        trained(model, tmp_path)
    assert (tmp_path / "checkpoints/checkpoint-4").is_dir()
    assert not (tmp_path / "model").exists()


def test_a_loss_that_explodes_is_stopped(model: str, tmp_path: Path) -> None:
    spec = TrainingSpec(lora_rank=0, learning_rate=3.0, batch_size=8, max_steps=200, max_grad_norm=1e9, patience=0)
    with pytest.raises(EvaluationError, match="training was stopped"):
        trained(model, tmp_path, spec)


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 508864 vs 508752"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]
"""What the system, torch and safetensors said on a real full disk, a small tmpfs."""


@pytest.mark.parametrize("told", FULL, ids=lambda told: type(told).__name__)
def test_a_full_disk_says_so_and_the_same_call_goes_on(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Exception
) -> None:
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def full(self: Any, *given: Any, **named: Any) -> None:
        if self.state.global_step == 8:
            (Path(self.args.output_dir) / "checkpoint-8").mkdir()
            raise told
        save(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_checkpoint", full)
        with pytest.raises(OutputError, match="disk is full"):
            trained(model, tmp_path / "cut")
    assert difference(trained(model, tmp_path / "cut").model, trained(model, tmp_path / "whole").model) <= 1e-6


def test_another_training_in_the_folder_is_refused(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.sft.training.watch import Watch

    monkeypatch.setattr(Watch, "on_train_begin", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trained(model, tmp_path)
    with pytest.raises(UsageError, match="another learning_rate"):
        trained(model, tmp_path, TrainingSpec(**{**SPEC.to_json(), "learning_rate": 1e-4}))


def test_rows_that_would_lose_their_end_are_refused(model: str, tmp_path: Path) -> None:
    spec = TrainingSpec(**{**SPEC.to_json(), "max_length": 12})
    with pytest.raises(TrainingDataError, match="would lose the token that ends the answer"):
        trained(model, tmp_path, spec)
