from pathlib import Path

import pytest

from tests.tiny_models import tiny_model


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny Llama; tests that damage it copy it first."""
    return tiny_model("llama", tmp_path_factory.getbasetemp())
