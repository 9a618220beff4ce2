"""Published curves, users' results files, and what is written of them."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.__main__ import main
from analysis.curve_files import join, write_curves
from analysis.errors import AnalysisError
from analysis.plots import rd_plot
from lic_exp.evaluation.published import DATA_SETS, FOLDER

POINTS = {"bpp": [0.1, 0.3, 0.6, 0.9], "psnr": [28.0, 31.0, 34.0, 36.0], "ms-ssim": [0.9, 0.95, 0.98, 0.99]}


def results_file(folder: Path, file: str = "mine.json", **changes) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "mine", "description": "of a test", "results": POINTS} | changes))
    return path


@pytest.mark.parametrize("name", analysis.anchors())
def test_a_published_curve_is_whole_and_says_where_it_is_from(name: str) -> None:
    curve = analysis.load_curve(name)
    dataset, codec = name.split("/")
    content = json.loads((FOLDER / f"{name}.json").read_text())

    assert content["name"] == codec
    assert curve.name == name
    assert curve.about["dataset"] == dataset
    assert curve.about["optimized_for"] in ("mse", "ms-ssim")
    source = curve.about["source"]
    assert source["repo"].startswith("https://github.com/")
    assert source["file"]
    assert source["kind"] == "issue thread" or re.fullmatch("[0-9a-f]{40}", source["commit"])
    assert set(curve.about["conventions"]) >= (set(curve.results) - {"bpp"}) | {"averaging"}
    assert curve.metrics
    for metric in curve.metrics:
        assert (np.diff(curve.quality(metric)) > 0).all()
    assert (np.diff(curve.bpp) > 0).all()


def test_the_listing_counts() -> None:
    counts = {dataset: len(analysis.anchors(dataset)) for dataset in DATA_SETS}

    assert counts == {"kodak": 49, "clic_pro_valid": 28, "tecnick": 20, "clic2022_test": 3}
    assert len(analysis.anchors()) == 100
    with pytest.raises(AnalysisError, match="no data set 'kodac': published are kodak"):
        analysis.anchors("kodac")


@pytest.mark.parametrize(
    ("name", "against_hpcm_large"),
    [
        ("kodak/glic", 0.51),
        ("clic_pro_valid/glic", 0.34),
        ("tecnick/glic", -0.86),
        ("kodak/cmic", 2.14),
        ("clic_pro_valid/cmic", 0.17),
        ("tecnick/cmic", -2.38),
    ],
)
def test_the_latest_curves_give_the_bd_rates_that_their_points_were_taken_with(
    name: str, against_hpcm_large: float
) -> None:
    dataset, _ = name.split("/")
    anchor, test = analysis.load_curve(f"{dataset}/hpcm_large"), analysis.load_curve(name)

    found = analysis.bd_rate(anchor.bpp, anchor.quality(), test.bpp, test.quality())

    assert float(found) == pytest.approx(against_hpcm_large, abs=0.006)


def test_a_users_results_file(tmp_path: Path) -> None:
    curve = analysis.load_curve(results_file(tmp_path))

    assert (curve.name, curve.description, len(curve)) == ("mine", "of a test", 4)
    assert curve.quality("ms-ssim-db") == pytest.approx([10, 13.0103, 16.9897, 20], abs=1e-4)
    assert analysis.load_curve(str(tmp_path / "mine.json")).bpp == pytest.approx(POINTS["bpp"])


def test_other_keys_for_the_same_lists(tmp_path: Path) -> None:
    newer = {"bpp": [0.1, 0.2], "psnr-rgb": [30.0, 31.0], "ms-ssim-rgb": [0.9, 0.91]}
    flat = tmp_path / "flat.json"
    flat.write_text(json.dumps({"codec": "x", "bpp": [0.1, 0.2], "psnr_rgb_db": [30, 31], "lists": [[1], [2]]}))

    assert set(analysis.load_curve(results_file(tmp_path, results=newer)).results) == {"bpp", "psnr", "ms-ssim"}
    assert analysis.load_curve(flat).quality("psnr") == pytest.approx([30, 31])


def test_runs_and_folders_of_runs(tmp_path: Path) -> None:
    for i in (2, 0, 3, 1):
        point = {key: [values[i]] for key, values in POINTS.items()}
        if i == 3:
            del point["ms-ssim"]
        results_file(tmp_path, f"sweep/run{i}/eval/rd_point.json", results=point)

    one = analysis.load_curve(tmp_path / "sweep/run2")
    sweep = analysis.load_curve(tmp_path / "sweep")
    some = analysis.load_curve(f"{tmp_path}/sweep/run1,{tmp_path}/sweep/run0")

    assert (one.name, list(one.bpp)) == ("run2", [0.6])
    assert sweep.name == "sweep"
    assert list(sweep.bpp) == POINTS["bpp"]
    assert list(sweep.quality()) == POINTS["psnr"]
    assert sweep.metrics == ["psnr"]
    assert list(some.bpp) == [0.1, 0.3]
    assert list(analysis.load_curve([tmp_path / "sweep/run0", tmp_path / "sweep/run1"]).bpp) == [0.1, 0.3]


def test_what_json_cannot_say(tmp_path: Path) -> None:
    lists = {"bpp": [0.1, 9.0], "psnr": [30.0, "inf"], "encoding_time": [None, 1.0]}
    curve = analysis.load_curve(results_file(tmp_path, results=lists))

    assert curve.quality()[1] == np.inf
    assert np.isnan(curve.results["encoding_time"][0])
    assert curve.to_compressai()["results"] == lists


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kodak/vtm_compresai", "did you mean kodak/vtm_compressai"),
        ("vtm_18.0", "did you mean clic2022_test/vtm_18.0, kodak/vtm_18.0, tecnick/vtm_18.0"),
        ("nothing/of_the_kind_at_all", "--list"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        analysis.load_curve(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": {"psnr": [30]}}, 'no "results" with a list "bpp"'),
        ({"results": POINTS | {"psnr": [28.0]}}, "lists of different lengths: bpp 4, psnr 1"),
        ({"results": POINTS | {"ms-ssim": [10, 11, 12, 13]}}, 'decibels belong under "ms-ssim-db"'),
        ({"results": POINTS | {"psnr": [28.0, "x", 30, 31]}}, "psnr has an entry that is no number"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(AnalysisError, match=f"mine.json.*{message}"):
        analysis.load_curve(results_file(tmp_path, **changes))


def test_a_file_that_is_not_json_and_a_folder_without_runs(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("bpp: 1")

    with pytest.raises(AnalysisError, match=r"x\.json is not JSON"):
        analysis.load_curve(tmp_path / "x.json")
    with pytest.raises(AnalysisError, match="neither an evaluated run"):
        analysis.load_curve(tmp_path)


def test_a_missing_quality_is_named_with_those_there_are() -> None:
    curve = analysis.load_curve("kodak/hpcm_large_msssim")

    with pytest.raises(AnalysisError, match="kodak/hpcm_large_msssim has no psnr; it has ms-ssim-db"):
        curve.quality("psnr")
    with pytest.raises(AnalysisError, match="no metric 'vmaf'"):
        curve.quality("vmaf")


def test_export_comes_back_as_it_was(tmp_path: Path) -> None:
    published = analysis.load_curve("kodak/vtm_compressai")
    write_curves(tmp_path / "one.json", [published])
    write_curves(tmp_path / "many", [published, analysis.load_curve("kodak/lalic")])

    again = analysis.load_curve(tmp_path / "one.json")
    assert again == published
    assert analysis.load_curve(tmp_path / "many" / "kodak_vtm_compressai.json") == published
    assert {path.name for path in (tmp_path / "many").iterdir()} == {"kodak_vtm_compressai.json", "kodak_lalic.json"}
    with pytest.raises(AnalysisError, match="one per file"):
        write_curves(tmp_path / "two.json", [published, published])


def test_csv_has_one_row_per_point(tmp_path: Path) -> None:
    curves = [analysis.load_curve(name) for name in ("kodak/vtm_compressai", "kodak/lalic")]
    write_curves(tmp_path / "new" / "curves.csv", curves)

    with open(tmp_path / "new" / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert float(rows[1]["ms-ssim-db"]) == curves[0].quality("ms-ssim-db")[1]
    assert rows[8]["curve"] == "kodak/lalic"
    assert rows[8]["ms-ssim"] == ""
    assert "sjtu-medialab/RwkvCompress results/kodak-lalic.json d2808464" in rows[8]["source"]


def test_nothing_joined_is_an_error() -> None:
    with pytest.raises(AnalysisError, match="no curve to join"):
        join([])


def test_a_name_with_dollar_signs_and_a_source_in_words_are_taken_as_they_are(tmp_path: Path) -> None:
    path = results_file(tmp_path, "own.json", name="a$b_$ _{", source="me", results={"bpp": [1, 2], "psnr": [30, 31]})
    curve = analysis.load_curve(path)
    rd_plot(tmp_path / "plot.svg", [curve])
    write_curves(tmp_path / "table.csv", [curve])
    assert (tmp_path / "plot.svg").stat().st_size > 0
    assert "a$b_$ _{" in (tmp_path / "table.csv").read_text()


@pytest.mark.parametrize("names", [("mine", "mine", "mine"), ("a/b", "a_b", "a b"), ("One", "one", "ONE")])
def test_curves_whose_names_are_taken_get_files_of_their_own(tmp_path: Path, names: tuple[str, ...], capsys) -> None:
    lists = [{"bpp": [0.1 + i, 0.2 + i], "psnr": [30 + i, 31 + i]} for i in range(len(names))]
    files = [
        results_file(tmp_path, f"{i}.json", name=name, results=points)
        for i, (name, points) in enumerate(zip(names, lists, strict=True))
    ]

    assert main(["rd", *map(str, files), "--out", str(tmp_path / "out")]) == 0

    written = [analysis.load_curve(path) for path in (tmp_path / "out").iterdir()]
    assert len({path.name.casefold() for path in (tmp_path / "out").iterdir()}) == len(names)
    assert sorted(curve.results["bpp"] for curve in written) == [tuple(points["bpp"]) for points in lists]
    assert len({curve.name for curve in written}) == len(names)
    said = capsys.readouterr().err
    assert ("a curve called mine is there already; this one is mine (3)" in said) == (len(set(names)) == 1)
    assert main(["rd", *map(str, files), "--out", str(tmp_path / "all.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert len({row["curve"] for row in rows}) == len(names)
    assert main(["bdrate", str(files[0]), *map(str, files), "--out", str(tmp_path / "bd.json")]) in (0, 2)
    assert len({row["test"] for row in json.loads((tmp_path / "bd.json").read_text())}) == len(names)
