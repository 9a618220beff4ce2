"""The same training by one, two and four ranks: the same samples, rates and noise, and the same sums."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import torch
from rank_starting import on_ranks
from rank_trainings import CASES, COMPARED_EVERY, STEPS, measured

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    (found,) = on_ranks(1, "rank_trainings:all_cases", "double")
    return found


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return on_ranks(request.param, "rank_trainings:all_cases", "double", limit_s=500)


@pytest.mark.parametrize("case", CASES)
def test_what_ranks_are_given_is_one_after_the_other_what_one_is_given(alone, ranks, case):
    assert len(alone[case]["drawn"]) == 3
    for step, given in enumerate(alone[case]["drawn"]):
        parts = [one[case]["drawn"][step] for one in ranks]
        assert [name for part in parts for name in part["names"]] == given["names"]
        for what in ("x", "shares"):
            assert torch.equal(torch.cat([part[what] for part in parts]), given[what])
        assert given["noise"]
        for latent, noise in given["noise"].items():
            assert torch.equal(torch.cat([part["noise"][latent] for part in parts]), noise)


@pytest.mark.parametrize("case", CASES)
def test_weights_and_metrics_are_the_same_but_for_the_order_of_sums(alone, ranks, case):
    assert [entry["step"] for entry in alone[case]["metrics"]][-1] == STEPS
    for one in ranks:
        for part in ("weights", "metrics"):
            expected, found = dict(leaves(alone[case][part])), dict(leaves(one[case][part]))
            assert expected.keys() == found.keys()
            far = [name for name in expected if difference(expected[name], found[name]) > 1e-9]
            assert not far


@pytest.mark.parametrize("case", CASES)
def test_ranks_are_equal_bit_by_bit_and_the_first_alone_writes(ranks, case):
    first, *others = ranks
    assert f"step_{STEPS:08d}.pt" in first[case]["written"]
    for one in others:
        assert one[case]["written"] == []
        assert one[case]["metrics"] == first[case]["metrics"]
        pairs = zip(leaves(one[case]["weights"]), leaves(first[case]["weights"]), strict=True)
        assert all(torch.equal(mine[1], theirs[1]) for mine, theirs in pairs)


@pytest.fixture(scope="module")
def four() -> list[dict[str, Any]]:
    return on_ranks(4, "rank_trainings:other_cases")


def test_seven_images_are_measured_by_four_ranks_as_by_one(four):
    alone, (first, *others) = measured(), [one["measured"] for one in four]
    assert len(alone["rows"]) == 14
    for one in (first, *others):
        assert one["validation"] == alone["validation"]
        pd.testing.assert_frame_equal(one["rows"], alone["rows"], check_exact=True)
    assert first["written"] == alone["written"]
    assert all(one["written"] == [] for one in others)


def test_ranks_that_train_apart_are_found_within_so_many_steps(four):
    for place, said in four[0]["apart"].items():
        after = 10 if place.startswith("an optimizer") else COMPARED_EVERY
        assert said.startswith(f"the ranks differ from the first one after step {after}: rank 1 in codec.")
    assert all(one["apart"] == four[0]["apart"] for one in four)


def test_a_rank_whose_images_are_bad_ends_all_and_is_named(four):
    said = {one["spoilt"] for one in four}
    assert len(said) == 1
    assert said.pop().startswith("3: loss and gradient norm of net not finite in the step after 3; images of rank 1: ")


def leaves(nest: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and numbers in a nest, by place."""
    if isinstance(nest, dict):
        for key, value in nest.items():
            yield from leaves(value, f"{place}/{key}")
    elif isinstance(nest, list):
        for number, value in enumerate(nest):
            yield from leaves(value, f"{place}/{number}")
    elif nest is not None:
        yield place, nest


def difference(one: Any, other: Any) -> float:
    """The largest, over the largest number."""
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (one, other))
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) if a.numel() else 0.0
