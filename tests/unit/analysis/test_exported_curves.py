"""A curve of runs that was written to a file is told from others by what told the runs from them."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_sweeps import LMBDAS, evaluate, point
from run_folders import write_run

from analysis import load_curve
from analysis.__main__ import main
from analysis.bd_comparison import compare_curves
from analysis.unlike_runs import unlike_runs


def made(folder: Path, *, seed: int = 0, step: int = 100, validates: bool = False) -> str:
    for number, lmbda in enumerate(LMBDAS):
        run = write_run(folder / f"{number}000", seed=seed, criterion__lmbda=lmbda)
        evaluate(run, point(lmbda))
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"step": step}))
        header, *rows = (run / "eval/images.csv").read_text().splitlines()
        (run / "eval/images.csv").write_text(
            "\n".join([f"{header},validates", *(f"{r},{validates}" for r in rows)]) + "\n"
        )
    return str(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [("other-length", {"step": 200}), ("other-seeds", {"seed": 1}), ("chosen-on-these", {"validates": True})],
)
def test_what_is_of_runs_outlives_the_file(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    own, others = made(tmp_path / "own"), made(tmp_path / "others", **change)
    for folder, file in ((own, "own.json"), (others, "others.json")):
        assert main(["rd", folder, "--out", str(tmp_path / file)]) == 0
    first, second = load_curve(tmp_path / "own.json"), load_curve(tmp_path / "others.json")
    for pair in ((first, second), (load_curve(own), second), (first, load_curve(others))):
        assert [found.name for found in unlike_runs(*pair)] == [name]
        assert any(flag.startswith(name) for flag in compare_curves(*pair).flags)
    assert main(["rd", str(tmp_path / "others.json"), "--out", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((tmp_path / "others.json").read_text())


@pytest.mark.parametrize("said", ["many", True, -1, [], {}, ["\x1b[31m"], [[1]], 1.5, [2**70], None])
@pytest.mark.parametrize("key", ["steps", "chosen", "seeds"])
def test_what_a_file_says_there_otherwise_counts_as_nothing(tmp_path: Path, key: str, said: Any) -> None:
    results = {"bpp": [0.1, 0.2, 0.3, 0.4], "psnr": [28, 30, 32, 34]}
    (tmp_path / "curve.json").write_text(json.dumps({"results": results, key: said}))
    curve = load_curve(tmp_path / "curve.json")
    assert key not in curve.about
    assert not list(unlike_runs(curve, load_curve("kodak/vtm_18.0")))
