"""Figures of one run: what is in them, and what is said where there is nothing to draw."""

import pytest

from lic_exp.runs.plots import run_figure, series_of, spans_decades
from lic_exp.runs.run import Run

ENTRIES = [
    {
        "step": step,
        "epoch": 0,
        "time": 1.0,
        "train/loss": 10.0 / step,
        "train/grad_norm": 10.0**step,
        "train/grad_norm_aux": 1.0,
        "val/rd_loss": 20.0 / step,
        "val/bpp_loss": 1.0,
        "val/y_bpp": 0.9,
        "val/z_bpp": 0.1,
        "spectral/tau": 0.2 * step,
    }
    for step in range(1, 5)
]


def names_in(figure):
    return {text.get_text().strip() for text in figure.legends[0].get_texts()}


def test_a_training_shows_losses_tau_and_the_bits_of_each_latent():
    figure = run_figure(series_of(ENTRIES), "$a$")
    assert names_in(figure) == {"train/loss", "val/rd_loss", "spectral/tau", "latent y", "latent z"}
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "cut-off tau", "estimated bpp"]


def test_norms_come_with_what_happened():
    entries = [*ENTRIES, {"step": 5, "train/diverged": 1.0}]
    figure = run_figure(series_of(entries), kind="norms", skipped=[2, 3])
    assert names_in(figure) >= {"train/grad_norm", "train/grad_norm_aux", "skipped step", "diverged"}
    assert figure.axes[1].get_yscale() == "log"


@pytest.mark.parametrize(
    ("entries", "kind", "labels"),
    [
        (
            [{"step": 1, "val/y_bpp": 0.5, "val/rd_loss": 1.0}],
            "training",
            {"val/rd_loss"},
        ),  # one latent: nothing to part
        ([{"step": 1, "train/loss": 1.0}, {"step": 1, "train/loss": 2.0}], "training", {"train/loss"}),
        ([{"step": 1, "train/loss": float("nan")}, {"step": 2, "train/loss": 2.0}], "norms", {"train/loss"}),
    ],
)
def test_what_was_not_logged_is_not_drawn(entries, kind, labels):
    assert names_in(run_figure(series_of(entries), kind=kind)) == labels


def test_a_step_logged_twice_counts_once_and_by_its_last():
    assert series_of([{"step": 2, "a": 1.0}, {"step": 1, "a": 5.0}, {"step": 2, "a": 3.0}]) == {
        "a": ((1, 2), (5.0, 3.0))
    }


@pytest.mark.parametrize(
    ("kind", "said"), [("training", "nothing is logged"), ("spectra", "it is one of training, norms")]
)
def test_nothing_to_draw_is_said(kind, said, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match=said):
        Run(tmp_path).plot(kind)


@pytest.mark.parametrize(
    ("values", "wide"), [([1, 20], True), ([1, 2], False), ([0, 100], False), ([-1, 100], False), ([], False)]
)
def test_a_logarithmic_axis_only_where_it_shows_more(values, wide):
    assert spans_decades(values) is wide
