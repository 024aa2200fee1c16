"""Property tests: the same examples each time, so that a change fails for what it changed; `EVALKIT_FUZZ=N` draws others.

No deadlines for single examples: on a busy machine they fail what is right.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("evalkit", deadline=None, derandomize="EVALKIT_FUZZ" not in os.environ)
settings.load_profile("evalkit")

# nothing that a test computes comes from an earlier one, or from whoever runs the tests; tests of the store switch it on
os.environ["EVALKIT_NO_CACHE"] = "1"
