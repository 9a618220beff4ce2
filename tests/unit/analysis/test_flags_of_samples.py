"""Of many BD-rates at once each has the flags that it has alone, and seeds measured at once come to the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_study import write_study

import analysis
from analysis import quality
from analysis.ablation import ablation
from analysis.studies import load_study


def samples(points: int, wide: float) -> list[np.ndarray]:
    """Rates and qualities of anchor and test, (60, points) each: some of little overlap, some unordered, some equal."""
    random = np.random.default_rng(points)
    rate = np.sort(random.uniform(0.1, 2.0, (60, points)))
    psnr = 30 + wide * np.log2(rate) + np.sort(random.normal(0, 0.2, (60, points)))
    other = rate * random.uniform(0.5, 2.0, (60, 1))
    found = [rate, psnr, other, psnr + random.normal(0, 0.05, (60, 1))]
    found[2][:5], found[3][:5] = rate[:5], psnr[:5]
    found[2][5:9], found[3][5:9] = found[2][5:9, ::-1], found[3][5:9, ::-1]
    return found


@pytest.mark.parametrize("function", [analysis.bd_rate, analysis.bd_quality])
@pytest.mark.parametrize(("points", "wide"), [(2, 3.0), (3, 1.0), (4, 6.0), (6, 0.3)])
def test_each_sample_has_the_flags_that_it_has_alone(function: Any, points: int, wide: float) -> None:
    given = samples(points, wide)
    many = function(*given, invalid="nan")
    valid = [place for place in range(60) if np.isfinite(many[place])]
    assert valid
    kinds = set()
    for place in valid:
        alone = function(*(values[place] for values in given))
        assert many.flags_of(place) == alone.flags
        kinds |= {flag.split(":")[0] for flag in alone.flags}
    assert {"same-curve", "unordered"} <= kinds


@pytest.mark.parametrize("leading", [(12,), (3, 4), (1, 12)])
def test_flags_of_one_anchor_beside_many_curves(leading: tuple[int, ...]) -> None:
    rate, psnr, *test = samples(4, 6.0)
    anchor = (rate[40, [2, 0, 1, 3]], psnr[40, [2, 0, 1, 3]])
    many = analysis.bd_rate(*anchor, *(values[12:24].reshape(*leading, 4) for values in test), invalid="nan")
    for place in np.argwhere(np.isfinite(many.values)):
        one = analysis.bd_rate(*anchor, *(values[12:24].reshape(*leading, 4)[tuple(place)] for values in test))
        assert many.flags_of(*place) == one.flags


def test_seeds_at_once_come_to_what_they_come_to_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path)
    study = load_study("table2", runs=tmp_path)
    once = ablation(study)
    monkeypatch.setattr(quality, "_stacked", lambda *_: None)
    apart = ablation(study)
    assert [row.notes for row in once.rows] == [row.notes for row in apart.rows]
    for ours, theirs in zip(once.rows, apart.rows, strict=True):
        for name in ("bd_rate", "rd_change"):
            mine, others = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (others is None)
            if mine is not None:
                assert mine.values == pytest.approx(others.values, rel=1e-11)
                assert mine.part.variance == pytest.approx(others.part.variance, rel=1e-9)
                assert mine.interval == pytest.approx(others.interval, rel=1e-9)
