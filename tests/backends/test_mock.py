import pytest

from evalkit.backends.mock import MockModel
from evalkit.decoding import Decoding
from evalkit.errors import ModelError
from evalkit.requests import Generate, Generation, Roll, Score


def only(model: MockModel, request: Score | Roll):  # noqa: ANN201
    (((_, response),),) = list(model.compute(model.prepare([request])))
    return response


def test_a_table_answers_and_a_gap_in_it_is_named() -> None:
    model = MockModel({("Sky is", " blue"): -0.5})
    response = only(model, Score("Sky is", " blue"))
    assert (response.log_probability, response.greedy, response.tokens) == (-0.5, True, 1)
    with pytest.raises(ModelError, match=r"no answer for \('Sky is', ' red'\)"):
        only(model, Score("Sky is", " red"))


def test_without_a_table_answers_differ_by_request_and_repeat() -> None:
    values = [only(MockModel(), Score("a", f" {n}")).log_probability for n in range(20)]
    assert len(set(values)) == 20
    assert all(-20 <= value <= 0 for value in values)
    assert values[3] == only(MockModel(), Score("a", " 3")).log_probability


def test_a_function_answers_texts_too() -> None:
    response = only(MockModel(lambda request: -6.0), Roll("three words here"))
    assert response.token_log_probabilities == (-2.0, -2.0, -2.0)


def generated(model: MockModel, request: Generate) -> Generation:
    (((_, reply),),) = list(model.compute(model.prepare([request])))
    assert isinstance(reply, Generation)
    return reply


def test_texts_end_where_a_real_backend_ends_them() -> None:
    model = MockModel(texts={"2+2=": "<think>two\ntwo</think>\n\n4\n3+3=6"})
    thinking = Decoding(stop=("\n",), thinking=("<think>", "</think>"))
    (one,) = generated(model, Generate("2+2=", thinking)).completions
    assert (one.text, one.finish) == ("<think>two\ntwo</think>\n\n4", "stop")
    (one,) = generated(model, Generate("2+2=", Decoding(stop=("\n",)))).completions
    assert one.text == "<think>two"


def test_beams_are_several_hypotheses_the_best_first() -> None:
    reply = generated(MockModel(texts={"2+2=": ("4", "5")}), Generate("2+2=", Decoding(beams=2)))
    assert [(one.text, one.score) for one in reply.completions] == [("4", 0.0), ("5", -1.0)]
    assert len(generated(MockModel(), Generate("2+2=", Decoding(beams=3))).completions) == 3
