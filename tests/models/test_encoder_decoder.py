"""Loading encoder-decoder models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.models import ModelOptions, load_model, open_model
from tests.tiny_models import ENCODER_DECODERS, tiny_model, tiny_tokenizer

CLASSES = {"t5": "T5ForConditionalGeneration", "mbart": "MBartForConditionalGeneration", "marian": "MarianMTModel"}


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_an_encoder_decoder_is_loaded_as_one(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from lm_eval.models.utils import resolve_max_length

    folder = str(tiny_model(name, tmp_path_factory.getbasetemp()))
    assert open_model(folder).is_encoder_decoder
    loaded = load_model(folder)
    assert loaded.is_encoder_decoder
    assert loaded.info.extra["architecture"] == CLASSES[name] == type(loaded.model).__name__
    assert loaded.max_length == 512 == resolve_max_length(loaded.model.config, loaded.tokenizer)
    assert load_model(folder, ModelOptions(max_length=77)).max_length == 77


def test_a_causal_model_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tiny_model("llama", tmp_path_factory.getbasetemp()))
    assert not open_model(folder).is_encoder_decoder
    assert not load_model(folder).is_encoder_decoder


def test_an_encoder_without_its_decoder_is_refused(tmp_path: Path) -> None:
    import transformers

    config = transformers.T5Config(
        vocab_size=416, d_model=32, num_layers=1, num_heads=2, d_ff=32, d_kv=8, decoder_start_token_id=0
    )
    transformers.T5EncoderModel(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is not a language model"):
        load_model(str(tmp_path))
    # saved as if it were whole
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"is_encoder_decoder": True}))
    with pytest.raises(ModelError, match="lacks weights"):
        load_model(str(tmp_path))


def test_a_decoder_that_sees_what_follows_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    from evalkit.models.causality import check_causal

    model = load_model(str(tiny_model("t5", tmp_path_factory.getbasetemp()))).model
    check_causal(model, "t5")
    decoder = model.get_decoder()
    # added to every position: the mean over all of them
    decoder.final_layer_norm.register_forward_hook(lambda module, args, output: output + output.mean(1, keepdim=True))
    with pytest.raises(ModelError, match="sees later tokens"):
        check_causal(model, "t5")
