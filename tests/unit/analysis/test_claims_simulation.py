"""Studies of known truths, made up: how often their tables conclude rightly. `benchmarks/claims.py` tries more."""

import pytest
from checkout import program

STUDIES = 60


@pytest.fixture(scope="module")
def claims():
    """The benchmark as a module."""
    return program("benchmarks/claims.py")


@pytest.mark.parametrize("gain", [0.05, 0.2])
@pytest.mark.parametrize(
    ("truth", "claim", "seeds", "wanted", "share"),
    [
        (1.84, 1.84, 3, "supported", 0.85),
        (0.5, 1.84, 3, "contradicted", 0.95),
        (0.7, 1.84, 3, "contradicted", 0.95),
        (1.0, 1.84, 3, "contradicted", 0.85),
        (1.3, 1.84, 3, "smaller than claimed", 0.85),
        (0.91, 0.91, 8, "supported", 0.65),
    ],
)
def test_what_is_so_is_concluded(claims, truth, claim, seeds, wanted, share, gain):
    found = claims.shares(claims.Cell(truth, claim, seeds, 0.1, gain), STUDIES)
    assert found[wanted] >= share


@pytest.mark.parametrize(("truth", "claim"), [(1.0, 1.84), (1.0, 0.91), (1.84, 1.84), (0.91, 0.91), (1.2, 0.91)])
def test_wrong_conclusions_are_rare(claims, truth, claim):
    cell = claims.Cell(truth, claim, 3, 0.2, 0.2)
    found = claims.shares(cell, STUDIES)
    wrong = sum(share for said, share in found.items() if said != "wrong" and cell.wrong(said))
    assert wrong <= 0.1
