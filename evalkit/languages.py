"""Languages by their codes: ISO 639-1 (`de`) and 639-3 (`deu`), a script after it aside (`deu_Latn`)."""

from __future__ import annotations

import difflib

from evalkit.errors import UsageError

_TABLE = """
af afr Afrikaans|am amh Amharic|ar ara Arabic|as asm Assamese|az aze Azerbaijani|be bel Belarusian|bg bul Bulgarian
bn ben Bengali|bo bod Tibetan|bs bos Bosnian|ca cat Catalan|cs ces Czech|cy cym Welsh|da dan Danish|de deu German
el ell Greek|en eng English|eo epo Esperanto|es spa Spanish|et est Estonian|eu eus Basque|fa fas Persian|fi fin Finnish
fr fra French|ga gle Irish|gl glg Galician|gu guj Gujarati|ha hau Hausa|he heb Hebrew|hi hin Hindi|hr hrv Croatian
hu hun Hungarian|hy hye Armenian|id ind Indonesian|ig ibo Igbo|is isl Icelandic|it ita Italian|iu iku Inuktitut
ja jpn Japanese|jv jav Javanese|ka kat Georgian|kk kaz Kazakh|km khm Khmer|kn kan Kannada|ko kor Korean|ky kir Kyrgyz
lb ltz Luxembourgish|ln lin Lingala|lo lao Lao|lt lit Lithuanian|lv lav Latvian|mi mri Maori|mk mkd Macedonian
ml mal Malayalam|mn mon Mongolian|mr mar Marathi|ms msa Malay|mt mlt Maltese|my mya Burmese|nb nob Norwegian Bokmål
ne nep Nepali|nl nld Dutch|nn nno Norwegian Nynorsk|no nor Norwegian|or ory Odia|pa pan Panjabi|pl pol Polish|ps pus Pashto
pt por Portuguese|ro ron Romanian|ru rus Russian|sd snd Sindhi|si sin Sinhala|sk slk Slovak|sl slv Slovenian|so som Somali
sq sqi Albanian|sr srp Serbian|sv swe Swedish|sw swa Swahili|ta tam Tamil|te tel Telugu|tg tgk Tajik|th tha Thai
tk tuk Turkmen|tl tgl Tagalog|tr tur Turkish|tt tat Tatar|ug uig Uighur|uk ukr Ukrainian|ur urd Urdu|uz uzb Uzbek
vi vie Vietnamese|wo wol Wolof|xh xho Xhosa|yi yid Yiddish|yo yor Yoruba|zh zho Chinese|zu zul Zulu
liv liv Livonian|sah sah Yakut|zh cmn Chinese|ar arb Arabic|et ekk Estonian|fa pes Persian|lv lvs Latvian|mn khk Mongolian
ms zsm Malay|ne npi Nepali|ps pbt Pashto|sq als Albanian|sw swh Swahili|uz uzn Uzbek|az azj Azerbaijani|yi ydd Yiddish
"""

_BY_CODE: dict[str, tuple[str, str]] = {}
for _entry in _TABLE.replace("\n", "|").strip("|").split("|"):
    _two, _three, _name = _entry.split(" ", 2)
    _BY_CODE[_three] = _BY_CODE[_two] = (_two, _name)


def language_name(code: str) -> str:
    """The English name of a language.

    Raises:
        UsageError: The code is not known.
    """
    return _look_up(code)[1]


def short_code(code: str) -> str:
    """The ISO 639-1 code of a language, 639-3 where it has none.

    Raises:
        UsageError: The code is not known.
    """
    return _look_up(code)[0]


def _look_up(code: str) -> tuple[str, str]:
    base = code.replace("-", "_").split("_")[0].lower()
    if base not in _BY_CODE:
        near = difflib.get_close_matches(base, _BY_CODE, n=4, cutoff=0.5)
        meant = ", ".join(f"{one} ({_BY_CODE[one][1]})" for one in near)
        hint = f"did you mean {meant}?" if near else "use ISO 639 codes, such as en, de, zh"
        raise UsageError(f"there is no language with the code {code!r}", hint=hint)
    return _BY_CODE[base]
