"""The engine in several workers gives the bits of the engine in one process, whatever happens to the workers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.backends.local import LocalBackend, LocalOptions
from evalkit.backends.workers.backend import FleetBackend, chains
from evalkit.backends.workers.jobs import Describe, Job, ScoreBatches, WriteRound
from evalkit.decoding import Decoding
from evalkit.engine import plan
from evalkit.engine.planner import PackedPlanner, Planner, renumbered, used
from evalkit.errors import EvaluationError, NonFiniteError, OverLengthError
from evalkit.models import ModelOptions, open_model
from evalkit.requests import Generate, Reply, Request, Roll, Score
from tests.backends.workers.here import fleet_backend
from tests.engine.test_engine import few_shot_tree
from tests.tiny_models import SENTENCES, tiny_model

EXAMPLES = " ".join(SENTENCES[:3])
REQUESTS: list[Request] = [
    *(
        Score(f"{EXAMPLES}\n\nQuestion {number}: {sentence[:30]}\nAnswer:", answer)
        for number, sentence in enumerate(SENTENCES * 3)
        for answer in (" yes", " no", " it is not known")
    ),
    Roll(" ".join(SENTENCES) * 4),
    Roll(""),
    *(Generate(f"{EXAMPLES} {sentence[:20]}", Decoding(max_new_tokens=6)) for sentence in SENTENCES),
    Generate("The quick", Decoding(max_new_tokens=5, temperature=1.0, samples=3, seed=7)),
]


def replies(backend: LocalBackend | FleetBackend, requests: Sequence[Request] = REQUESTS) -> dict[int, Reply]:
    found = list(backend.answer(requests))
    assert len(found) == len(dict(found)), "an answer came twice"
    return dict(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("llama", LocalOptions(token_budget=64)),
        ("llama", LocalOptions(deterministic=True)),
        ("gemma3", LocalOptions(token_budget=48)),
        ("mamba", LocalOptions(token_budget=256)),
        ("llama", LocalOptions(token_budget=64, compat_lm_eval=True, share_prefixes=False)),
    ],
)
def test_several_workers_give_the_bits_of_one_process(name: str, options: LocalOptions, tmp_path: Path) -> None:
    model = tiny_model(name, tmp_path)
    backend, fleet = fleet_backend(model, 3, options)
    alone = LocalBackend(open_model(str(model), ModelOptions(device="cpu")), options)
    assert replies(backend) == replies(alone)
    assert {name for name, job in fleet.sent if isinstance(job, ScoreBatches)} == {"w0", "w1", "w2"}
    assert backend.settings() == alone.settings()
    assert backend.info == alone.info
    assert backend.fingerprint() == alone.fingerprint()
    assert backend.counters()["tokens_asked"] == alone.counters()["tokens_asked"]
    assert backend.counters()["tokens_generated"] == alone.counters()["tokens_generated"]
    assert backend.environment().described["workers"] == 3


def test_an_encoder_decoder_too(tmp_path: Path) -> None:
    model = tiny_model("t5", tmp_path)
    requests = [one for one in REQUESTS if not isinstance(one, Roll)]
    options = LocalOptions(token_budget=128)
    backend, _ = fleet_backend(model, 2, options)
    alone = LocalBackend(open_model(str(model), ModelOptions(device="cpu")), options)
    assert replies(backend, requests) == replies(alone, requests)


@pytest.mark.parametrize("seed", range(6))
def test_lost_workers_change_nothing(seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Any worker may be lost at any piece of its work, four times in all: nothing is missing, nothing comes twice."""
    draw = random.Random(seed)
    deaths = set(draw.sample(range(40), 4))

    def dies(name: str, job: Job, pieces: int) -> bool:
        if pieces in deaths:
            deaths.discard(pieces)
            return True
        return False

    model, options = tiny_model("llama", tmp_path), LocalOptions(token_budget=32)
    backend, _ = fleet_backend(model, 3, options, dies)
    assert replies(backend) == replies(LocalBackend(open_model(str(model)), options))
    assert backend.crew.lost == backend.environment().described["workers_lost"] > 0
    assert "is lost (ended by signal 9); it is started again" in caplog.text


def test_what_kills_every_worker_is_not_tried_for_ever(tmp_path: Path) -> None:
    backend, _ = fleet_backend(tiny_model("llama", tmp_path), 2, dies=lambda _, job, __: isinstance(job, WriteRound))
    with pytest.raises(EvaluationError, match="3 workers were lost on the same part of the work; the last: ended by"):
        replies(backend)


def test_the_last_worker_that_is_given_up_ends_the_run(tmp_path: Path) -> None:
    backend, _ = fleet_backend(tiny_model("llama", tmp_path), 2, dies=lambda *_: True, returns=False)
    with pytest.raises(EvaluationError, match="no worker is left; the last was lost: ended by signal 9"):
        replies(backend)


def test_a_run_goes_on_with_other_workers_to_the_same_bits(tmp_path: Path) -> None:
    model, options = tiny_model("llama", tmp_path), LocalOptions(token_budget=48)
    expected = replies(LocalBackend(open_model(str(model)), options))
    first, _ = fleet_backend(model, 3, options)
    known: dict[int, Reply] = {}
    for answers in first.compute(first.prepare(REQUESTS)):
        known.update(answers)
        if len(known) > 25:
            break
    second, fleet = fleet_backend(model, 2, options)
    rest = dict(one for answers in second.compute(second.prepare(REQUESTS), set(known)) for one in answers)
    assert not rest.keys() & known.keys()
    assert {**known, **rest} == expected
    whole, all_of_it = fleet_backend(model, 2, options)
    replies(whole)
    assert fleet.batches < all_of_it.batches


def test_a_shared_prefix_is_computed_once_unless_its_subtree_is_shared(tmp_path: Path) -> None:
    model, options = tiny_model("llama", tmp_path), LocalOptions(token_budget=64)
    scores = [one for one in REQUESTS if isinstance(one, Score)]
    one, _ = fleet_backend(model, 1, options)
    alone = LocalBackend(open_model(str(model)), options)
    replies(alone, scores)
    replies(one, scores)
    assert one.counters() == alone.counters()


def test_memory_that_runs_out_halves_the_budget_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend, fleet = fleet_backend(tiny_model("llama", tmp_path), 2, LocalOptions(token_budget=256))
    path = fleet.backends["w1"].engine.path
    launch = path.launch

    def limited(sequences, batch):  # noqa: ANN001, ANN202
        if batch.tokens > 130:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return launch(sequences, batch)

    monkeypatch.setattr(path, "launch", limited)
    small = LocalBackend(open_model(str(tiny_model("llama", tmp_path))), LocalOptions(token_budget=256))
    found, expected = replies(backend), replies(small)
    for index, reply in expected.items():
        if not isinstance(REQUESTS[index], Generate):
            assert found[index].log_probability == pytest.approx(reply.log_probability, abs=1e-4)  # type: ignore[union-attr]
    assert backend.budget < 256
    assert "out of memory: the token budget is now 128 tokens a batch" in caplog.text


def test_logits_that_are_not_finite_name_the_request(tmp_path: Path) -> None:
    backend, fleet = fleet_backend(tiny_model("llama", tmp_path), 2, LocalOptions(token_budget=64))
    for one in fleet.backends.values():
        with_nan = one.loaded.model.get_input_embeddings().weight.data
        with_nan[one.loaded.tokenizer.encode("ß")[-1]] = float("nan")
    scores = [*REQUESTS[:2], Score("It is", " ß here"), *REQUESTS[3:5]]
    with pytest.raises(NonFiniteError) as caught:
        replies(backend, scores)
    assert getattr(caught.value, "request", None) == 2


def test_an_answer_without_room_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    backend, fleet = fleet_backend(tiny_model("llama", tmp_path), 1)
    with pytest.raises(OverLengthError, match="leaves no room for a prompt"):
        replies(backend, [Score("a", " b"), Generate("a", Decoding(max_new_tokens=512))])
    assert not any(isinstance(job, ScoreBatches) for _, job in fleet.sent)


def test_a_worker_with_another_model_is_refused(tmp_path: Path) -> None:
    backend, fleet = fleet_backend(tiny_model("llama", tmp_path / "a"), 2)
    other = tiny_model("qwen2", tmp_path / "b")
    fleet.backends["w1"] = LocalBackend(open_model(str(other)))
    with pytest.raises(EvaluationError, match="worker w1 has another model than the first worker"):
        replies(backend)


def test_cost_counts_the_workers(tmp_path: Path) -> None:
    model = tiny_model("llama", tmp_path)
    backend, _ = fleet_backend(model, 2)
    prepared = backend.prepare(REQUESTS)
    found = backend.cost(prepared, 0.05)
    expected = LocalBackend(open_model(str(model))).cost(prepared, 0.05)
    assert (found.tokens_asked, found.tokens_computed) == (expected.tokens_asked, expected.tokens_computed)
    assert found.tokens_per_second > 0


def test_workers_end_with_the_backend(tmp_path: Path) -> None:
    backend, fleet = fleet_backend(tiny_model("llama", tmp_path), 1)
    assert not fleet.closed
    del backend
    assert fleet.closed


@pytest.mark.parametrize("budget", [16, 40, 100, 1000])
def test_chains_are_the_subtrees_of_the_plan(budget: int) -> None:
    sequences = [one for seed in range(3) for one in few_shot_tree(seed)]
    batches = Planner(PackedPlanner()).batches(sequences, budget)
    found = list(chains(sequences, batches))
    assert [one.name for one in found] == [place for place, batch in enumerate(batches) if not batch.carried]
    assert sum(len(one.ends) for one in found) == len(batches)
    assert sum(int(one.ends[-1]) for one in found) == sum(batch.tokens for batch in batches)  # type: ignore[union-attr]
    everything = set(range(len(sequences)))
    for one in found:
        for step in range(len(one.ends)):
            upto = batches[: one.name + step + 1]
            others = everything.difference(upto[-1].indices) if upto[-1].indices else everything
            needed = np.flatnonzero(plan.needed(upto, others)).tolist()
            assert not upto[-1].indices or [*(one.name + s for s in one.context(step)), one.name + step] == needed


def test_a_renumbered_batch_reads_the_same_sequences() -> None:
    sequences = few_shot_tree()
    for batch in Planner(PackedPlanner()).batches(sequences, 40):
        indices = list(dict.fromkeys(used(batch)))
        again = renumbered(batch, {index: place for place, index in enumerate(indices)})
        assert [indices[place] for place in used(again)] == list(used(batch))
        assert [piece[1:] for piece in again.pieces] == [piece[1:] for piece in batch.pieces]  # type: ignore[union-attr]


def test_a_description_says_what_was_loaded(tmp_path: Path) -> None:
    backend = LocalBackend(open_model(str(tiny_model("llama", tmp_path))))
    (description,) = Describe().run(backend)
    assert description.info == backend.info
    assert description.planner == backend.engine.planner
    assert description.environment.described["device"] == "cpu"
