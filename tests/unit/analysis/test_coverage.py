"""Every interval says what it covers."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from recorded_study import EFFECT, IMAGES, write_study

import analysis.__main__
from analysis.ablation import ablation
from analysis.ablation_files import numbers
from analysis.ablation_text import grid
from analysis.image_points import points_by_image
from analysis.studies import load_study


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_study(folder)
    return folder


def measured(runs):
    return ablation(load_study("table2", runs=runs))


def row_of(found, name):
    return next(row for row in found.rows if row.name == name)


def notes(found):
    return [note for note in grid(found).notes if note.startswith("intervals")]


def edit_images(runs, change, only="*"):
    """change: of the lines of an images.csv without its header."""
    for file in runs.glob(f"{only}/eval/images.csv"):
        header, *lines = file.read_text().splitlines()
        file.write_text("\n".join([header, *change(lines), ""]))


def test_a_study_with_enough_images_covers_seeds_and_images(recorded):
    found = measured(recorded)
    assert notes(found) == [
        "intervals of speed-ups cover seeds alone, not images: a run has one val/rd_loss of all that validate",
        "intervals of BD-rate and R + lmbda D cover seeds and 8 images, crossed",
    ]
    table = numbers(found).set_index("variant")
    assert set(table.loc[["naive again", "intra"], "bd_rate_percent_covers"]) == {"seeds and 8 images"}
    assert table["rd_change_percent_covers"].isna()["naive"]


def test_the_mean_hangs_on_the_images_as_before_and_the_interval_is_wider(recorded):
    found = row_of(measured(recorded), "intra").bd_rate
    alone = type(found)(found.values, found.again)
    assert found.mean == alone.mean
    assert found.interval.low < alone.interval.low < alone.interval.high < found.interval.high
    assert (found.covers, alone.covers) == ("seeds and 8 images", "seeds")


@pytest.mark.parametrize(
    ("change", "only", "why"),
    [
        (lambda lines: lines[:3], "*", "3 images are too few to tell how they differ"),
        (lambda lines: lines[:-1], "0?0002*", "the seeds were not evaluated on the same images"),
        (
            lambda lines: [lines[0].replace("a,", "other,"), *lines[1:]],
            "0?0001*",
            "the seeds were not evaluated on the same images",
        ),
    ],
)
def test_where_images_cannot_be_crossed_the_interval_covers_seeds_and_says_why(tmp_path, change, only, why):
    write_study(tmp_path)
    edit_images(tmp_path, change, only)
    found = measured(tmp_path)
    row = row_of(found, "intra")
    assert row.bd_rate.covers == row.rd_change.covers == "seeds"
    assert why in row.bd_rate.why
    (said,) = (note for note in notes(found) if "intra-scale" in note or "BD-rate and R + lmbda D cover seeds" in note)
    assert why in said
    assert "cover seeds alone, not images" in said


@pytest.mark.parametrize(
    ("change", "only"),
    [
        (lambda lines: lines[:-1], "01*"),
        (lambda lines: [lines[0].replace("a,", "other,"), *lines[1:]], "0100020000000001"),
        (lambda lines: [lines[0].replace("64,64", "32,64"), *lines[1:]], "0100020000000001"),
        (lambda lines: [lines[0].replace("a,", "other,"), *lines[1:]], "0000020000000001"),
    ],
)
def test_arms_that_were_evaluated_on_different_images_have_no_number_and_no_verdict(tmp_path, change, only):
    write_study(tmp_path)
    edit_images(tmp_path, change, only)
    found = measured(tmp_path)
    row = row_of(found, "intra")
    assert row.bd_rate is row.rd_change is None
    assert "bd_rate" not in found.verdicts.get("intra", {})
    said = "intra-scale: no BD-rate at seed [02]: its runs were not all evaluated on the same images"
    assert re.search(said, " ".join(grid(found).notes))


def record_pixels(runs):
    for file in runs.glob("*/eval/images.csv"):
        header, *lines = file.read_text().splitlines()
        file.write_text("\n".join([f"{header},pixels", *(f"{line},pixels of {line[0]}" for line in lines), ""]))


@pytest.mark.parametrize("only", ["01*", "0?0001*", "0100020000000001"])
def test_images_that_differ_in_name_alone_are_the_same(tmp_path, only):
    """Which image of one run is which of another is told by the pixels, also where their names have another order."""
    for place in ("as they were", "renamed"):
        write_study(tmp_path / place)
        record_pixels(tmp_path / place)
    last_first = str.maketrans("abcdefgh", "hgfedcba")
    edit_images(tmp_path / "renamed", lambda lines: [line[0].translate(last_first) + line[1:] for line in lines], only)
    expected, found = (measured(tmp_path / place) for place in ("as they were", "renamed"))
    assert notes(found) == notes(expected)
    assert row_of(found, "intra").bd_rate.covers == "seeds and 8 images"
    pd.testing.assert_frame_equal(numbers(found), numbers(expected), rtol=1e-12)


def test_runs_not_known_by_image_have_a_number_over_seeds(recorded):
    study = load_study("table2", runs=recorded)
    vars(study)["by_image"] = {}
    row = row_of(ablation(study), "intra")
    assert row.bd_rate.values == row_of(measured(recorded), "intra").bd_rate.values
    assert row.bd_rate.why == "not every run has the images that it was evaluated on, each at every rate"


def edit_configs(runs, old, new, only):
    for file in runs.glob(f"{only}/config.yaml"):
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


def fewer(runs, validate):
    """The row's runs were evaluated on one image less; validate: whether all of them validate too."""
    edit_images(runs, lambda lines: [f"{line.removesuffix('False')}{validate}" for line in lines])
    edit_images(runs, lambda lines: lines[:-1], "01*")


@pytest.mark.parametrize(
    ("differ", "measurable"),
    [
        (lambda runs: edit_configs(runs, "photos/val", "photos/other", "01*"), False),
        (lambda runs: edit_configs(runs, "val_limit: null", "val_limit: 3", "01*"), False),
        (lambda runs: fewer(runs, validate=True), False),
        (lambda runs: fewer(runs, validate=False), True),
        (lambda runs: edit_configs(runs, "photos/train", "photos/more", "01*"), True),
    ],
)
def test_runs_that_validate_on_different_images_have_no_speed_up(tmp_path, differ, measurable):
    write_study(tmp_path)
    differ(tmp_path)
    found = measured(tmp_path)
    row = row_of(found, "intra")
    assert (row.speed is not None) is (row.at_end is not None) is measurable
    assert ("speed_up" in found.verdicts.get("intra", {})) is measurable
    assert ("intra-scale: no speed-up: the runs have different validation" in " ".join(grid(found).notes)) is (
        not measurable
    )


def test_rows_that_differ_in_it_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(EFFECT, "naive_1e4", (0.8, 1.0))
    monkeypatch.setitem(EFFECT, "inter_1e4", (0.9, 0.99))
    write_study(tmp_path)
    edit_images(tmp_path, lambda lines: lines[:-1], "0[23]*")
    said = notes(measured(tmp_path))
    whole, few = "A/A: naive, other seeds, intra-scale", "inter-scale, Eq. 6, learning rate 1e-4"
    assert any(re.search(rf"BD-rate of {whole}; .* cover seeds and 8 images, crossed", note) for note in said)
    assert any(re.search(rf"BD-rate of {few}; .* cover seeds alone, not images: 7 images are", note) for note in said)


def test_points_by_image_have_the_means_that_the_table_has(recorded):
    study = load_study("table2", runs=recorded)
    found = points_by_image(study.runs, study.points)
    assert set(found) == set(study.points)
    for name, (images, points) in found.items():
        assert [image for image, *_ in images] == list(IMAGES)
        assert np.allclose(points.mean(0).T, study.points[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["ablation", "table2"], "cover seeds alone, not images"),
        (["ablation", "table2"], "cover seeds and 8 images, crossed"),
        (
            ["speedup", "--baseline", "{naive}", "--test", "{intra}"],
            "95 % by Student t over seeds alone, not over images",
        ),
    ],
)
def test_every_command_says_so(recorded, tmp_path, monkeypatch, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    arms = {
        name: ",".join(f"{number:02d}000{seed}0000000000" for seed in range(3))
        for number, name in enumerate(("naive", "intra"))
    }
    assert analysis.__main__.main([word.format(**arms) for word in command] + ["--runs", str(recorded)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("images", "said"), [(8, True), (7, False)])
def test_a_bd_rate_between_trainings_is_sure_over_images_alone(tmp_path, capsys, images, said):
    write_study(tmp_path)
    edit_images(tmp_path, lambda lines: lines[:images])
    for file in tmp_path.glob("*/eval/images.csv"):
        bpp, psnr = np.genfromtxt(file, delimiter=",", skip_header=1, usecols=(3, 4)).mean(0)
        file.with_name("rd_point.json").write_text(json.dumps({"results": {"bpp": [bpp], "psnr": [psnr]}}))
    naive, intra = (
        ",".join(str(tmp_path / f"{arm}00000000000{rate:03d}") for rate in range(4)) for arm in ("00", "01")
    )
    assert analysis.__main__.main(["bdrate", naive, intra]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert ("at 95 % over 8 images alone (BCa bootstrap), not over seeds" in output) == said
    if said:
        low, high = map(float, re.search(r"BD-rate \[(.*?), (.*?)\] at 95 %", output).groups())
        assert -4 < low < high < -2


def test_published_curves_have_no_interval(capsys):
    assert analysis.__main__.main(["bdrate", "kodak/vtm_18.0", "kodak/lalic"]) == 0
    assert "at 95 %" not in capsys.readouterr().out
