"""No deadlines for single examples: on a busy machine they fail what is right."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
