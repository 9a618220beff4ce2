"""Every interval says what it covers."""

import json
import re

import numpy as np
import pytest
from recorded_study import IMAGES, write_study

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
        (lambda lines: lines[:-1], "01*", "the runs were not evaluated on the same images"),
        (lambda lines: [lines[0].replace("a,", "other,"), *lines[1:]], "0100020000000001", "not evaluated on the same"),
        (
            lambda lines: [lines[0].replace("64,64", "32,64"), *lines[1:]],
            "0100020000000001",
            "not evaluated on the same",
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


def test_rows_that_differ_in_it_are_named(tmp_path):
    write_study(tmp_path)
    edit_images(tmp_path, lambda lines: lines[:-1], "01*")
    said = notes(measured(tmp_path))
    assert any(
        re.search(r"BD-rate of A/A: naive, other seeds.* cover seeds and 8 images, crossed", note) for note in said
    )
    assert any(re.search(r"BD-rate of intra-scale; .* cover seeds alone, not images: the runs", note) for note in said)


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
