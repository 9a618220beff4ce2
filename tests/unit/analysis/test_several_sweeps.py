"""Runs of several sweeps, named together: one curve only where their configs differ in seed and rate alone."""

import json
from pathlib import Path

import pytest
from made_sweeps import LMBDAS, OWN, evaluate, point, write_manifest, write_sweep
from run_folders import write_run

from analysis import load_curve, load_curves
from analysis.__main__ import main
from analysis.errors import AnalysisError
from analysis.unlike_runs import unlike_runs


def sweep(
    runs: Path, name: str, lmbdas: tuple[float, ...], *, steps: int = 400, waiting: int = 0, **changes: object
) -> None:
    """A sweep over these rates alone. waiting: how many of its cells, the last ones, have not begun."""
    cells = []
    for number, lmbda in enumerate(lmbdas):
        run = runs / f"{name[0]}{number}00"
        label, role = f"criterion.lmbda={lmbda}", {"criterion.lmbda": lmbda}
        cells.append({"signature": run.name, "label": label, "role": role, "evaluation": OWN})
        if number < len(lmbdas) - waiting:
            evaluate(write_run(run, criterion__lmbda=lmbda, **changes), point(lmbda))
            status = json.loads((run / "status.json").read_text())
            (run / "status.json").write_text(json.dumps(status | {"step": steps}))
    write_manifest(runs, name, cells)


@pytest.mark.parametrize(
    ("key", "value"), [("model__N", 192), ("optimizer__lr", 0.5), ("data__train", ["others"]), ("init_from", "00ff")]
)
def test_sweeps_that_differ_in_more_than_the_rate_are_no_curve(tmp_path: Path, key: str, value: object) -> None:
    sweep(tmp_path, "a-1", LMBDAS[:2])
    sweep(tmp_path, "b-2", LMBDAS[2:], **{key: value})
    with pytest.raises(AnalysisError, match=f"these runs are unlike.*{key.replace('__', '.')}"):
        load_curve("a-1,b-2", runs=tmp_path)
    with pytest.raises(AnalysisError, match="these runs are unlike"):
        load_curve(["a-1", "b-2"], runs=tmp_path)
    assert len(load_curve("a-1,b-2", runs=tmp_path, trusted=[key.replace("__", ".")])) == 4


def test_sweeps_of_further_rates_are_one_curve(tmp_path: Path) -> None:
    sweep(tmp_path, "a-1", LMBDAS[:2])
    sweep(tmp_path, "b-2", LMBDAS[2:])
    curve = load_curve("a-1,b-2", runs=tmp_path)
    assert (len(curve), curve.notes) == (4, [])


def test_runs_of_other_lengths_in_one_curve_are_said(tmp_path: Path) -> None:
    sweep(tmp_path, "a-1", LMBDAS[:2], steps=100)
    sweep(tmp_path, "b-2", LMBDAS[2:], steps=9000)
    assert load_curve("a-1,b-2", runs=tmp_path).notes == ["unequal-lengths: its points are of runs of 100, 9000 steps"]
    assert load_curve("a-1", runs=tmp_path).notes == []


def test_cells_that_have_not_begun_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "a-1", LMBDAS[:2])
    sweep(tmp_path, "b-2", LMBDAS[2:], waiting=1)
    assert len(load_curve("a-1,b-2", runs=tmp_path)) == 3
    assert "passed over, as they have not begun: criterion.lmbda=0.0483" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optimizer__lr", 0.5, "optimizer.lr is 0.002 and 0.5"),
        ("data__train", ["others"], "data.train is [photos/train] and [others]"),
        ("data__batch_size", 64, "data.batch_size is 8 and 64"),
        ("data__val", ["others"], "data.val is [photos/val] and [others]"),
        ("model__N", 192, "model.N is 32 and 192"),
        ("seed", 3, None),
    ],
)
def test_curves_of_two_sweeps_say_what_their_names_do_not(
    tmp_path: Path, key: str, value: object, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "a-1", LMBDAS)
    sweep(tmp_path, "b-2", LMBDAS, **{key: value})
    found = [str(one) for one in unlike_runs(load_curve("a-1", runs=tmp_path), load_curve("b-2", runs=tmp_path))]
    assert [text for text in found if text.startswith("other-training")] == (
        [f"other-training: a-1 and b-2 differ in more than these names say: {said}"] if said else []
    )
    assert main(["bdrate", "a-1", "b-2", "--runs", str(tmp_path)]) in (0, 2)
    assert (said in " ".join(capsys.readouterr().out.split())) if said else True


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("labels", [{}, {"none": "naive", "intra": "phase 1"}])
def test_arms_of_one_sweep_are_told_apart_by_their_names(
    tmp_path: Path, labels: dict[str, str], seeds: tuple[int, ...]
) -> None:
    write_sweep(tmp_path, seeds=seeds)
    file = tmp_path / ".sweeps/grid-1a2b3c4d/manifest.json"
    manifest = json.loads(file.read_text())
    for cell in manifest["cells"] if labels else ():  # as the rows of a table
        name = labels[cell["role"].pop("spectral_reg")]
        cell["role"], cell["label"] = {"variant": name} | cell["role"], name
    file.write_text(json.dumps(manifest))
    arms = [labels.get(name, f"spectral_reg={name}") for name in ("none", "intra")]
    for names in (["grid"], [f"grid:{arm}" for arm in arms]):
        none, intra = (curve for name in names for curve in load_curves(name, runs=tmp_path))
        assert list(unlike_runs(none, intra)) == []
