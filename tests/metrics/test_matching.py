"""Exact match is lm-eval's, with every normalisation it has."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.documents import OpenQuestion
from evalkit.metrics.matching import exact_match

PIECES = ["12", "1,200", "$", ".", "The ", "an ", "#### ", "x", "X", " ", "\n", "é", "!", "ẞ"]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=300)  # the first example imports lm-eval
@given(
    texts,
    st.lists(texts, min_size=1, max_size=3),
    st.sampled_from([(), (",", r"\$", "(?s).*#### ", r"\.$"), (r"\b(?:The |the |An |A |The |a |an )",)]),
    st.booleans(),
    st.booleans(),
)
@example("12", ["x #### 12"], (",", "(?s).*#### "), True, False)
def test_values_are_lm_evals(
    text: str, references: list[str], ignore: tuple[str, ...], ignore_case: bool, ignore_punctuation: bool
) -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    score = metrics.exact_match_hf_evaluate(
        predictions=[text] * len(references),
        references=references,
        regexes_to_ignore=list(ignore) or None,
        ignore_case=ignore_case,
        ignore_punctuation=ignore_punctuation,
    )["exact_match"]
    ours = exact_match(ignore=ignore, ignore_case=ignore_case, ignore_punctuation=ignore_punctuation)
    assert ours.value(OpenQuestion("q", references[0], tuple(references)), text) == float(score > 0)


def test_nothing_found_is_never_right() -> None:
    assert exact_match().value(OpenQuestion("q", ""), None) == 0.0
