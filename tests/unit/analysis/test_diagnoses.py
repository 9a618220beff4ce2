"""Diagnoses kept with runs: what they say of scales over training, as words, files and figures."""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import write_run
from PIL import Image
from scale_toys import Banded, Copying, photos

import analysis
from analysis import diagnoses
from analysis.__main__ import main
from analysis.diagnoses import below_from, course_of, made_course, settled_from
from analysis.errors import AnalysisError
from analysis.spectral_plots import TITLES, figures_of_diagnosis
from analysis.spectral_text import COLUMNS, answers, scale_rows
from lic_exp.config.loading import load_config
from lic_exp.evaluation.diagnosis import diagnose
from lic_exp.evaluation.diagnosis_files import file_after
from lic_exp.evaluation.rates import Rate

SHARED = 0.5
"""Of the toy below, how much its second scale repeats of what its first has."""


class Repeating(Banded):
    """The second of two scales has a part of the first one's bands once more, the other way round."""

    def __init__(self, shared: float) -> None:
        super().__init__((0, 0.25, 1))
        self.shared = shared

    def seen(self, x):
        coarse, fine = super().seen(x)
        return [coarse, fine - self.shared * coarse]


class Rated(Repeating):
    """The same with a quality, which does nothing."""

    def forward(self, x, quality=None):
        return super().forward(x)

    def partial(self, x, quality=None, *, scales):
        return super().partial(x, scales=scales)


def kept(folder, codecs, images=None, rates=None):
    """A run folder with a diagnosis of each {step: codec}, None being the best weights."""
    run = write_run(folder, load_config(["tracker=none"]))
    (run / "diagnosis").mkdir()
    for step, codec in codecs.items():
        found = diagnose(codec, images or photos(2, 32, 48), rates, torch.device("cpu"), step=step)
        found.write(run / "diagnosis" / ("best.npz" if step is None else file_after(step)))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs: the scales of `apart` get apart at step 20, those of `alike` never do."""
    folder = tmp_path_factory.mktemp("runs")
    shares = {10: SHARED, 20: 0.1, 30: 0.0}
    kept(folder / "a" / ("a" * 16), {step: Repeating(share) for step, share in shares.items()})
    kept(folder / "a" / ("b" * 16), {step: Repeating(SHARED) for step in shares})
    return folder / "a"


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ({1: 5.0, 2: 1.05, 3: 0.95, 4: 1.0}, 2),
        ({1: 1.0, 2: 5.0, 3: 1.0}, 3),
        ({1: 1.0}, 1),
        ({1: 1.0, 2: float("nan")}, None),
        ({1: float("nan"), 2: 1.0}, 2),
    ],
)
def test_a_number_has_settled_where_it_stays(values, since):
    assert settled_from(values) == since


@pytest.mark.parametrize(
    ("values", "others", "since"),
    [
        ({1: 3, 2: 1, 3: 1}, {1: 2, 2: 2, 3: 2}, 2),
        ({1: 1, 2: 3, 3: 1}, {1: 2, 2: 2, 3: 2}, 3),
        ({1: 1, 3: 1}, {1: 2, 2: 0, 3: 2, 4: 0}, 1),
        ({1: 2}, {1: 2}, None),
        ({1: 1}, {2: 2}, None),
    ],
)
def test_since_when_one_is_below_the_other_for_good(values, others, since):
    assert below_from(values, others) == since


def test_scales_that_get_apart_are_told_from_those_that_do_not(runs):
    apart, alike = (course_of(runs / (name * 16), label) for name, label in (("a", "apart"), ("b", "alike")))
    assert [one.step for one in apart.along] == [10, 20, 30]
    commons = [one.in_common for one in apart.along]
    assert commons == sorted(commons, reverse=True)
    assert commons[-1] == pytest.approx(0, abs=1e-4)
    said = answers([alike, apart])
    assert any(
        line.startswith("apart: its scales have less in common than those of alike from step 20") for line in said
    )
    assert any(line.startswith("alike: its scales have no less in common than") for line in answers([apart, alike]))
    assert any(line.startswith("apart: two scales have 0.000 in common on average") for line in said)


def test_the_table_has_what_each_scale_brings(runs):
    course = course_of(runs / ("a" * 16), "apart")
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in scale_rows(course)]
    assert [row["scale"] for row in rows] == ["0", "1", "2"]
    assert [rows[0][name] for name in ("bpp", "centre", "like it", "in common", "foretold")] == ["0.0000", *[""] * 4]
    assert float(rows[1]["of the image"]) + float(rows[2]["of the image"]) == pytest.approx(1, abs=2e-3)
    assert float(rows[1]["centre"]) < 0.25 < float(rows[2]["centre"])
    assert rows[2]["in common"] == "0.000"
    assert float(rows[1]["PSNR so far dB"]) < float(rows[2]["PSNR so far dB"])


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_command_writes_words_figures_and_numbers(runs, tmp_path, capfd):
    assert main(["spectra", str(runs / ("b" * 16)), str(runs / ("a" * 16))]) == 0
    said = capfd.readouterr().out
    assert f"{'a' * 16}: its scales have less in common than those of {'b' * 16} from step 20 on" in said
    assert f"{'a' * 16}: after step 30, 2 images" in said
    out = tmp_path / "out"
    assert main(["spectra", "a" * 16, "--runs", str(runs), "--out", str(out)]) == 0
    assert f"written: {out}" in capfd.readouterr().out
    names = [f"{name}{suffix}" for name in TITLES for suffix in (".png", ".svg")]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "bands.csv", "pairs.csv", "scales.csv"])
    for path in out.glob("*.png"):
        assert np.ptp(np.asarray(Image.open(path).convert("L"))) > 100
    bands = rows_of(out / "bands.csv")
    first = [row for row in bands if (row["step"], row["kind"], row["from"]) == ("30", "luma", "0.5")]
    assert sum(float(row["energy"]) for row in first) == pytest.approx(1)
    assert [row["overlap"] for row in first][:2] == ["", ""]
    assert float(first[2]["overlap"]) == pytest.approx(1, abs=1e-3)
    pairs = [row for row in rows_of(out / "pairs.csv") if row["kind"] == "all" and row["scale"] == "1"]
    assert [row["step"] for row in pairs] == ["10", "20", "30"]
    cosines = [float(row["cosine"]) for row in pairs]
    assert cosines == sorted(cosines, reverse=True)
    assert 0 <= cosines[-1] < 0.01 < cosines[0] < 1
    scales = rows_of(out / "scales.csv")
    assert [row["scale"] for row in scales] == ["0", "1", "2"] * 3


def test_several_runs_have_a_folder_each_and_one_figure_together(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.spectral_plots.figures_of", lambda course: {})
    assert main(["spectra", str(runs), "--out", str(tmp_path)]) == 0
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    folders = {f"{name * 16}/{file}.csv" for name in "ab" for file in ("bands", "pairs", "scales")}
    assert there == folders | {"in_common.png", "in_common.svg"}


def test_best_weights_alone_have_figures_but_no_course(tmp_path):
    run = kept(tmp_path / ("c" * 16), {None: Copying(0.0)}, photos(3, 32, 32))
    found = figures_of_diagnosis(run, "c")
    assert list(found) == [title for name, title in TITLES.items() if name != "rates"]
    course = course_of(run, "c")
    assert course.along == ()
    (answer, *_) = answers([course])
    assert answer.startswith("c: what two scales have in common is not known; scale 2 contributes nothing")
    both = answers([course, course])
    assert both[-1].startswith("c: whether its scales have less in common than those of c is not known")


def test_one_figure_by_name(runs, tmp_path):
    figure = analysis.plot_spectra("a" * 16, "rates", runs=runs)
    assert [axes.get_ylabel() for axes in figure.axes] == ["bpp", "MSE of the decode"]
    with pytest.raises(AnalysisError, match=r"means 2: name one"):
        analysis.plot_spectra(str(runs))
    with pytest.raises(AnalysisError, match="there is no figure colours; there are shares_luma"):
        analysis.plot_spectra("a" * 16, "colours", runs=runs)
    run = kept(tmp_path / ("6" * 16), {None: Repeating(0)}, photos(1, 16, 16))
    with pytest.raises(AnalysisError, match="rates are of a training that was diagnosed as it went"):
        analysis.plot_spectra(str(run), "rates")


def test_a_run_without_any_has_no_figures(tmp_path):
    assert figures_of_diagnosis(write_run(tmp_path / ("d" * 16), load_config(["tracker=none"]))) == {}


@pytest.mark.parametrize("ends", [0, 2])
def test_a_run_without_any_is_diagnosed_first(ends, tmp_path, monkeypatch, capfd):
    run = write_run(tmp_path / ("e" * 16), load_config(["tracker=none"]))
    started = []

    def program(command, **options):
        started.append(command[1:])
        if ends == 0:
            (run / "diagnosis").mkdir()
            found = diagnose(Repeating(0), photos(1, 16, 16), None, torch.device("cpu"), step=None)
            found.write(run / "diagnosis" / "best.npz")
        return subprocess.CompletedProcess(command, ends)

    monkeypatch.setattr(diagnoses.subprocess, "run", program)
    if ends:
        with pytest.raises(AnalysisError, match="e could not be diagnosed, as is said above"):
            made_course(run, "e")
    else:
        assert made_course(run, "e").best is not None
    assert started == [["-m", "lic_exp", "diagnose", str(run)]]
    assert f"python -m lic_exp diagnose {run} makes one" in capfd.readouterr().err


def test_a_damaged_file_is_passed_over_and_said(runs, tmp_path, capfd):
    run = kept(tmp_path / ("f" * 16), {step: Repeating(0) for step in (10, 20, 30)})
    (run / "diagnosis" / file_after(20)).write_bytes(b"PK torn")
    assert [one.step for one in course_of(run, "f").along] == [10, 30]
    assert f"{file_after(20)} cannot be read" in capfd.readouterr().err


def test_unlike_diagnoses_are_flagged_or_refused(tmp_path, capfd):
    one = kept(tmp_path / ("1" * 16), {10: Repeating(0)}, photos(2, 32, 48))
    fewer = kept(tmp_path / ("2" * 16), {10: Repeating(0)}, photos(1, 32, 48))
    three = kept(tmp_path / ("3" * 16), {10: Banded((0, 0.1, 0.4, 1))}, photos(2, 32, 48))
    assert main(["spectra", str(one), str(fewer), str(three)]) == 0
    said = capfd.readouterr().err
    assert f"other-images: {'1' * 16} and {'2' * 16} are not diagnosed alike: not the same images" in said
    assert f"other-scales: {'1' * 16} and {'3' * 16} are not diagnosed alike: 2 and 3 scales" in said
    found = diagnose(Repeating(0), photos(1, 32, 48), None, torch.device("cpu"), step=20)
    found.write(one / "diagnosis" / file_after(20))
    assert main(["spectra", str(one)]) == 2
    assert "its diagnoses are not of the same images" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quality", "7"], "there is no quality 7: {run} is diagnosed at 0, 10, 20"),
        (["--images", "kodak"], "has no diagnosis on images called kodak; there is none but the run's own"),
        (["--out", "{file}/out"], "--out: the folder"),
        (["--quality", "x"], "should be a number from 0 to"),
        (["--runs", "sqlite:///mlflow.db"], "an MLflow store has no diagnoses; name the folder of runs"),
    ],
)
def test_what_there_is_not_is_refused_by_name(options, words, tmp_path, capfd):
    rates = [Rate(quality, 0.01) for quality in (0.0, 10.0, 20.0)]
    run = kept(tmp_path / ("4" * 16), {10: Rated(0)}, rates=rates)
    (tmp_path / "file").write_text("")
    given = [option.format(file=tmp_path / "file") for option in options]
    try:
        code = main(["spectra", str(run), *given])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert words.format(run="4" * 16) in capfd.readouterr().err


def test_a_quality_and_other_images_can_be_chosen(tmp_path):
    rates = [Rate(quality, 0.01) for quality in (0.0, 10.0, 20.0)]
    run = kept(tmp_path / ("5" * 16), {10: Rated(0)}, rates=rates)
    assert course_of(run, "5").quality == 10
    assert course_of(run, "5", quality=20).quality == 20
    diagnose(Rated(0), photos(1, 16, 16), rates, torch.device("cpu"), step=None).write(
        Path(run / "diagnosis" / "best_kodak-1a2b3c4d.npz")
    )
    for name in ("kodak", "kodak-1a2b3c4d"):
        assert len(course_of(run, "5", images=name).best.found.about["images"]) == 1
