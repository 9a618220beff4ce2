"""Which cells the `sweep` of an experiment has."""

import itertools

import pytest

from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.spec import parse_spec, points


def values(node, chosen=()):
    return [point.values for point in points(parse_spec(node, "here"), dict(chosen))]


def test_a_product_with_seeds():
    found = values({"product": {"a": [1, 2], "b": ["x", "y"]}, "seeds": [0, 1]})
    assert found == [{"a": a, "b": b, "seed": s} for a, b, s in itertools.product([1, 2], ["x", "y"], [0, 1])]


def test_pairs_move_together_and_multiply_with_the_rest():
    found = values({"zip": {"lmbda": [1, 2, 3], "N": [10, 20, 30]}, "product": {"a": [0, 1]}})
    assert len(found) == 6
    assert {(one["lmbda"], one["N"]) for one in found} == {(1, 10), (2, 20), (3, 30)}


def test_what_is_excluded_and_included():
    spec = {"product": {"a": [1, 2], "b": [1, 2]}, "exclude": [{"a": 1, "b": 2}], "include": [{"a": 9}], "seeds": [5]}
    assert values(spec) == [
        {"a": 1, "b": 1, "seed": 5},
        {"a": 2, "b": 1, "seed": 5},
        {"a": 2, "b": 2, "seed": 5},
        {"a": 9, "seed": 5},
    ]


def test_the_command_line_replaces_a_products_values_chooses_pairs_and_adds_axes():
    spec = {"product": {"a": [1, 2]}, "zip": {"b": [1, 2], "c": [3, 4]}, "seeds": [0, 1]}
    assert values(spec, {"a": [7], "b": [2], "seed": [5]}) == [{"a": 7, "b": 2, "c": 4, "seed": 5}]
    assert len(values(spec, {"d": [1, 2, 3]})) == 2 * 2 * 2 * 3


def test_a_chain_links_cells_that_differ_in_its_key_alone():
    spec = {"product": {"a": [1, 2], "lmbda": [0.1, 0.5, 0.9]}, "chain": {"key": "lmbda", "order": [0.9, 0.5, 0.1]}}
    found = points(parse_spec(spec | {"seeds": [0, 1]}, "here"), {})
    assert len(found) == 12
    for place, point in enumerate(found):
        if point.values["lmbda"] == 0.9:
            assert point.after is None
        else:
            parent = found[point.after].values
            assert point.after < place
            assert parent["lmbda"] == {0.5: 0.9, 0.1: 0.5}[point.values["lmbda"]]
            assert {**parent, "lmbda": 0} == {**point.values, "lmbda": 0}


def test_screening_marks_the_first_rate_and_groups_the_rest_over_seeds():
    spec = {
        "product": {"a": [1, 2], "lmbda": [1, 2]},
        "seeds": [0, 1],
        "screen": {"key": "lmbda", "value": 2, "keep": 1},
    }
    found = points(parse_spec(spec, "here"), {})
    assert {point.group for point in found} == {"a=1", "a=2"}
    assert [point.first for point in found] == [point.values["lmbda"] == 2 for point in found]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"zip": {"a": [1, 2], "b": [1]}}, "keys that move together have as many values each: a 2, b 1"),
        ({"product": {"a": [1]}, "zip": {"a": [1]}}, "a: a key has its values in one place"),
        ({"product": {"a": [1]}, "chain": {"key": "b"}}, "chain.key: 'b' has no values"),
        ({"product": {"a": [1]}, "exclude": [{"b": 1}]}, "exclude: 'b' is no key of this sweep; it has a"),
        ({"produce": {"a": [1]}}, "produce: there is no such key. Did you mean product? Valid: product, zip"),
        ({"product": {"a": [1]}, "excluded": [{"a": 1}]}, "excluded: there is no such key. Did you mean exclude?"),
        ({"product": {"a": [1]}, "chain": {"key": "a", "by": 1}}, "chain.by: there is no such key. Valid: key, order"),
        ({"product": {"a": [1, 2]}, "exclude": [{"a": 3}]}, "exclude: no cell has a=3; there are a=1, a=2"),
        ({"product": {"a": [1, 2]}, "exclude": [{"a": "x"}]}, "exclude: no cell has a=x; there are a=1, a=2"),
        ({"product": {"a": [1, 2]}, "exclude": [{"a": True}]}, "exclude: no cell has a=true; there are a=1, a=2"),
        (
            {"product": {"a": [1]}, "seeds": [0], "exclude": [{"seed": 7}]},
            "exclude: no cell has seed=7; there are seed=0",
        ),
        ({"zip": {"a": [1, 2], "b": [3, 4]}, "exclude": [{"a": 1, "b": 4}]}, "exclude: no cell has all of a=1, b=4"),
        ({"product": {"a": [1, 2]}, "exclude": [{}]}, "exclude: names no value"),
        ({"product": {"a": [1, 2]}, "baseline": {"a": 3}}, "baseline: no cell has a=3; there are a=1, a=2"),
        ({"product": {"a": [1, 2]}, "baseline": {"c": 3}}, "baseline: 'c' is no key of this sweep; it has a"),
        (
            {"product": {"a": [1, 2]}, "exclude": [{"a": 2}], "baseline": {"a": 2}},
            "baseline: no cell has a=2; there are a=1",
        ),
        (
            {"product": {"a": [1, 2]}, "chain": {"key": "a", "order": [2, 3]}},
            "chain.order: no cell has a=3; there are a=1, a=2",
        ),
        ({"product": {"a": [1, 2]}, "chain": {"key": "a", "order": [2, 2]}}, "chain.order: 2 stands there twice"),
        (
            {"product": {"a": [1, 2]}, "screen": {"key": "a", "value": 3, "keep": 1}},
            "screen.value: no cell has a=3; there are a=1, a=2",
        ),
        ({"product": {"a": []}}, "a: has no values"),
        ({"product": {"a": [1, 1.0]}}, "a: 1.0 stands there twice"),
        ({"seeds": [0, 1, 0]}, "seed: 0 stands there twice"),
        ({"product": {"a": list(range(200)), "b": list(range(200))}}, "that is 40000 cells, and 20000 are the most"),
    ],
)
def test_refusals(node, message):
    with pytest.raises(ConfigError, match=r"^here: sweep: ") as error:
        parse_spec(node, "here")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "more", [{"exclude": [{"a": 2}]}, {"baseline": {"a": 2}}, {"chain": {"key": "a", "order": [2, 1]}}]
)
def test_what_the_command_line_leaves_out_may_be_spoken_of(more):
    spec = {"product": {"a": [1, 2], "b": [1, 2]}, **more}
    assert values(spec, {"a": [1]}) == [{"a": 1, "b": 1}, {"a": 1, "b": 2}]


def test_a_chain_over_seeds_keeps_its_order():
    spec = {"product": {"a": [1]}, "seeds": [0, 1, 2], "chain": {"key": "seed", "order": [2, 0]}}
    found = points(parse_spec(spec, "here"), {})
    assert [(point.values["seed"], point.after) for point in found] == [(2, None), (0, 0), (1, 1)]


def test_excluding_everything_is_an_error():
    with pytest.raises(ConfigError, match="leave no cell"):
        values({"product": {"a": [1]}, "exclude": [{"a": 1}]})
