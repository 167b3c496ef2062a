"""What the parser's messages become: keys from the outermost inwards, the value, what to give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.command.parser_messages import HOMES, cause, class_choices, sentence
from descentlab.errors import UsageError

NESTED = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'LightningModule'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'descentlab.modules.LinearRegression':
        {inner}
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='x', val='y')"""


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("Parser key \"features\":\n Expected a <class 'int'>. Got value: 1.5", "features 1.5: g"),
        ("Option 'foo' is not accepted", "--model.foo: LinearRegression has no option foo"),
    ],
)
def test_a_nested_message_is_about_its_innermost_key(inner, says):
    assert says in sentence(NESTED.format(inner=inner))


def test_null_is_offered_only_where_the_key_itself_takes_it():
    inner = "Parser key \"features\":\n Expected a <class 'int'>. Got value: x"
    assert sentence(NESTED.format(inner=inner)) == "--model.features x: give a whole number"
    union = "Expected a <class 'int'>\n - Expected a <class 'NoneType'>\nGiven value: x"
    text = f'Parser key "trainer.max_epochs": {union}'
    assert sentence(text) == "--trainer.max_epochs x: give a whole number or null"


@given(st.text())
def test_any_message_becomes_one_line(message):
    assert "\n" not in sentence(message)
    assert sentence(f'Parser key "a.b": {message}').count("\n") == 0


@given(st.text(st.characters(categories=("L", "N")), min_size=1))
def test_a_message_of_an_unknown_form_keeps_its_words(message):
    assert sentence(f"something is {message}") == f"something is {message}"


def test_a_usage_error_is_found_below_others():
    inner = UsageError("lr must be > 0")
    middle, outer = ValueError("union"), TypeError("key")
    middle.__cause__, outer.__cause__ = inner, middle
    assert cause(outer) is inner
    assert cause(ValueError("alone")) is None
    assert cause(None) is None


@pytest.mark.parametrize("key", sorted(HOMES))
def test_known_classes_can_be_made(key):
    names = [
        name
        for part in class_choices(key).split("(")[1:]
        for name in part.split(")")[0].split(", ")
    ]
    assert names
    assert not any(name.startswith("_") for name in names)
    assert "Rule" not in names  # abstract
