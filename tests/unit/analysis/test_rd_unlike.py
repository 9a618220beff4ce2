"""Curves that `rd` draws together: any two that are unlike say so, in whichever order they are named."""

import json
from itertools import permutations
from pathlib import Path

import pytest
from made_sweeps import PHOTOS, evaluate
from run_folders import write_run

import analysis
from analysis.__main__ import main
from lic_exp.image_identity import Pictured

POINTS = {"bpp": [0.2, 0.5, 0.9], "psnr": [28.0, 31.0, 34.0]}


OTHERS = (Pictured("c.png", 64, 96, "cccc"),)


def made(
    folder: Path, name: str, *, weights: str = "raw", seed: int = 0, step: int = 100, images: tuple = PHOTOS
) -> str:
    run = write_run(folder / name, seed=seed)
    evaluate(run, POINTS, weights=weights, images=images)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"step": step}))
    return str(run)


def published(folder: Path, run: str) -> str:
    """A file of the same images, which says nothing of weights, seeds and steps."""
    images = json.loads((Path(run) / "eval/rd_point.json").read_text())["images"]
    file = folder / "published.json"
    file.write_text(json.dumps({"name": "published", "images": images, "results": POINTS}))
    return str(file)


DIFFERENCES = [("other-weights", {"weights": "ema"}), ("other-length", {"step": 200}), ("other-seeds", {"seed": 1})]
DRAWN = [*DIFFERENCES, ("other-data-set", {"images": OTHERS}), ("fewer-images", {"images": PHOTOS[:1]})]


@pytest.mark.parametrize(("name", "change"), DIFFERENCES)
def test_any_two_are_compared(tmp_path: Path, name: str, change: dict, capsys: pytest.CaptureFixture[str]) -> None:
    first = made(tmp_path, "000")
    curves = [published(tmp_path, first), first, made(tmp_path, "100", **change)]
    for order in permutations(curves):
        assert main(["rd", *order]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("other-")]
        assert [line.partition(":")[0] for line in lines] == [name]
        assert all(run in lines[0] for run in ("000", "100"))


def test_like_curves_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = made(tmp_path, "000")
    assert main(["rd", published(tmp_path, first), first, made(tmp_path, "100")]) == 0
    assert "other-" not in capsys.readouterr().out


def test_many_pairs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rd", *(made(tmp_path, f"{i}00", step=100 + i) for i in range(6))]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("other-length")]
    assert len(lines) == 11
    assert lines[-1] == "other-length: and 5 more pairs"


def said(text: str) -> list[str]:
    """Names of the differences that are told."""
    return [line.partition(":")[0] for line in text.splitlines() if line.startswith(("other-", "fewer-"))]


@pytest.mark.parametrize(("name", "change"), DRAWN)
def test_figures_say_it_as_well(
    tmp_path: Path, name: str, change: dict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = made(tmp_path, "000"), made(tmp_path, "100", **change)
    assert main(["plot", "saving", second, "--against", first, "--out", "a.svg"]) == 0
    assert said(capsys.readouterr().err) == [name]
    analysis.plot_saving(second, against=first)
    assert said(capsys.readouterr().err) == [name]
    analysis.plot_rd(first, second)
    assert said(capsys.readouterr().err) == [name]


def test_figures_of_like_curves_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = made(tmp_path, "000"), made(tmp_path, "100")
    analysis.plot_saving(second, against=first)
    analysis.plot_rd(first, second)
    assert capsys.readouterr().err == ""
