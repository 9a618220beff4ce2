"""What runs are called: by what differs between them, and by nothing else."""

import pytest

from lic_exp.labels import differing, is_rate, label, label_width, labels


@pytest.mark.parametrize(
    ("rows", "called"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], ["b=2", "b=3"]),
        ([{"a": 1}, {"a": True}, {"a": 1.0}], ["a=1", "a=true", "a=1.0"]),
        ([{"reg": "none"}, {"reg": "intra", "reg.tau": 0.3}], ["reg=none", "reg=intra, reg.tau=0.3"]),
        ([{"betas": [0.9, 0.99]}, {"betas": [0.5, 0.99]}], ["betas=[0.9,0.99]", "betas=[0.5,0.99]"]),
        ([{"w": None}, {"w": "x.pt"}], ["w=null", "w=x.pt"]),
        ([{"variant": "naive", "seed": 0}, {"variant": "intra", "seed": 0}], ["naive", "intra"]),
        ([{"variant": "naive", "seed": 0}, {"variant": "intra", "seed": 1}], ["naive, seed=0", "intra, seed=1"]),
        ([{"a": 1, "b": 2}], [""]),
        ([], []),
    ],
)
def test_a_label_has_what_differs_and_nothing_else(rows: list[dict], called: list[str]) -> None:
    assert labels(rows) == called


def test_of_one_alone_everything_is_said_where_it_is_asked_for() -> None:
    assert label({"spectral_reg": "intra", "seed": 0}) == "spectral_reg=intra, seed=0"
    assert differing([{"a": 1}, {}]) == [{"a": 1}, {}]


@pytest.mark.parametrize("key", ["criterion.lmbda", "model.quality", "evaluation.qualities"])
def test_what_chooses_the_point_on_a_curve(key: str) -> None:
    assert is_rate(key)


@pytest.mark.parametrize(
    "key",
    [
        *("optimizer.lr", "seed", "model", "model.quality_head.width", "spectral_reg.delta"),
        *("criterion.lmbda_min", "criterion.lmbda_max", "own.lmbda_schedule"),
    ],
)
def test_what_chooses_the_curve(key: str) -> None:
    assert not is_rate(key)


def test_the_room_for_a_label_is_that_of_its_longest_part() -> None:
    assert label_width(["seed=0, criterion.lmbda=0.0018", ""]) == len("criterion.lmbda=0.0018,")
    assert label_width(["x" * 500]) < 100
    assert label_width([]) == 1
