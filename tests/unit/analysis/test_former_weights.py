"""Evaluations of weights that are gone: whichever is read of a run, it says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_sweeps import LMBDAS, OWN, evaluate, point, write_manifest
from run_folders import write_run

from analysis.curves import load_curves
from lic_exp.runs.run import Run

NAMED, ASKED, SO_FAR = "99990000", "kodak-1a2b3c4d", "so_far"
FOLDERS = {"own": OWN, "named": NAMED, "asked": ASKED, "so far": SO_FAR}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs with an evaluation of each kind, as the platform writes them, and a sweep that names the second one."""
    for number, lmbda in enumerate(LMBDAS[:2]):
        run = write_run(tmp_path / f"{number}000", criterion__lmbda=lmbda, schema_version=2)
        change(run / "status.json", schema_version=2)
        for kind, name in FOLDERS.items():
            so_far = " so far" if kind == "so far" else ""
            of = f"run {run.name}{so_far}, evaluation {name}"
            about: dict[str, Any] = {"of": of, "code": "code1:0123456789abcdef"} if name in (ASKED, SO_FAR) else {}
            folder = evaluate(run, point(lmbda), name=name, about=about)
            if about:
                change(folder / "evaluation.json", evaluation=None)
    write_manifest(tmp_path, "grid-1", [{"signature": f"{i}000", "label": f"c{i}", "role": {"criterion.lmbda": lmbda},
                                         "evaluation": NAMED} for i, lmbda in enumerate(LMBDAS[:2])])  # fmt: skip
    return tmp_path


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def read(runs: Path, kind: str) -> list[str]:
    images = {"asked": "kodak", "so far": "so_far"}.get(kind, "")
    (curve,) = load_curves("grid" if kind == "named" else runs, runs=runs, images=images)
    return [note.partition(":")[0] for note in curve.notes]


@pytest.mark.parametrize("kind", FOLDERS)
def test_an_evaluation_from_before_the_training_began_anew_says_so(runs: Path, kind: str) -> None:
    assert read(runs, kind) == (["former-weights"] * 2 if kind == "so far" else [])
    for _ in range(2):
        Run(runs / "0000").disown_evaluations()
    assert read(runs, kind) == ["former-weights"] * (2 if kind == "so far" else 1)


def test_an_evaluation_of_weights_so_far_is_of_former_ones_once_the_run_is_done(runs: Path) -> None:
    for run in ("0000", "1000"):
        change(runs / run / "status.json", state="preempted")
    assert read(runs, "so far") == ["unfinished"] * 2
    change(runs / "0000" / "status.json", state="done")
    assert sorted(read(runs, "so far")) == ["former-weights", "unfinished"]


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_code_of_the_evaluation_that_is_read_is_what_counts(runs: Path, kind: str) -> None:
    images = {"asked": "kodak", "so far": "so_far"}.get(kind, "")
    (curve,) = load_curves("grid" if kind == "named" else runs, runs=runs, images=images)
    assert ("code1:0123456789abcdef" in curve.made_by[0].hashes) == (kind in ("asked", "so far"))
