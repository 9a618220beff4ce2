"""Figures by name: what stands in them, and who is left out and named."""

import numpy as np
import pytest
from figure_runs import FALLS_AT, write_trained_sweep

import analysis
from analysis.__main__ import main
from analysis.curve_files import Curve
from analysis.errors import AnalysisError, CurveError
from analysis.losses import over_seeds
from analysis.plots import rate_change, saving_figure

FELL = "spectral_reg=none, criterion.lmbda=0.025, seed=2"
POINTS = {"bpp": (0.1, 0.2, 0.4, 0.8), "psnr": (30.0, 33.0, 36.0, 39.0)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("figures") / "runs"
    write_trained_sweep(place, diverged=[FELL])
    return place


def curve_of(name, saving):
    return Curve(name, {"bpp": tuple((1 - saving) * rate for rate in POINTS["bpp"]), "psnr": POINTS["psnr"]})


def legend(figure):
    found = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    return [text.get_text().strip() for text in found.get_texts()]


def test_one_curve_per_arm_beside_what_is_published(runs):
    figure = analysis.plot_rd("grid", "kodak/vtm_18.0", runs=runs)
    assert legend(figure) == ["spectral_reg=none", "spectral_reg=intra", "kodak/vtm_18.0"]
    assert figure.axes[0].get_ylabel() == "PSNR [dB]"


@pytest.mark.parametrize("saving", [0.0, 0.1, 0.25, -0.5])
def test_a_constant_saving_is_a_level_line(saving):
    qualities, percent = rate_change(curve_of("anchor", 0), curve_of("test", saving))
    assert (qualities[0], qualities[-1]) == (30.0, 39.0)
    np.testing.assert_allclose(percent, -100 * saving, atol=1e-9)


def test_a_curve_without_a_number_is_named_and_left_out():
    far = Curve("far", {"bpp": (1.0, 2.0), "psnr": (60.0, 70.0)})
    figure, notes = saving_figure(curve_of("anchor", 0), [far, curve_of("test", 0.1)])
    assert legend(figure) == ["test"]
    assert [note.split(":")[:2] for note in notes] == [["far", " no-overlap"]]
    with pytest.raises(CurveError, match="far: no-overlap"):
        saving_figure(curve_of("anchor", 0), [far])


def test_savings_against_a_label_or_another_curve(runs):
    assert legend(analysis.plot_saving("grid", against="spectral_reg=none", runs=runs)) == ["spectral_reg=intra"]
    assert len(legend(analysis.plot_saving("grid", against="kodak/vtm_18.0", runs=runs))) == 2


@pytest.mark.parametrize("rate", [None, "criterion.lmbda=0.025", "criterion.lmbda=0.0018"])
def test_losses_over_steps_and_seconds_with_target_and_spread(rate, runs):
    figure = analysis.plot_loss("grid", rate=rate, runs=runs)
    upper, lower = figure.axes
    assert upper.get_title(loc="left") == rate or rate is None
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("step", "training [s]")
    assert {"spectral_reg=none", "spectral_reg=intra"} <= set(legend(figure))
    assert any(name.startswith("target") for name in legend(figure))
    assert len(upper.collections) == len(lower.collections) == 2  # a band of seeds around each arm
    fell = rate in (None, "criterion.lmbda=0.025")
    assert ("spectral_reg=none: fell" in legend(figure)) is fell
    assert (10 * FALLS_AT in [line.get_xdata()[-1] for line in upper.lines]) is fell


def test_of_many_arms_those_of_least_loss_are_drawn(tmp_path):
    write_trained_sweep(tmp_path, effect={f"r{i}": 0.0 for i in range(30)}, seeds=(0,), lmbdas=(0.01,))
    figure = analysis.plot_loss("grid", runs=tmp_path)
    assert len([name for name in legend(figure) if name.startswith("spectral_reg=")]) == 24
    assert "of 30 arms 24 are drawn" in figure.axes[0].get_title(loc="left")
    assert legend(figure)[0] == "spectral_reg=r0"


def test_a_mean_is_of_what_all_seeds_have_passed():
    seeds = [{"steps": np.array([1.0, 3.0]), "value": np.array(v)} for v in ([3.0, 1.0], [5.0, 3.0])]
    places, mean, low, high = over_seeds(seeds, "steps")
    assert (places.tolist(), mean.tolist()) == ([1, 3], [4, 2])
    assert (low.tolist(), high.tolist()) == ([3, 1], [5, 3])
    longer = {"steps": np.array([2.0, 9.0]), "value": np.array([4.0, 0.5])}
    assert over_seeds([seeds[0], longer], "steps")[0].tolist() == [2, 3]
    assert over_seeds([], "steps") is None


def course(last, level):
    steps = np.arange(1.0, last + 1)
    return {"steps": steps, "seconds": 2 * steps, "value": np.full(len(steps), float(level))}


@pytest.mark.parametrize("unit", ["steps", "seconds"])
@pytest.mark.parametrize(
    ("seeds", "far", "means"),
    [
        ([(1, 9), (20, 1)], 20, {1: 1, 20: 1}),
        ([(20, 1), (1, 9)], 20, {1: 1, 20: 1}),
        ([(1, 9), (20, 1), (20, 3)], 20, {1: 13 / 3, 2: 2, 20: 2}),
        ([(5, 9), (20, 1), (20, 3)], 20, {5: 13 / 3, 6: 2, 20: 2}),
        ([(5, 9), (10, 1), (20, 3)], 10, {5: 13 / 3, 10: 2}),
        ([(20, 4)], 20, {1: 4, 20: 4}),
    ],
)
def test_a_seed_that_has_just_begun_hides_no_other(seeds, far, means, unit):
    places, mean, low, high = over_seeds([course(*seed) for seed in seeds], unit)
    scale = 1 if unit == "steps" else 2
    found = dict(zip((places / scale).tolist(), mean.tolist(), strict=True))
    assert max(found) == far
    assert {place: found[place] for place in means} == pytest.approx(means)
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_it_is_said_which_seed_ends_where(tmp_path, capsys):
    signatures = write_trained_sweep(tmp_path, seeds=(0, 1, 2), lmbdas=(0.01,))
    metrics = tmp_path / signatures[1] / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[: len(lines) // 4]))
    analysis.plot_loss("grid", runs=tmp_path)
    said = capsys.readouterr().err
    assert said.startswith(
        "spectral_reg=none: seed 0 ends at step 200, seed 1 ends at step 50, seed 2 ends at step 200;"
    )
    assert "spectral_reg=intra" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["loss", "grid", "--out", "a.gif"], "a.gif: a plot is one of .png, .pdf, .svg"),
        (
            ["loss", "grid", "--rate", "criterion.lmbda=1", "--out", "a.svg"],
            "there is no rate criterion.lmbda=1; there is crit",
        ),
        (["loss", "grid", "grid", "--out", "a.svg"], "loss is drawn of one name"),
        (["training", "grid", "--out", "a.svg"], "training is drawn of one run; grid means 24: name one of them"),
        (["saving", "grid", "--out", "a.svg"], "saving needs --against"),
        (["saving", "grid", "--against", "naught", "--out", "a.svg"], "--against=naught is none of these curves"),
        (["norms", "nosuch", "--out", "a.svg"], "there is no run nosuch"),
        (
            ["norms", FELL, "--rate", "foo", "--against", "bar", "--metric", "zzz", "--out", "a.svg"],
            "norms does not take --rate, --against, --metric; it takes --runs, --out",
        ),
        (["training", FELL, "--trust", "seed", "--out", "a.svg"], "training does not take --trust; it takes --runs"),
        (["norms", FELL, "--images", "kodak", "--out", "a.svg"], "norms does not take --images"),
        (["loss", "grid", "--metric", "psnr", "--out", "a.svg"], "loss does not take --metric; it takes --rate, --tr"),
        (["loss", "grid", "--images", "kodak", "--out", "a.svg"], "loss does not take --images"),
        (
            ["saving", "grid", "--against", "spectral_reg=none", "--rate", "x", "--out", "a.svg"],
            "saving does not take --rate; it takes --against, --metric, --trust, --images",
        ),
    ],
)
def test_the_command_says_what_would_be_right(arguments, said, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *arguments, "--runs", str(runs)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "suffix", "begins"),
    [
        (["loss", "grid"], ".png", b"\x89PNG"),
        (["saving", "grid", "--against", "spectral_reg=none"], ".svg", b"<?xml"),
        (["norms", FELL], ".svg", b"<?xml"),
        (["training", "spectral_reg=intra, criterion.lmbda=0.025, seed=1"], ".pdf", b"%PDF"),
    ],
)
def test_the_command_writes_what_the_suffix_says(arguments, suffix, begins, runs, tmp_path):
    out = tmp_path / "new" / f"a{suffix}"
    assert main(["plot", *arguments, "--runs", str(runs), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(begins)


def test_a_figure_of_nothing_is_refused(runs):
    with pytest.raises(AnalysisError, match="needs a curve"):
        analysis.plot_rd(runs=runs)
