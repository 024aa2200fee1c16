"""SmolLM2 on real questions: the numbers that lm-eval 0.4.13 gave for them (float32, CPU)."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow
