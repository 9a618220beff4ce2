"""What components declare: when a statement objects, in which words, and that constructors keep to it too."""

from types import SimpleNamespace

import pytest

from lic_exp.capabilities import CodecFacts
from lic_exp.conditions import Above, AtLeast, Below, MultipleOf, Not, Option, View
from lic_exp.requirements import (
    Entries,
    Forbids,
    ForbidsEach,
    NoWeights,
    OnsetOptions,
    Unused,
    WindowOptions,
    declares,
)


def objections(statement, path="group", **options):
    return list(statement.objections(View(options, path)))


@pytest.mark.parametrize(
    ("condition", "holding", "others"),
    [
        (3, [3, 3.0], [4, None]),
        (None, [None], [0, "none"]),
        (("a", "b"), ["a", "b"], ["c", None]),
        (Not(None), [0, "x"], [None]),
        (Not(("a", "b")), ["c", None], ["a", "b"]),
        (AtLeast(1), [1, 2.5], [0.5, None]),
        (Above(1), [1.5], [1, None]),
        (Below(1), [0.5], [1, None]),
        (MultipleOf(4), [8, 0], [6, None]),
        (Not(MultipleOf(4)), [6], [8]),
        (Option("other"), [7], [8]),
        (Not(Option("other")), [8], [7]),
        (Above(Option("other")), [8], [7]),
    ],
)
def test_conditions(condition, holding, others):
    statement = Forbids({"key": condition}, "no")
    assert [objections(statement, key=value, other=7) for value in holding] == [["group: no"]] * len(holding)
    assert [objections(statement, key=value, other=7) for value in others] == [[]] * len(others)


def test_all_conditions_must_hold_and_none_does_on_what_is_not_there():
    statement = Forbids({"a": 1, "b": Not(2)}, "no")
    assert objections(statement, a=1, b=3)
    assert not objections(statement, a=1, b=2)
    assert not objections(statement, a=1)
    assert not objections(Forbids({"a": Not(Option("b"))}, "no"), a=1)


def test_options_of_parts_are_found_in_nodes_and_in_objects():
    statement = Forbids({"part.start": Above(Option("most"))}, "part.start={part.start} is above {most}")
    for part in ({"start": 3}, SimpleNamespace(start=3)):
        assert objections(statement, part=part, most=2) == ["group: part.start=3 is above 2"]
        assert not objections(statement, part=part, most=3)


def test_texts_take_values_and_place_themselves():
    text = "{here}x={x:g} is {x/4:.2f} times 4; {codec.latents} latents, {trainer.compile}"
    view = View({"x": 2.0}, "criterion", {"trainer": {"compile": True}}, CodecFacts(downsampling_factor=8, latents=3))
    (said,) = Forbids({}, text).objections(view)
    assert said == "criterion.x=2 is 0.50 times 4; 3 latents, True"
    assert objections(ForbidsEach(("x", "y"), Above(1), "{here}{key}={value}"), x=1, y=2) == ["group.y=2"]


def test_other_groups_and_the_model_count_where_they_are_known():
    beside = Forbids({}, "no", beside={"trainer.compile": True})
    codec = Forbids({}, "no", codec={"latents": Below(2)})
    facts = CodecFacts(downsampling_factor=8, latents=1)
    assert list(beside.objections(View({}, "g", {"trainer": {"compile": True}}))) == ["g: no"]
    assert list(codec.objections(View({}, "g", codec=facts))) == ["g: no"]
    assert not [*beside.objections(View({}, "g")), *codec.objections(View({}, "g"))]


def test_some_things_are_asked_only_of_what_stands_alone():
    statement = Forbids({"start": None}, "no", alone=True)
    assert list(statement.objections(View({"start": None}, "g", alone=True))) == ["g: no"]
    assert not list(statement.objections(View({"start": None}, "g.part", alone=False)))


def test_entries():
    statement = Entries(3, ("widths", "depths"), ", one per scale")
    assert objections(statement, widths=[1, 2], depths=[1, 2, 3]) == [
        "group: widths is [1, 2], but needs 3 entries, one per scale"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 100, "epoch"), None),
        ((0.2, 0.8, "share"), None),
        ((0.9, 0.1, "share"), None),
        (
            (0, 2.5, "step"),
            "from=0 and last=2.5 must be whole numbers of steps; for a part of the training use in=share",
        ),
        (
            (0, 2, "share"),
            "last=2 is no share of the training: with in=share it must be in (0, 1]; for epochs or steps",
        ),
        ((0.5, 0.6, "share"), "from=0.5 + last=0.6 is past the end of the training: with in=share their sum"),
        ((0, 0, "step"), "from=0 and last=0 are no window"),
    ],
)
def test_windows_speak_of_the_components_own_options(values, message):
    statement = WindowOptions(start="from", length="last", unit="in")
    found = objections(statement, **dict(zip(("from", "last", "in"), values, strict=True)))
    assert [text.startswith(f"group: {message}") for text in found] == ([] if message is None else [True])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((10, 0, "epoch"), None),
        ((None, 2, "step"), None),
        ((0.99, 1, "share"), None),
        ((None, 0.5, "epoch"), "at=0 and rise=0.5 must be whole numbers of epochs"),
        ((1, 0, "share"), "at=1 and rise=0 are no shares of the training: with in=share the at must be below 1"),
    ],
)
def test_onsets_do_so_too(values, message):
    statement = OnsetOptions(start="at", ramp="rise", unit="in")
    found = objections(statement, **dict(zip(("at", "rise", "in"), values, strict=True)))
    assert [text.startswith(f"group: {message}") for text in found] == ([] if message is None else [True])


def test_a_component_built_by_hand_refuses_what_its_own_options_forbid():
    @declares(Forbids({"a": 1}, "a={a}"), Forbids({}, "never", beside={"trainer.compile": True}))
    class Base:
        def __init__(self, given, *, a, b):
            self.all = (given, a, b)

    @declares(Forbids({"b": 2}, "b={b}"))
    class Derived(Base):
        pass

    @declares(Forbids({"a": Option("b")}, "{here}a={a} is b"))
    def make(given, *, a, b):
        return given, a, b

    assert Derived("given", a=0, b=0).all == ("given", 0, 0)
    assert make("given", a=0, b=1) == ("given", 0, 1)
    for kind, options, message in (
        (Base, {"a": 1, "b": 2}, "^a=1$"),
        (Derived, {"a": 0, "b": 2}, "^b=2$"),
        (make, {"a": 3, "b": 3}, "^a=3 is b$"),
    ):
        with pytest.raises(ValueError, match=message):
            kind("given", **options)


def test_what_is_unused_and_what_learns_depends_on_options():
    assert Unused("tau_final", {"schedule": "constant"}).holds({"schedule": "constant"})
    assert not Unused("tau_final", {"schedule": "constant"}).holds({"schedule": "linear"})
    assert NoWeights().holds({})
    assert not NoWeights({"conv": Not("trained")}).holds({"conv": "trained"})
