"""Rules from measurements to sentences that say what to do, each with the number it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.doctor.diagnosis import LEVELS, Advice, ChatFindings, Diagnosis, FormPair, FormScore, Measured
from evalkit.stats.intervals import rule_of_three

SMALL = 5e-4
"""Nats a token up to which a change in float32 is rounding: the tolerance of the engine's self-check."""
LARGE = 0.1
"""Nats a token from which on batches in a smaller type matter: the tolerance of the engine's self-check there."""
SIGNIFICANT = 0.05


def advise(
    measured: Sequence[Measured],
    chat: ChatFindings,
    forms: Sequence[FormScore],
    pairs: Sequence[FormPair],
    *,
    dtype: str,
) -> tuple[Advice, ...]:
    """All findings, worst first.

    Args:
        measured: Ways of computing.
        chat: The chat template.
        forms: Accuracy of the ways to put a question.
        pairs: These compared.
        dtype: What `evalkit run` would compute in.
    """
    found = [
        *_types(measured, dtype),
        *_batches(measured),
        *_deterministic(measured),
        *_template(chat),
        *_forms(forms, pairs),
    ]
    return tuple(sorted(found, key=lambda one: LEVELS.index(one.level)))


def worst_level(diagnosis: Diagnosis) -> str:
    """The level of the worst finding."""
    return diagnosis.advice[0].level if diagnosis.advice else "fine"


def nats(value: float) -> str:
    """A log-probability difference in two figures."""
    if value == 0:
        return "0"
    return f"{value:.1e}" if value < 0.001 else f"{value:.2g}"


def _moved(one: Measured) -> str:
    assert one.change is not None
    change = one.change
    text = f"{change.flipped} of {change.questions} answers flipped"
    if change.flipped_margin is not None:
        text += f", with leads of up to {nats(change.flipped_margin)} nats"
    return text


def _types(measured: Sequence[Measured], dtype: str) -> Iterator[Advice]:
    """What another type of weights does to the answers."""
    for one in measured:
        if not one.key.endswith("/alone"):
            continue
        used = f"{one.dtype}, which evalkit run would use here," if one.dtype == dtype else one.dtype
        if one.change is None:
            if one.dtype == dtype:  # of other types the report says so below
                yield Advice("problem", f"{used} could not be measured: {one.reason}.")
            continue
        change = one.change
        reference = one.against.partition("/")[0]
        if change.flipped:
            yield Advice(
                "care",
                f"{used} changes answers against {reference}: {_moved(one)}; right answers {change.right_before} → "
                f"{change.right_after}. Compare only runs of one dtype; use --dtype {reference} for gates.",
            )
        else:
            most = rule_of_three(change.questions)
            yield Advice(
                "fine",
                f"{used} gives the same answers as {reference} on these {change.questions} questions (largest change of "
                f"a token {nats(change.largest_token)} nats); up to {most:.0%} of others could still differ.",
            )


def _batches(measured: Sequence[Measured]) -> Iterator[Advice]:
    """What batches, padding, sharing and attention do within one type of weights."""
    for dtype in dict.fromkeys(one.dtype for one in measured):
        own = [
            one
            for one in measured
            if one.dtype == dtype
            and not one.key.endswith(("/alone", "/deterministic"))
            and one.against.endswith("/alone")
        ]
        for by in ("evalkit", "others"):
            yield from _group(dtype, by, [one for one in own if one.by == by])


def _group(dtype: str, by: str, own: Sequence[Measured]) -> Iterator[Advice]:
    done = [one for one in own if one.change is not None]
    refused = next((one for one in own if one.key.endswith("/default") and one.change is None), None)
    if refused is not None:
        yield Advice("care", f"evalkit does not run this model in {dtype} here: {refused.reason}.")
    if not done:
        return
    subject = "batches, budgets and sharing of evalkit" if by == "evalkit" else "padded batches and other attention"
    worst = max(done, key=lambda one: (one.change.flipped, one.change.largest_token) if one.change else (0, 0.0))
    assert worst.change is not None
    largest = max(one.change.largest_token for one in done if one.change is not None)
    if worst.change.flipped:
        level = "care" if by == "others" or dtype != "float32" else "problem"
        todo = _todo(dtype, by)
        yield Advice(
            level,  # type: ignore[arg-type]
            f"{dtype}: {subject} change answers: {worst.label}: {_moved(worst)}, largest change of a token "
            f"{nats(largest)} nats; {todo}.",
        )
    elif dtype == "float32" and largest > SMALL:
        yield Advice(
            "care" if by == "others" else "problem",
            f"float32: {subject} move a token by up to {nats(largest)} nats ({worst.label}), more than rounding does, "
            f"though 0 of {worst.change.questions} answers flipped.",
        )
    elif largest > LARGE:
        yield Advice(
            "care",
            f"{dtype}: {subject} flip 0 of {worst.change.questions} answers, but move a token by up to "
            f"{nats(largest)} nats: close answers to other questions will flip.",
        )
    else:
        yield Advice(
            "fine",
            f"{dtype}: {subject} flip 0 of {worst.change.questions} answers (largest change of a token {nats(largest)} "
            "nats): nothing to do.",
        )


def _todo(dtype: str, by: str) -> str:
    if by == "others":
        return "scores of programs that compute so can differ from evalkit's by as much"
    if dtype == "float32":
        return "use --deterministic, and please report the model"
    return "use --deterministic or --dtype float32 for gates"


def _deterministic(measured: Sequence[Measured]) -> Iterator[Advice]:
    for one in measured:
        if one.key.endswith("/deterministic") and one.change is not None:
            if one.change.identical:
                yield Advice(
                    "fine",
                    f"--deterministic holds in {one.dtype}: {one.change.tokens} tokens have the same bits with other "
                    "neighbours.",
                )
            else:
                yield Advice(
                    "problem",
                    f"--deterministic does not hold in {one.dtype}: a token moved by {nats(one.change.largest_token)} nats "
                    "with other neighbours; please report the model.",
                )


def _template(chat: ChatFindings) -> Iterator[Advice]:
    if chat.plain.double_bos:
        yield Advice("problem", "plain text begins with two BOS tokens: the tokenizer is misconfigured.")
    if not chat.template:
        yield Advice("fine", "there is no chat template: a base model, so leave --chat-template off.")
        return
    if chat.error is not None:
        yield Advice("problem", f"the chat template cannot be used: {chat.error}.")
        return
    if chat.evalkit is not None and chat.evalkit.double_bos:
        yield Advice("problem", "a conversation begins with two BOS tokens in evalkit too: use --chat-template off.")
    elif chat.usual is not None and chat.usual.double_bos:
        yield Advice(
            "care",
            "the template writes a BOS and the tokenizer adds another: evalkit leaves the second out; in other programs "
            "tokenise conversations with add_special_tokens=False.",
        )
    else:
        yield Advice("fine", "a conversation does not begin with two BOS tokens.")
    yield from _system(chat)
    if chat.asked and chat.ended * 2 < chat.asked:
        yield Advice(
            "care",
            f"the model ended {chat.ended} of {chat.asked} short answers by itself: it has a chat template, but seems "
            "not to be trained for it; for a base model use --chat-template off.",
        )
    elif chat.asked:
        yield Advice(
            "fine",
            f"a chat model: it ended {chat.ended} of {chat.asked} short answers by itself, through its template.",
        )
    if not chat.continues:
        yield Advice("care", "the template cannot leave an answer open, so that its beginning cannot be given.")


def _system(chat: ChatFindings) -> Iterator[Advice]:
    if chat.system == "refused":
        yield Advice("care", "the template refuses a system role: use --system-as-user with --system.")
    if chat.system == "ignored":
        yield Advice("care", "the template drops a system message without a word: use --system-as-user with --system.")
    if chat.default_system:
        yield Advice(
            "care",
            f"the template adds a system message of its own where none is given ({chat.default_system!r}): "
            "scores through it are scores with that message; --system replaces it.",
        )


def _forms(forms: Sequence[FormScore], pairs: Sequence[FormPair]) -> Iterator[Advice]:
    by_key = {form.key: form for form in forms}
    letter, cloze = by_key.get("letter"), by_key.get("cloze")
    if letter and cloze and letter.ci95[0] <= letter.chance and cloze.ci95[0] > cloze.chance:
        yield Advice(
            "care",
            f"with answers under letters the model cannot be told from guessing ({letter.right} of {letter.questions}), "
            f"with answers as texts it can ({cloze.right}): tasks like MMLU will say little about it.",
        )
    for pair in pairs:
        share = f"{pair.difference * 100:+.0f} points, 95 % interval {_points(pair.ci95)}, p = {pair.p:.2g}"
        if pair.p < SIGNIFICANT:
            better = pair.after if pair.difference > 0 else pair.before
            yield Advice(
                "care",
                f"“{pair.after}” against “{pair.before}” makes a difference: {share}, n = {pair.questions}; “{better}” "
                "scores better, and scores of the two must not be compared.",
            )
    if pairs and all(pair.p >= SIGNIFICANT for pair in pairs):
        widest = max(pairs, key=lambda pair: pair.ci95[1] - pair.ci95[0])
        yield Advice(
            "fine",
            f"{pairs[0].questions} questions cannot tell letters from texts, or chat from plain text: differences of "
            f"{_points(widest.ci95)} points stay possible.",
        )


def _points(interval: tuple[float, float]) -> str:
    return f"{interval[0] * 100:+.0f} to {interval[1] * 100:+.0f}"
