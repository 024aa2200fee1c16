import pytest

from evalkit.errors import TaskDefinitionError
from evalkit.templates import Field, compile_field


def compiled(source: str) -> Field:
    return compile_field(source, "question", "quiz.yaml, line 3")


def test_a_plain_name_is_a_column() -> None:
    field = compiled("question")
    assert (field.text({"question": 3}), field.value({"question": 3})) == ("3", 3)
    assert field.columns == {"question"}


def test_a_template_is_text_and_keeps_its_line_breaks() -> None:
    field = compiled("Q: {{a}} {{b}}\n")
    assert field.text({"a": 1, "b": "<i>"}) == "Q: 1 <i>\n"
    assert field.columns == {"a", "b"}


def test_a_lone_expression_keeps_its_type() -> None:
    assert compiled("{{ choices.text }}").value({"choices": {"text": ["a", "b"]}}) == ["a", "b"]
    assert compiled("{{ 'ABC'.index(key) }}").value({"key": "C"}) == 2


def test_two_expressions_are_text() -> None:
    assert compiled("{{ a }}{{ b }}").value({"a": 1, "b": 2}) == "12"


def test_blocks_work() -> None:
    assert compiled("{% for one in many %}{{ one }};{% endfor %}").text({"many": [1, 2]}) == "1;2;"


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("missing", {"a": 1}),
        ("a", {"a": None}),
        ("Q: {{missing}}", {"a": 1}),
        ("{{missing}}", {"a": 1}),
        ("Q: {{a}}", {"a": None}),
        ("{{a}}", {"a": None}),
        ("{{a + 1}}", {"a": "x"}),
        ("{{a[5]}}", {"a": [1]}),
        ("{{ a.__class__.__mro__ }}", {"a": ""}),
        ("x{{ a.__init__.__globals__ }}", {"a": ""}),
    ],
)
def test_failures_are_value_errors(source: str, row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"missing|null|fails"):
        compiled(source).text(row)


def test_a_broken_template_names_file_line_and_key() -> None:
    with pytest.raises(TaskDefinitionError, match=r"quiz\.yaml, line 3: the template of `question` is broken"):
        compiled("{{ question")
