"""The whole way on tiny models, without benchmarks and without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.backends.sequences import RequestEncoder
from evalkit.doctor import probe
from evalkit.doctor.advice import advise
from evalkit.doctor.diagnosis import ChatFindings, Diagnosis, FirstTokens, Measured
from evalkit.doctor.variations import Bench
from evalkit.errors import DataError, EvaluationError, ModelError, UsageError
from evalkit.models import load_model
from evalkit.reports.doctor import markdown
from tests.cli.commands import Done, command
from tests.tiny_models import CHAT_TEMPLATE, tiny_model

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets are not at hand, and few questions are enough."""

    def missing(*_: Any) -> None:
        raise DataError("no dataset here")

    monkeypatch.setattr(probe, "_items", missing)
    monkeypatch.setattr(probe, "BUILT_IN", probe.BUILT_IN[:6])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return lambda name="llama", **options: tiny_model(name, tmp_path_factory.getbasetemp(), **options)


@pytest.fixture(scope="module")
def chat_folder(folder: Folder) -> Path:
    return folder(add_bos=True, chat_template="{{ bos_token }}" + CHAT_TEMPLATE)


def by_key(diagnosis: Diagnosis) -> dict[str, Measured]:
    return {one.key: one for one in diagnosis.measured}


def bench(path: Path) -> Bench:
    loaded = load_model(str(path))
    asked = probe.built_in()
    encoded = RequestEncoder(loaded.tokenizer, loaded.prefix_token).encode(asked.requests, loaded.max_length)
    made = Bench(loaded, [own[0] for own in encoded.sequences], asked.choices, None)
    made.compute_alone()
    return made


def measure(made: Bench, name: str) -> Measured:
    return made.measure(next(one for one in made.variations(thorough=True) if one.name == name))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_every_way_agrees_with_each_prompt_alone_in_float32(folder: Folder, name: str) -> None:
    made = bench(folder(name))
    for variation in made.variations(thorough=True):
        if variation.name == "left-bare" or variation.name.startswith("attention-fl"):
            continue
        found = made.measure(variation)
        assert found.change is not None, found
        assert found.change.largest_token < 1e-4, found
        assert found.change.flipped == 0, found
    deterministic = made.deterministic()
    assert deterministic.change is not None
    assert deterministic.change.identical


def test_left_padding_without_positions_is_caught_where_positions_are_absolute(folder: Folder) -> None:
    found = measure(bench(folder("gpt2")), "left-bare")
    assert found.change is not None
    assert found.change.largest_token > 0.01


def test_a_batch_that_changes_answers_is_reported(folder: Folder) -> None:
    made = bench(folder())

    def spoil(module: Any, arguments: Any, output: Any) -> Any:
        if output.logits.shape[0] > 1:
            output.logits = -output.logits  # the least probable becomes the most probable
        return output

    made.loaded.model.register_forward_hook(spoil)
    found = measure(made, "right")
    assert found.change is not None
    assert found.change.flipped > 0
    assert found.change.flipped_margin is not None
    plain = ChatFindings(False, FirstTokens((0,), ("<bos>",), False))
    advice = advise([found], plain, (), (), dtype="float32")
    assert advice[0].level == "care"
    assert "padded batches and other attention change answers" in advice[0].text


def test_what_cannot_be_computed_is_shown_with_its_reason(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(folder())

    def refuse(*_: Any, **__: Any) -> None:
        raise ModelError("the model does not agree with itself")

    monkeypatch.setattr("evalkit.doctor.variations.LocalBackend", refuse)
    found = measure(made, "default")
    assert (found.change, found.reason) == (None, "the model does not agree with itself")
    flash = measure(made, "attention-flash_attention_2")
    assert (flash.change, flash.reason) == (None, "it needs a CUDA device")


def test_a_chat_model_from_its_name(chat_folder: Path) -> None:
    diagnosis = evalkit.diagnose(str(chat_folder), device="cpu")
    found = by_key(diagnosis)
    assert {"float32/default", "float32/left", "bfloat16/alone", "bfloat16/default", "float16/alone"} <= set(found)
    assert found["float16/alone"].reason == "it is slow on a CPU; --dtype float16 measures it"
    assert "float32/alone" not in found  # it is the reference
    assert diagnosis.reference_dtype == diagnosis.dtype == "float32"
    bfloat16 = found["bfloat16/alone"].change
    assert bfloat16 is not None
    assert bfloat16.largest_token > 1e-3
    assert diagnosis.questions == {"built-in questions": 6}
    assert diagnosis.chat.usual is not None
    assert diagnosis.chat.usual.double_bos
    assert diagnosis.chat.asked == 3
    assert [form.key for form in diagnosis.forms] == ["letter", "cloze", "letter, chat", "cloze, chat"]
    assert len(diagnosis.pairs) == 4
    assert any("add_special_tokens=False" in one.text for one in diagnosis.advice)
    stored = json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))
    assert stored["schema"] == "evalkit.doctor/1"
    assert stored["measured"][0]["change"]["tokens"] == found["float32/default"].change.tokens  # type: ignore[union-attr]
    assert "add\\_special\\_tokens=False" in markdown(diagnosis)


def test_the_type_that_is_used_is_tried_in_every_way(folder: Folder) -> None:
    diagnosis = evalkit.diagnose(str(folder()), device="cpu", dtype="bfloat16")
    found = by_key(diagnosis)
    assert (diagnosis.dtype, diagnosis.reference_dtype) == ("bfloat16", "float32")
    assert {"bfloat16/not-shared", "bfloat16/deterministic", "bfloat16/attention-eager"} <= set(found)
    assert found["bfloat16/alone"].against == "float32/alone"
    assert found["bfloat16/left"].against == "bfloat16/alone"
    assert not any(one.dtype == "float16" for one in diagnosis.measured)


def test_damaged_weights_are_no_reference(folder: Folder, tmp_path: Path) -> None:
    loaded = load_model(str(folder()))
    loaded.model.lm_head.weight.data[3] = float("nan")
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EvaluationError, match=r"could not be computed in any type: .* not finite"):
        evalkit.diagnose(str(tmp_path), device="cpu")


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return lambda *arguments, columns=80: command(monkeypatch, capsys, "doctor", *arguments, columns=columns)


def test_the_findings_lead_and_the_file_holds_the_rest(
    doctor: Callable[..., Done], folder: Folder, tmp_path: Path
) -> None:
    output = tmp_path / "d.json"
    done = doctor("--model", folder(), "--device", "cpu", "--dtype", "float32", "-o", output)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "leave --chat-template off" in " ".join(done.out.split())
    assert done.out.index("fine") < done.out.index("what is changed")
    assert "not measured: float32, attention: flash_attention_2: it needs a CUDA device" in " ".join(done.out.split())
    assert "no benchmark is at hand" in done.err
    stored = json.loads(output.read_text())
    assert {one["dtype"] for one in stored["measured"]} == {"float32"}


def test_json_alone_goes_to_standard_output(doctor: Callable[..., Done], folder: Folder) -> None:
    done = doctor("--model", folder(), "--device", "cpu", "--dtype", "float32", "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["questions"] == {"built-in questions": 6}


@pytest.mark.parametrize("model", ["openai:m@http://127.0.0.1:9/v1", "vllm:org/name"])
def test_servers_are_refused_with_a_reason(doctor: Callable[..., Done], model: str) -> None:
    done = doctor("--model", model)
    assert done.code == 2
    assert "computed by a server of its own" in done.err


def test_encoder_decoders_are_refused(folder: Folder) -> None:
    with pytest.raises(UsageError, match="is an encoder-decoder"):
        evalkit.diagnose(str(folder("t5")), device="cpu")


def test_a_missing_task_is_named(doctor: Callable[..., Done], folder: Folder) -> None:
    done = doctor("--model", folder(), "--tasks", "arc_easy", "--device", "cpu")
    assert done.code == 5
    assert "no dataset here" in done.err
