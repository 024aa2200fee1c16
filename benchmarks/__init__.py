"""Measurements. Whatever they time is computed: no answers come from earlier runs."""

import os

os.environ["EVALKIT_NO_CACHE"] = "1"
