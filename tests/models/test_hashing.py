import hashlib
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from evalkit.models import load_model, load_tokenizer
from evalkit.models.hashing import WeightsHash, tokenizer_sha256
from tests.tiny_models import tiny_model, tiny_tokenizer


def test_renaming_the_directory_changes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(tiny_llama, tmp_path / "another name"))
    (moved / "README.md").write_text("notes are no weights")
    first, second = load_model(str(tiny_llama)).info, load_model(str(moved)).info
    assert first.weights_sha256 == second.weights_sha256
    assert first.tokenizer_sha256 == second.tokenizer_sha256


def test_single_file_is_the_plain_hash(tiny_llama: Path) -> None:
    expected = hashlib.sha256((tiny_llama / "model.safetensors").read_bytes()).hexdigest()
    assert load_model(str(tiny_llama)).info.weights_sha256 == expected


def test_one_changed_weight_changes_it(tiny_llama: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    weights = load_file(changed / "model.safetensors")
    weights["model.norm.weight"][0] += 1e-6
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert load_model(str(changed)).info.weights_sha256 != load_model(str(tiny_llama)).info.weights_sha256


def test_shards_hash_with_their_names(tmp_path: Path) -> None:
    files = [tmp_path / "b", tmp_path / "a"]
    for file in files:
        file.write_bytes(file.name.encode())
    first = WeightsHash(files, tmp_path).hexdigest()
    assert WeightsHash(files[::-1], tmp_path).hexdigest() == first
    (tmp_path / "a").write_bytes(b"b")
    (tmp_path / "b").write_bytes(b"a")
    assert WeightsHash(files, tmp_path).hexdigest() != first


def test_tokenizer(tmp_path: Path) -> None:
    assert tokenizer_sha256(tiny_tokenizer()) == tokenizer_sha256(tiny_tokenizer(chat_template="{{ messages }}"))
    assert tokenizer_sha256(tiny_tokenizer()) != tokenizer_sha256(tiny_tokenizer(add_bos=True))
    folder = tiny_model("llama", tmp_path)
    assert tokenizer_sha256(load_tokenizer(str(folder))) == load_model(str(folder)).info.tokenizer_sha256
