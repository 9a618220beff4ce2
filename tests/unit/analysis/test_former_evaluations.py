"""Evaluations of former versions, which did not record the pixels of their images: drawn, and what is unknown said."""

from pathlib import Path

import pytest
from made_sweeps import LMBDAS, PHOTOS, evaluate, point
from run_folders import write_run

from analysis.curves import load_curves
from analysis.errors import AnalysisError
from lic_exp.image_identity import Pictured

OTHERS = (Pictured("zebra.png", 64, 96, "cccc"), Pictured("yak.png", 64, 96, "dddd"))


def former(runs: Path, *, seeds: int = 1, others: int | None = None, images: tuple[Pictured, ...] = OTHERS) -> None:
    """Two rates of some seeds. others: the number of the run that was evaluated on other photos of equal size."""
    for number, (lmbda, seed) in enumerate((lmbda, seed) for lmbda in LMBDAS[:2] for seed in range(seeds)):
        run = write_run(runs / f"{number}000", criterion__lmbda=lmbda, seed=seed)
        evaluate(run, point(lmbda), images=None)
        if number == others:
            table = (run / "eval/images.csv").read_text()
            for mine, other in zip(PHOTOS, images, strict=True):
                table = table.replace(
                    f"{mine.name},{mine.height},{mine.width}", f"{other.name},{other.height},{other.width}"
                )
            (run / "eval/images.csv").write_text(table)


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("others", [None, 1])
def test_former_evaluations_are_one_curve_and_once_a_note(tmp_path: Path, seeds: int, others: int | None) -> None:
    former(tmp_path, seeds=seeds, others=others)
    (curve,) = load_curves(tmp_path)
    assert len(curve) == 2
    assert [note.split(":")[0] for note in curve.notes] == ["unknown-images"]
    assert ("names" in curve.about["images"]) == (others is None)


@pytest.mark.parametrize("seeds", [1, 2])
def test_former_evaluations_of_other_sizes_are_no_curve(tmp_path: Path, seeds: int) -> None:
    former(tmp_path, seeds=seeds, others=1, images=(Pictured("a.png", 64, 64, ""), Pictured("b.png", 64, 64, "")))
    with pytest.raises(AnalysisError, match="other-data-set"):
        load_curves(tmp_path)
