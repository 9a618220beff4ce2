"""Sets of images under any names, that evaluations recorded in part: which are told apart, and which image is which."""

from itertools import permutations

import numpy as np
import pytest

from analysis.image_points import ImagePoints, Images, distinct_sets, in_one_order


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
        ([ONE, photos("p1", "q", name="b"), photos("q", "p1", name="c")], 1),
        ([ONE, photos("p1", "q", name="b"), photos("", "", name="b")], 1),
        ([ONE, photos("p1", "p1", name="b")], 2),
        ([ONE, photos("p1", "q", height=9)], 2),
        ([ONE, photos("q", "", name="b")], 2),
        ([], 0),
    ],
)
def test_any_two_are_told_apart_by_what_both_recorded(sets: list[Images], number: int) -> None:
    assert {len(distinct_sets(order)) for order in permutations(sets)} == {number}


def test_the_same_images_come_in_one_order_whatever_they_are_called() -> None:
    """And those that were recorded before pixels were, by the names of the same set."""
    former = photos("", "", "", name="c")
    sets = [former, photos("p", "q", "p"), photos("q", "p", "p", name="b"), photos("p", "p", "q", name="c")]
    assert len(distinct_sets(sets)) == 1
    value = {"p": 1.0, "q": 2.0}
    given = [
        ImagePoints(images, np.array([value[pixels] for *_, pixels in known]))
        for images, known in zip(sets, (sets[-1], *sets[1:]), strict=True)
    ]
    found = in_one_order(given)
    assert [one.points.tolist() for one in found] == [[1.0, 2.0, 1.0]] * 4
    assert [name for name, *_ in found[0].images] == ["c0", "c2", "c1"]
    assert found[1] is not given[1]
    assert found[1].images == given[1].images
    assert in_one_order(given[:1]) == given[:1]
