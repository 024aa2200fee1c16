"""SmolLM2 on real questions: the numbers that lm-eval 0.4.13 gave for them (float32, CPU)."""

from __future__ import annotations

import pytest

import evalkit
from evalkit.data.embedded import embedded_model_path

pytestmark = pytest.mark.slow
