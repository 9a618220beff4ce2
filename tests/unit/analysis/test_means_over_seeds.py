"""Curves over several seeds: what is no mean over the same seeds, rates or qualities says so or is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from made_sweeps import LMBDAS, evaluate, point
from run_folders import write_run

from analysis import load_curve
from analysis.__main__ import main
from analysis.bd_report import over_seeds
from analysis.errors import AnalysisError

PAIRS = [
    pytest.param([(0, 0), (1, 0), (2, 1), (3, 1)], "seed 0: 2 of 4, seed 1: 2 of 4", id="each rate of another seed"),
    pytest.param(
        [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (3, 1)], "seed 0: 3 of 4, seed 1: 3 of 4", id="as many, but others"
    ),
    pytest.param([(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1)], "seed 0: 4 of 4, seed 1: 2 of 4", id="fewer of one"),
]


def arm(runs: Path, made: Sequence[tuple[int, int]], better: float = 0.0) -> str:
    """Runs of these (place of lmbda, seed)."""
    for place, seed in made:
        lmbda = LMBDAS[place]
        evaluate(write_run(runs / f"{place}{seed}00", criterion__lmbda=lmbda, seed=seed), point(lmbda, better))
    return str(runs)


@pytest.mark.parametrize(("made", "said"), PAIRS)
@pytest.mark.parametrize("command", ["rd", "bdrate"])
def test_points_of_other_seeds_are_named(
    tmp_path: Path, made: list[tuple[int, int]], said: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = arm(tmp_path / "first", made), arm(tmp_path / "second", [(i, s) for i in range(4) for s in (0, 1)])
    assert main([command, second, first]) == 0
    assert f"unequal-seeds: its points are not means over the same seeds; rates by seed: {said}" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(("made", "said"), PAIRS)
def test_a_seed_that_lacks_rates_has_no_bd_rate_of_its_own(
    tmp_path: Path, made: list[tuple[int, int]], said: str
) -> None:
    test = load_curve(arm(tmp_path / "first", made, 0.1))
    whole = {seed for seed in (0, 1) if f"seed {seed}: 4 of 4" in said}
    found = over_seeds(load_curve("kodak/vtm_18.0"), test, "psnr", "pchip")
    assert found is not None
    assert set(found.values) == whole
    assert set(found.left) == {0, 1} - whole
    anchor = load_curve(arm(tmp_path / "second", [(i, s) for i in range(4) for s in (0, 1)]))
    for pair in ((anchor, test), (test, anchor)):
        found = over_seeds(*pair, "psnr", "pchip")
        assert found is not None
        assert set(found.values) == whole


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ((0, 31.5, 63), (0, 16, 63), "qualities 0, 31.5, 63 and 0, 16, 63"),
        ((0, 63), (10, 63), "qualities 0, 63 and 10, 63"),
        ((0, 63), None, "qualities 0, 63 and none"),
        ((0, 63), (0, 63), None),
    ],
)
def test_points_of_other_qualities_have_no_mean(
    tmp_path: Path, ours: tuple[float, ...], theirs: tuple[float, ...] | None, said: str | None
) -> None:
    for seed, qualities in enumerate((ours, theirs)):
        points = {"bpp": [0.1 * (i + 1) for i in range(len(ours))], "psnr": [30.0 + i for i in range(len(ours))]}
        rates = {} if qualities is None else {"rate": list(qualities)}
        evaluate(write_run(tmp_path / f"{seed}000", seed=seed), points | rates)
    if said is None:
        assert len(load_curve(tmp_path)) == len(ours)
        return
    with pytest.raises(AnalysisError, match=f"of two seeds, have no mean: other-qualities: .*{said}"):
        load_curve(tmp_path)
