r"""WikiText-2: perplexity of whole Wikipedia articles, each article one document.

The dataset is tokenised ("1990 @-@ 2000 , however"); the model is shown the text put back into ordinary spelling.
Perplexities are per word and per byte of the ORIGINAL page, so that they do not depend on the detokeniser.
Paper: Merity et al. 2016, "Pointer Sentinel Mixture Models", arXiv 1609.07843. Licence of the data: CC BY-SA 3.0.
lm-eval: `wikitext`, the same texts and scores; it gives no standard error. As there, words are the pieces between
runs of white space, the empty ones at both ends of a page included.
"""

import re

from evalkit.documents import Text
from evalkit.task import DataSource, Row, Task

# In this order. Some rules do more than was meant (the digits rule puts "[0-9]" into the text, quotes pair up across
# words); they are kept, for another text would be another benchmark.
RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"s '", "s'"),
        (r"/' [0-9]/", "/'[0-9]/"),
        *((f" @{re.escape(separator)}@ ", separator) for separator in "-,."),
        *((f" {re.escape(mark)} ", f"{mark} ") for mark in ":;.!?,"),
        (r"\(\s*([^)]*?)\s*\)", r"(\1)"),
        (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
        (r"{\s*([^}]*?)\s*}", r"{\1}"),
        (r'"\s*([^"]*?)\s*"', r'"\1"'),
        (r"'\s*([^']*?)\s*'", r"'\1'"),
        (r"= = = =", "===="),
        (r"= = =", "==="),
        (r"= =", "=="),
        (r" ° ", "°"),
        (r" \n", "\n"),
        (r"\n ", "\n"),
        (r" N ", " 1 "),
        (r" 's", "'s"),
    )
)


def detokenize(page: str) -> str:
    """Puts a tokenised page back into ordinary spelling."""
    for pattern, replacement in RULES:
        page = pattern.sub(replacement, page)
    return page


def document(row: Row) -> Text:
    """An article, with the words, bytes and characters of its original page."""
    page = row["page"]
    words = len(re.split(r"\s+", page))
    return Text(detokenize(page), words=words, bytes=len(page.encode()), characters=len(page))


wikitext = Task(
    name="wikitext",
    data=DataSource(id="EleutherAI/wikitext_document_level", config="wikitext-2-raw-v1", split="test"),
    columns={"page": str},
    document=document,
    metrics=("word_perplexity", "byte_perplexity", "bits_per_byte", "token_perplexity", "bits_per_character"),
    version=2,
    shots_fixed=True,
    about="perplexity of Wikipedia articles",
    citation="Merity et al. 2016, arXiv 1609.07843",
    tags=("language modelling", "perplexity"),
    lm_eval="wikitext",
)
