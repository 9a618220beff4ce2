"""Published points as plain data, for `verify` and for analysis."""

import pytest
from checkout import ROOT
from commands import HEAVY, finish, start

from analysis.__main__ import main
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


def written(folder, text):
    path = folder / "mine.json"
    path.write_text(text)
    return path


SPELLED = [("bpp", "bit-rate"), ("psnr", "psnr-rgb"), ("ms_ssim", "MS-SSIM-RGB"), ("ms-ssim-db", "ms_ssim_db")]


@pytest.mark.parametrize("pair", [*SPELLED, ("psnr", "psnr")])
def test_two_spellings_of_one_measure_are_one_list_or_an_error(tmp_path, pair):
    """Of a key that stands twice, readers of JSON say the last."""
    rest = "".join(f', "{key}": [0.5, 0.75]' for key in ("bpp", "psnr") if pair[0] != key)
    one, other = pair
    for numbers, said in (("[0.5, 0.25]", "with other numbers|with other values"), ("[0.25, 0.5]", None)):
        path = written(tmp_path, f'{{"results": {{"{one}": [0.25, 0.5], "{other}": {numbers}{rest}}}}}')
        if said:
            with pytest.raises(PointsError, match=f"mine.json: .*{one}.*{said}: leave one out"):
                read_points(path)
        else:
            assert len(read_points(path).results) == 2 + (one not in ("bpp", "psnr"))


def test_ms_ssim_and_its_decibels_are_two_measures(tmp_path):
    path = written(tmp_path, '{"bpp": [1, 2], "ms-ssim": [0.9, 0.99], "ms-ssim-db": [10, 20]}')
    assert set(read_points(path).results) == {"bpp", "ms-ssim", "ms-ssim-db"}


@pytest.mark.parametrize("other", ['["a", "b"]', "[true, 1]", "[1, 2, 3]", "[]", "[[1], [2]]", f"[{'9' * 400}, 1]"])
def test_a_list_that_is_no_measure_refuses_no_curve(tmp_path, other):
    path = written(tmp_path, f'{{"bpp": [1, 2], "psnr": [30, 31], "weights": {other}, "encoding_time": [3, 4]}}')
    assert read_points(path).results == {"bpp": (1, 2), "psnr": (30, 31), "encoding_time": (3, 4)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{{"bpp": [{"9" * 400}], "psnr": [1]}}', "bpp has an entry of more than 300 digits"),
        (f'{{"bpp": [{"9" * 5000}], "psnr": [1]}}', "is not JSON: Exceeds the limit"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        (f'{{"bpp": [{", ".join(["0.5"] * 10_001)}]}}', "has 10001 points; a curve has one per rate"),
        ('{"bpp": [], "psnr": []}', "has no points"),
        ('{"bpp": [1], "psnr": [true]}', "psnr has an entry that is no number: it is true"),
        ("null", 'has no "results" with a list "bpp"'),
    ],
    ids=["400 digits", "5000 digits", "nesting", "many points", "no points", "a truth", "nothing"],
)
def test_what_is_no_curve_is_said_in_words(tmp_path, text, said, capsys):
    path = written(tmp_path, text)
    assert main(["rd", str(path)]) == 2
    assert f"{path}" in (told := capsys.readouterr().err)
    assert said in told
    assert "Traceback" not in told


def test_a_folder_in_the_place_of_a_file_is_said_in_words(tmp_path):
    with pytest.raises(PointsError, match="cannot be read"):
        read_points(tmp_path)


def test_reading_them_needs_no_numbers_library(tmp_path):
    heavy = (*HEAVY, "numpy", "analysis")
    code = "import sys; from lic_exp.evaluation.published import names, published; published(names()[0]); "
    done = finish(start("-c", f"{code}print([name for name in {heavy!r} if name in sys.modules])", folder=tmp_path))
    assert done.stdout == "[]\n", done.stderr
