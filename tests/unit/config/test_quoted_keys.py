"""Keys in quotes, which people bring from JSON and YAML, and Hydra's grammar has not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lic_exp.config.loading import load_config
from lic_exp.config.overrides import parse, parsed, quoted
from lic_exp.config.quoted_keys import NO_TEXT, with_bare_keys

TEXT = st.text("abz_09.*/@?%$+-|()[]{}:=, ", min_size=1, max_size=6)
KEY = TEXT.filter(lambda key: not NO_TEXT.fullmatch(key))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ('optimizer.lr_factors={"h_a.*": 0.1}', {"h_a.*": 0.1}),
        ("optimizer.lr_factors={'h_a.*':0.1, \"g_s.*\" : 2}", {"h_a.*": 0.1, "g_s.*": 2}),
        ("x={a:'b:c','d':{\"e\":['f',\"g:\"]}}", {"a": "b:c", "d": {"e": ["f", "g:"]}}),
        (
            'x=[{"steps": 4, "data": {"crop_size": 128}}, {"steps": 1}]',
            [{"steps": 4, "data": {"crop_size": 128}}, {"steps": 1}],
        ),
        ('x={"a,b": "c, \\"d\\": e"}', {"a,b": 'c, "d": e'}),
        ('x={" a b ": 1}', {" a b ": 1}),
        ('x={"a=b": 1}', {"a=b": 1}),
    ],
)
def test_quoted_keys_mean_what_they_say(argument: str, value: object) -> None:
    assert parsed(argument).value() == value
    (written,) = parse([f"model.freeze={argument.partition('=')[2]}"]).arguments
    assert parsed(written).value() == value


@pytest.mark.parametrize(
    "argument",
    [
        *("model=dhic", "x=[a,b]", "x=['a', \"b\"]", "x=\"{'a': 1}\"", "x='{\"a\": 1}'", "x={a: 'b'}", "x=\\{'a'", "x"),
        *('x={"1": 2}', 'x={"true": 2}', 'x={"null": 2}', 'x={"": 2}', 'x={"é": 2}', 'x={"a\\"b": 2}', 'x={a: "b": 2}'),
    ],
)
def test_all_else_stays_as_it_is(argument: str) -> None:
    """A value in quotes, and a key that without its quotes would be a number, or that the grammar cannot have bare."""
    assert with_bare_keys(argument) == argument


@given(st.dictionaries(KEY, st.one_of(TEXT, st.integers(), st.dictionaries(KEY, TEXT, max_size=2)), max_size=3))
def test_json_is_read_as_json_and_written_so_that_it_can_be_read(value: dict[str, object]) -> None:
    assert parsed(f"x={json.dumps(value)}").value() == value
    assert parsed(f"x={quoted(value)}").value() == value


def test_a_run_has_the_same_name_either_way() -> None:
    names = {
        load_config(["model=hyperprior_tiny", f"optimizer.lr_factors={factors}"]).signature
        for factors in ("{h_a.*: 0.1}", '{"h_a.*": 0.1}', "{'h_a.*':0.1}")
    }
    assert len(names) == 1
