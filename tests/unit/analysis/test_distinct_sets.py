"""Sets of images that evaluations recorded in part: which of them are told apart."""

from itertools import permutations

import pytest

from analysis.image_points import Images, distinct_sets


def photos(*pixels: str, name: str = "a", height: int = 8) -> Images:
    return tuple((f"{name}{number}", height, 8, digest) for number, digest in enumerate(pixels))


ONE, OTHER, FORMER = photos("p1", "q"), photos("p2", "q"), photos("", "")


@pytest.mark.parametrize(
    ("sets", "number"),
    [
        ([ONE, OTHER], 2),
        ([ONE, OTHER, FORMER], 2),
        ([ONE, ONE, FORMER], 1),
        ([FORMER, FORMER], 1),
        ([ONE, photos("", "q"), FORMER], 1),
        ([ONE, photos("", "other")], 2),
        ([FORMER, photos("", "", name="b")], 2),
        ([ONE, OTHER, FORMER, photos("", "", height=9)], 3),
        ([ONE, photos("p1")], 2),
        ([], 0),
    ],
)
def test_any_two_are_told_apart_by_what_both_recorded(sets: list[Images], number: int) -> None:
    assert {len(distinct_sets(order)) for order in permutations(sets)} == {number}
