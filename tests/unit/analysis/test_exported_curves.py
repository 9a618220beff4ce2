"""A curve of runs that was written to a file is told from others by what told the runs from them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_sweeps import LMBDAS, evaluate, point, write_sweep
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


def test_a_table_of_curves_has_it_too(tmp_path: Path) -> None:
    own, file = made(tmp_path / "own", seed=2, step=300, validates=True), tmp_path / "curves.csv"
    assert main(["rd", own, "kodak/vtm_18.0", "--out", str(file)]) == 0
    with open(file, newline="") as text:
        rows = list(csv.DictReader(text))
    told = {tuple(row[key] for key in ("steps", "chosen", "seeds")) for row in rows}
    assert told == {("300", "2", "2"), ("", "", "")}


@pytest.mark.parametrize(("seeds", "images", "over"), [((0, 1, 2), 2, "seeds"), ((0,), 12, "images"), ((0,), 2, None)])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_table_of_bd_rates_has_its_intervals(
    tmp_path: Path,
    seeds: tuple[int, ...],
    images: int,
    over: str | None,
    suffix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = write_sweep(tmp_path, seeds=seeds)
    if over == "images":
        rng = np.random.default_rng(0)
        for place, name in enumerate(names):
            by = {lmbda: point(lmbda, 0.05 * (place >= len(LMBDAS))) for lmbda in LMBDAS}[LMBDAS[place % len(LMBDAS)]]
            spread = 1 + 0.1 * rng.random(images)
            rows = [f"{i},64,96,{by['bpp'][0] * own},{by['psnr'][0]}" for i, own in enumerate(spread)]
            (tmp_path / name / "eval/images.csv").write_text("\n".join(["image,height,width,bpp,psnr", *rows]) + "\n")
    file = tmp_path / f"bd{suffix}"
    assert main(["bdrate", "grid", "--baseline", "spectral_reg=none", "--runs", str(tmp_path), "--out", str(file)]) == 0
    shown = capsys.readouterr().out
    with open(file, newline="") as text:
        (row,) = list(csv.DictReader(text)) if suffix == ".csv" else json.load(text)
    low, high, of = (row[f"interval_{key}"] for key in ("low_percent", "high_percent", "of"))
    if over is None:
        assert (row["interval_over"] or None, low or None, high or None) == (None, None, None)
        return
    assert row["interval_over"] == over
    assert int(of) == {"seeds": len(seeds), "images": images}[over]
    assert f"[{float(low):+.2f}, {float(high):+.2f}]" in shown


@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_runs_says_of_which_images_they_are(tmp_path: Path, named: bool) -> None:
    folder = made(tmp_path / "runs")
    for file in Path(folder).glob("*/eval/rd_point.json"):
        said = {"name": "evening", "number": 24} if named else {}
        file.write_text(json.dumps(json.loads(file.read_text()) | {"images": said}))
    assert main(["rd", folder, "kodak/vtm_18.0", "--out", str(tmp_path / "both.csv")]) == 0
    with (tmp_path / "both.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows if row["curve"] == "kodak/vtm_18.0"} == {"kodak"}
    expected = "evening" if named else "images without a name"
    assert {row["dataset"] for row in rows if row["curve"] != "kodak/vtm_18.0"} == {expected}
