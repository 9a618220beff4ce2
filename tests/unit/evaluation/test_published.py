"""Published points as plain data, for `verify` and for analysis."""

import pytest
from checkout import ROOT
from commands import HEAVY, finish, start

from lic_exp.evaluation.published import FOLDER, Points, PointsError, names, names_of, published, read_points


def test_published_points_are_read_by_name():
    points = published("kodak/hpcm_base")
    assert points.name == "kodak/hpcm_base"
    assert points.about["dataset"] == "kodak"
    assert len(points) == len(points.results["psnr"]) == 6
    assert set(names_of("kodak")) == {name for name in names() if name.startswith("kodak/")}
    assert FOLDER == ROOT / "analysis/anchors"
    with pytest.raises(PointsError, match="no data set 'kodac': published are kodak, clic_pro_valid"):
        names_of("kodac")


def test_a_file_that_holds_no_points_is_named(tmp_path):
    path = tmp_path / "mine.json"
    for content, message in (
        ("{", "is not JSON"),
        ("[]", 'has no "results" with a list "bpp"'),
        ('{"bpp": [1], "psnr": [1, 2]}', "lists of different lengths: bpp 1, psnr 2"),
        ('{"bpp": ["x"]}', "bpp has an entry that is no number"),
        ('{"bpp": [1], "ms-ssim": [12]}', "decibels belong under"),
    ):
        path.write_text(content)
        with pytest.raises(PointsError, match=f"mine.json.*{message}"):
            read_points(path)
    path.write_text('{"bpp": [0.5], "psnr-rgb": ["inf"], "images": [["a"]]}')
    assert read_points(path) == Points("mine", {"bpp": (0.5,), "psnr": (float("inf"),)})


def test_reading_them_needs_no_numbers_library(tmp_path):
    heavy = (*HEAVY, "numpy", "analysis")
    code = "import sys; from lic_exp.evaluation.published import names, published; published(names()[0]); "
    done = finish(start("-c", f"{code}print([name for name in {heavy!r} if name in sys.modules])", folder=tmp_path))
    assert done.stdout == "[]\n", done.stderr
