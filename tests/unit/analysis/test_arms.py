"""One curve per arm: runs that differ in seed and rate alone, and never others."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_sweeps import LMBDAS, OWN, evaluate, point, write_manifest, write_sweep
from run_folders import write_run

from analysis import load_curve
from analysis.__main__ import main
from analysis.curves import load_curves
from analysis.errors import AnalysisError
from analysis.plots import seed_band

NONE, INTRA = "spectral_reg=none", "spectral_reg=intra"


def test_a_sweep_is_one_curve_per_arm(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    none, intra = load_curves("grid", runs=tmp_path)
    assert [none.name, intra.name] == [NONE, INTRA]
    assert list(none.bpp) == [point(lmbda)["bpp"][0] for lmbda in LMBDAS]
    assert intra.bpp == pytest.approx(0.95 * none.bpp)


def test_a_mean_over_seeds_is_taken_rate_by_rate(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=(2, 0, 1))
    _, intra = load_curves("grid", runs=tmp_path)
    assert list(intra.by_seed) == [0, 1, 2]
    assert intra.bpp == pytest.approx(np.mean([curve.bpp for curve in intra.by_seed.values()], 0))
    rates, low, high = seed_band(list(intra.by_seed.values()), "psnr")
    assert (low <= high).all()
    assert (low < high).any()
    assert rates[0] == max(curve.bpp.min() for curve in intra.by_seed.values())


@pytest.mark.parametrize("mode", ["folder", "commas"])
def test_unlike_runs_are_never_one_curve(tmp_path: Path, mode: str) -> None:
    signatures = write_sweep(tmp_path / "runs")
    what = (
        str(tmp_path / "runs") if mode == "folder" else ",".join(str(tmp_path / "runs" / name) for name in signatures)
    )
    with pytest.raises(AnalysisError, match=f"unlike.* 2 curves.*{NONE} | {INTRA}"):
        load_curve(what)


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("model__N", 32, 64),
        ("optimizer__lr", 0.002, 0.001),
        ("data__batch_size", 8, 16),
        ("data__train", ["photos/train"], ["others/train"]),
        ("init_from", None, "00ff00ff00ff00ff"),
        ("trainer", {"max_steps": 10}, {"max_steps": 20}),
        ("trainer", {"max_steps": 10, "precision": "float32"}, {"max_steps": 10, "precision": "bf16"}),
    ],
)
def test_runs_without_a_sweep_are_told_apart_by_their_configs(tmp_path: Path, key: str, first: object, second: object):
    for number, (value, lmbda) in enumerate((v, m) for v in (first, second) for m in LMBDAS[:2]):
        evaluate(write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, **{key: value}), point(lmbda))
    curves = load_curves(tmp_path)
    assert [len(curve) for curve in curves] == [2, 2]
    assert all(key.replace("__", ".") in curve.name for curve in curves)


@pytest.mark.parametrize("bound", ["lmbda_min", "lmbda_max"])
@pytest.mark.parametrize("swept", [False, True])
def test_variable_rates_trained_between_other_bounds_are_two_curves(tmp_path: Path, bound: str, swept: bool) -> None:
    cells, bounds = [], {"lmbda_min": 0.0018, "lmbda_max": 0.0483}
    for number, value in enumerate((0.009, 0.013)):
        criterion = {"_target_": "lic_exp.training.variable_rate.VariableRate", **bounds, bound: value}
        run = write_run(tmp_path / f"{number}0", criterion=criterion)
        evaluate(run, {"bpp": [0.2, 0.5, 0.9], "psnr": [28 + number, 31 + number, 34 + number]})
        role = {f"criterion.{bound}": value}
        cells.append({"signature": run.name, "label": str(number), "role": role, "evaluation": OWN})
    if swept:
        write_manifest(tmp_path, "between-1", cells)
    curves = load_curves(tmp_path)
    assert [len(curve) for curve in curves] == [3, 3]
    assert [curve.name for curve in curves] == [f"criterion.{bound}=0.009", f"criterion.{bound}=0.013"]


@pytest.mark.parametrize("key", ["data__num_workers", "name", "tags", "data__cache_mb"])
def test_what_changes_no_training_makes_no_arm(tmp_path: Path, key: str) -> None:
    for number, lmbda in enumerate(LMBDAS):
        value = ["a", "b"][number % 2] if key == "name" else [[], ["x"]][number % 2] if key == "tags" else number % 2
        evaluate(write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, **{key: value}), point(lmbda))
    assert [len(curve) for curve in load_curves(tmp_path)] == [4]


def test_options_of_another_component_are_no_difference_of_its_own(tmp_path: Path) -> None:
    for number, reg in enumerate(
        ({"_target_": None}, {"_target_": "lic_exp.spectral_reg.intra_scale.IntraScale", "tau": 1})
    ):
        run = write_run(tmp_path / f"{number}0", spectral_reg=reg)
        evaluate(run, point(0.0067, 0.01 * number))
    assert [curve.name for curve in load_curves(tmp_path)] == ["spectral_reg=none", "spectral_reg=IntraScale"]


def test_a_models_size_that_goes_with_the_rate_makes_no_arm(tmp_path: Path) -> None:
    cells = []
    for number, lmbda in enumerate(LMBDAS):
        role = {"criterion.lmbda": lmbda, "model.N": 32 if number < 2 else 64}
        run = write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, model__N=role["model.N"])
        evaluate(run, point(lmbda))
        cells.append({"signature": run.name, "label": str(number), "role": role, "evaluation": OWN})
    write_manifest(tmp_path, "zip-1", cells)
    (curve,) = load_curves("zip", runs=tmp_path)
    assert len(curve) == 4
    assert curve.notes == ["unequal-sizes: its rates are of models of several sizes: model.N is 32, 64"]


def test_a_switch_of_the_model_is_no_size(tmp_path: Path) -> None:
    cells = []
    for number, lmbda in enumerate(LMBDAS):
        role = {"criterion.lmbda": lmbda, "model.attention": number < 2}
        run = write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, model__attention=number < 2)
        evaluate(run, point(lmbda))
        cells.append({"signature": run.name, "label": str(number), "role": role, "evaluation": OWN})
    write_manifest(tmp_path, "zip-1", cells)
    assert [curve.name for curve in load_curves("zip", runs=tmp_path)] == [
        "model.attention=true",
        "model.attention=false",
    ]


def test_a_models_size_makes_an_arm_where_no_sweep_says_otherwise(tmp_path: Path) -> None:
    for number, lmbda in enumerate(LMBDAS):
        run = write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, model__N=32 if number < 2 else 64)
        evaluate(run, point(lmbda))
    assert [curve.name for curve in load_curves(tmp_path)] == ["model.N=32", "model.N=64"]
    assert len(load_curve(tmp_path, trusted=["model.N"])) == 4


def test_a_trusted_key_makes_no_arm(tmp_path: Path) -> None:
    for number, lmbda in enumerate(LMBDAS):
        evaluate(write_run(tmp_path / f"{number}0", criterion__lmbda=lmbda, optimizer__lr=0.001 + number), point(lmbda))
    assert len(load_curves(tmp_path)) == 4
    assert len(load_curve(tmp_path, trusted=["optimizer.lr"])) == 4


def test_two_runs_of_one_seed_and_rate(tmp_path: Path) -> None:
    for number in range(2):
        evaluate(write_run(tmp_path / f"{number}0", optimizer__lr=0.001 + number), point(0.0067))
    with pytest.raises(AnalysisError, match="00 and 10 are runs of one seed and rate: name one"):
        load_curve(tmp_path, trusted=["optimizer.lr"])


@pytest.mark.parametrize(
    ("state", "evaluated", "note"),
    [
        ("running", False, "unfinished: 1 of 4 runs of spectral_reg=intra have no points (running: "),
        ("diverged", False, "(diverged: "),
        ("done", False, "(not evaluated: "),
        ("preempted", True, "is preempted, and its points are of weights so far"),
        (None, False, "(waiting: "),
    ],
)
def test_an_unfinished_arm_says_so(tmp_path: Path, state: str | None, evaluated: bool, note: str) -> None:
    *_, last = write_sweep(tmp_path)
    run = tmp_path / last
    if state is None:
        run.rename(tmp_path / "elsewhere")
    else:
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"state": state}))
        if not evaluated:
            (run / "eval/rd_point.json").unlink()
    _, intra = load_curves("grid", runs=tmp_path)
    assert any(note in said for said in intra.notes), intra.notes
    assert "unfinished" in intra.notes[0]


def test_an_arm_of_which_nothing_is_evaluated_is_named(tmp_path: Path) -> None:
    signatures = write_sweep(tmp_path)
    for name in signatures[4:]:
        (tmp_path / name / "eval/rd_point.json").unlink()
    (none,) = load_curves("grid", runs=tmp_path)
    assert none.notes == [f"unfinished: nothing is evaluated yet of {INTRA}"]
    for name in signatures[:4]:
        (tmp_path / name / "eval/rd_point.json").unlink()
    with pytest.raises(AnalysisError, match="sweep grid-1a2b3c4d: none of its runs is evaluated yet"):
        load_curves("grid", runs=tmp_path)


def test_seeds_that_are_missing_at_some_rates_are_said(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=(0, 1), without=[f"{INTRA}, criterion.lmbda=0.025, seed=1"])
    _, intra = load_curves("grid", runs=tmp_path)
    assert any(note.startswith("unequal-seeds: ") and "seed 1: 3" in note for note in intra.notes)


def test_the_evaluation_is_the_one_that_the_sweep_asked_for(tmp_path: Path) -> None:
    signatures = write_sweep(tmp_path)
    for name in signatures:
        evaluate(tmp_path / name, {"bpp": [1.0], "psnr": [30.0]}, name="99990000")
    manifest = json.loads((tmp_path / ".sweeps/grid-1a2b3c4d/manifest.json").read_text())
    cells = [cell | {"evaluation": "99990000"} for cell in manifest["cells"]]
    write_manifest(tmp_path, "other-2", cells)
    assert list(load_curves("other", runs=tmp_path)[0].bpp) == [1.0] * 4
    assert list(load_curves("grid", runs=tmp_path)[0].bpp) != [1.0] * 4


def test_rd_of_a_sweep_prints_curves_and_bd_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path, seeds=(0, 1, 2))
    file = tmp_path / "rd.png"
    assert main(["rd", "grid", "kodak/vtm_18.0", "--runs", str(tmp_path), "--out", str(file)]) == 0
    shown = capsys.readouterr().out
    assert f"against {NONE}, psnr" in shown
    assert "against kodak/vtm_18.0, psnr" in shown
    assert f"{INTRA}: BD-rate over 3 seeds -6.00 [-8.48, -3.52]" in shown
    assert "other-data-set: anchor kodak (24 images" in shown
    assert file.read_bytes().startswith(b"\x89PNG")


def test_bdrate_of_a_sweep_wants_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path)
    assert main(["bdrate", "grid", "kodak/vtm_18.0", "--runs", str(tmp_path)]) == 2
    assert f"has 2 curves: name the anchor with --baseline: {NONE} | {INTRA}" in capsys.readouterr().err
    assert main(["bdrate", "grid", "--runs", str(tmp_path), "--baseline", NONE]) == 0
    assert "-5.00" in capsys.readouterr().out
    assert main(["bdrate", "grid", "--runs", str(tmp_path), "--baseline", "intr"]) == 2
    assert f"--baseline=intr is none of these curves: {NONE} | {INTRA}" in capsys.readouterr().err


def test_two_sweeps_with_one_label_are_told_apart_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path, "grid-1")
    write_sweep(tmp_path, "more-2", first=20, effect={"none": 0.0, "intra": 0.2})
    assert main(["rd", "grid", "more", "--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert f"same-label: more: a curve called {NONE} is there already; this one is {NONE} (2)" in shown.err
    assert f"{INTRA} (2)" in shown.out


@pytest.mark.parametrize("images", ["kodak", "kodak-1a2b", "kodak-1a2b3c4d"])
def test_other_images_than_its_own_are_named(tmp_path: Path, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    signatures = write_sweep(tmp_path)
    for name in signatures[:7]:
        evaluate(tmp_path / name, {"bpp": [1.0], "psnr": [30.0]}, name="kodak-1a2b3c4d")
    none, intra = load_curves("grid", runs=tmp_path, images=images)
    assert list(none.bpp) == [1.0] * 4
    assert intra.notes[0].startswith(f"unfinished: 1 of 4 runs of {INTRA} have no points (not evaluated: ")
    assert main(["rd", INTRA, "--runs", str(tmp_path), "--images", images]) == 0
    assert "1.0000" in capsys.readouterr().out
    assert list(load_curves("grid", runs=tmp_path, images="holiday")[0].bpp) != [1.0] * 4, "what its own are called"


def test_images_that_several_evaluations_have_the_name_of(tmp_path: Path) -> None:
    signatures = write_sweep(tmp_path)
    for name in ("kodak-11", "kodak-22"):
        evaluate(tmp_path / signatures[0], point(0.0018), name=name)
    with pytest.raises(AnalysisError, match="kodak could be any of kodak-11, kodak-22: give more of the name"):
        load_curves("grid", runs=tmp_path, images="kodak")
    with pytest.raises(AnalysisError, match="sweep grid-1a2b3c4d: none of its runs is evaluated yet"):
        load_curves("grid", runs=tmp_path, images="tecnick")


def test_what_is_damaged_hides_no_other_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signatures = write_sweep(tmp_path)
    (tmp_path / signatures[1] / "eval/rd_point.json").write_text("{")
    none, intra = load_curves("grid", runs=tmp_path)
    assert (len(none), len(intra)) == (3, 4)
    assert any(note.startswith("damaged: ") and signatures[1] in note for note in none.notes)
    (tmp_path / ".sweeps/grid-1a2b3c4d/manifest.json").unlink()
    (tmp_path / signatures[0] / "config.yaml").write_text("a: [")
    assert [len(curve) for curve in load_curves(tmp_path)] == [2, 4]
    assert f"passed over: {tmp_path / signatures[0]}: config.yaml cannot be read" in capsys.readouterr().err
    with pytest.raises(AnalysisError, match=r"rd_point\.json"):
        load_curve(tmp_path / signatures[1])
