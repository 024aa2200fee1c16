"""lm-eval's command line with evalkit's engine among its models.

    python -m evalkit.lm_eval_bridge run --model evalkit --model_args pretrained=smollm2 --tasks arc_easy

Everything after the module's name is lm-eval's own. Datasets are looked for where evalkit looks for them first
(`EVALKIT_DATA_DIR`, the embedded pack).
"""

from __future__ import annotations

import sys

from evalkit.data import DataOptions
from evalkit.errors import EvalkitError
from evalkit.lm_eval_bridge.datasets_source import data_from
from evalkit.lm_eval_bridge.library import require_lm_eval


def main() -> int:
    """Runs lm-eval's command line; returns the exit status."""
    try:
        require_lm_eval()
        from lm_eval.__main__ import cli_evaluate

        import evalkit.lm_eval_bridge.model  # noqa: F401  registers the model

        with data_from(DataOptions.resolve()):
            cli_evaluate()
    except EvalkitError as error:
        print(f"error: {error.message}" + (f"\n{error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
