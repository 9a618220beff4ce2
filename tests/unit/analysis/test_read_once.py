"""Tables of a thousand runs: what their rows have in common is worked out once, and comes to what it comes to alone."""

import builtins
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded_study import IMAGES, RATES, write_study
from run_folders import curve, write_run

from analysis import run_cache, speed, training_cost, undecayed
from analysis.ablation import ablation
from analysis.image_points import points_by_image
from analysis.run_records import files_of
from analysis.runs import Runs, load_runs
from analysis.smoothing import smoothed
from analysis.studies import load_study


@pytest.fixture(scope="module")
def study_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("study") / "runs"
    write_study(runs)
    return runs


@pytest.mark.parametrize(("where", "name"), [(training_cost, "_trajectory"), (speed, "_descent")])
def test_a_run_is_followed_once_and_not_by_every_row(
    study_runs: Path, where: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    follow = getattr(where, name)

    def counted(runs: Runs, signature: str, *options: Any) -> Any:
        asked[signature] += 1
        return follow(runs, signature, *options)

    monkeypatch.setattr(where, name, counted)
    study = load_study("table2", runs=study_runs)
    found = ablation(study)
    assert any(row.speed and row.at_end for row in found.rows)
    assert set(asked) == {signature for _, signature in study.signatures}
    assert set(asked.values()) == {1}


def test_losses_are_smoothed_once_for_each_run_but_for_those_that_are_cut(
    study_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def counted(*given: Any) -> Any:
        nonlocal count
        count += 1
        return smoothed(*given)

    monkeypatch.setattr(undecayed, "smoothed", counted)
    study = load_study("table2", runs=study_runs)
    ablation(study)
    of_equals = 2 * len(study.table.seeds) * len(RATES)
    assert 0 < count <= len(study.signatures) + of_equals


def test_a_run_that_extends_another_is_followed_among_those_that_are_beside_it(tmp_path: Path) -> None:
    write_run(tmp_path / "one", curve([1.0, 0.9]))
    later = [entry | {"step": entry["step"] + 20} for entry in curve([0.8, 0.7])]
    write_run(tmp_path / "two", later, parent="one")
    write_run(tmp_path / "elsewhere" / "two", later, parent="one")
    runs, alone = load_runs(tmp_path), load_runs(tmp_path / "elsewhere")
    known, unknown = (training_cost.trajectory(some, "two", "val/rd_loss")["seconds"] for some in (runs, alone))
    assert np.isfinite(known).all()
    assert np.isnan(unknown).all()


@pytest.mark.parametrize("metrics", [["val/rd_loss"], ["val/y_bpp", "val/z_bpp"], ["no/such"], []])
def test_last_values_of_some_metrics_are_those_of_all(study_runs: Path, metrics: list[str]) -> None:
    runs = load_runs(study_runs)
    pd.testing.assert_frame_equal(runs.final(metrics), runs.final().reindex(columns=metrics), check_column_type=False)


def test_a_trajectory_that_somebody_changes_is_whole_for_the_next(study_runs: Path) -> None:
    runs = load_runs(study_runs)
    signature = runs.runs["signature"][0]
    first = training_cost.trajectory(runs, signature, "val/rd_loss")
    first.clear()
    assert len(training_cost.trajectory(runs, signature, "val/rd_loss")["steps"]) > 1


def test_what_is_cached_is_read_from_one_file(study_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_runs(study_runs)
    opened: list[str] = []
    read = builtins.open

    def noted(file: Any, *options: Any, **more: Any) -> Any:
        opened.append(str(file))
        return read(file, *options, **more)

    monkeypatch.setattr(builtins, "open", noted)
    monkeypatch.setattr(run_cache, "open_file", lambda file: noted(file, "rb"))
    found = load_runs(study_runs)
    monkeypatch.undo()
    assert [file for file in opened if file.startswith(str(study_runs))] == [
        str(run_cache.cache_file(study_runs, None))
    ]
    pd.testing.assert_frame_equal(found.metrics, expected.metrics)


@pytest.mark.parametrize("place", ["{0}", "{0}/../runs", "."])
def test_files_are_named_from_the_run_on(study_runs: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = sorted(study_runs.glob("0*"))[0]
    monkeypatch.chdir(run)
    folder = Path(place.format(study_runs)) if place == "." else Path(place.format(study_runs), run.name)
    names = [name for name, *_ in files_of(folder)]
    assert "eval/images.csv" in names
    assert all((run / name).is_file() and not name.startswith("/") for name in names)


@pytest.mark.parametrize("known", [True, False])
def test_rows_of_some_runs_are_those_of_all(study_runs: Path, known: bool) -> None:
    runs = load_runs(study_runs)
    if known:
        assert runs.rows()
    chosen = runs.of(runs.runs["signature"].tolist()[5:2:-1])
    again = runs.with_seeds(dict.fromkeys(chosen.runs["signature"], 7)).of(chosen.runs["signature"].tolist())
    assert list(map(str, chosen.rows())) == list(map(str, chosen.runs.to_dict("records")))
    assert list(map(str, again.rows())) == list(map(str, again.runs.to_dict("records")))
    assert {row["seed"] for row in again.rows()} == {7} != {row["seed"] for row in chosen.rows()}
    for name in chosen.runs["signature"]:
        for key in ("step", "value"):
            ours, theirs = (some.series(name, "val/rd_loss")[key] for some in (chosen, runs))
            assert ours.tolist() == theirs.tolist()


def test_points_by_image_are_those_of_its_table(study_runs: Path) -> None:
    study = load_study("table2", runs=study_runs)
    assert len(study.by_image) == len(study.signatures) > len(RATES)
    for signature, found in study.by_image.items():
        rows = pd.read_csv(study_runs / signature / "eval/images.csv").sort_values("image")
        assert [image[0] for image in found.images] == rows["image"].tolist() == list(IMAGES)
        assert found.points.shape == (len(IMAGES), 4, 1)
        np.testing.assert_allclose(found.points[:, 0, 0], rows["bpp"], rtol=1e-12)
        np.testing.assert_allclose(found.points[:, 3, 0], 10 ** (-rows["psnr"] / 10))


RATED = "image,height,width,rate,lmbda,bpp,psnr,exact"


@pytest.mark.parametrize(
    ("rows", "bpp"),
    [
        (["b,8,8,1,0.1,0.2,30,True", "a,8,8,1,0.1,0.1,31,True", "a,8,8,0,0.2,0.3,32,True", "b,8,8,0,0.2,0.4,33,True"],
         [[0.1, 0.3], [0.2, 0.4]]),
        (["a,8,8,0,0.1,0.2,30,True", "b,8,8,1,0.1,0.1,31,True"], None),
        (["a,8,8,0,0.1,0.2,30,True", "a,8,8,1,0.1,0.1,31,True", "b,8,8,1,0.1,0.1,31,True"], None),
        (["a,8,8,0,0.1,0.2,30,True", "a,8,16,1,0.1,0.1,31,True"], None),
    ],
    ids=["any order", "another image", "one more", "another size"],
)  # fmt: skip
def test_a_run_has_points_by_image_where_every_rate_has_every_image(
    tmp_path: Path, rows: list[str], bpp: list[list[float]] | None
) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name, curve([1.0, 0.9]))

    (tmp_path / "one/eval").mkdir(exist_ok=True)
    (tmp_path / "one/eval/images.csv").write_text("\n".join([RATED, *rows]) + "\n")
    runs = load_runs(tmp_path)
    found = points_by_image(runs, {"one": np.ones((2, 4)), "two": np.ones((1, 4))})
    assert ("one" in found) == (bpp is not None)
    assert "two" not in found
    if bpp is not None:
        assert found["one"].points[:, 0].tolist() == bpp
    assert points_by_image(runs, {"one": np.ones((3, 4))}) == points_by_image(runs, {}) == {}
