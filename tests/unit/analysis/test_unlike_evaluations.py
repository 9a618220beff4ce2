"""Tables and comparisons of runs name in what the evaluations in them are unlike, as curves do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_sweeps import PHOTOS, evaluate
from recorded_study import IMAGES, write_study
from run_folders import write_run

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.studies import load_study
from lic_exp.evaluation.conventions import CONVENTIONS
from lic_exp.image_identity import Pictured

POINT = {"bpp": [0.5], "psnr": [30.0]}
RENAMED = tuple(Pictured(f"photo_{image.name}", *image[1:]) for image in PHOTOS)
OTHERS = (Pictured("x.png", 64, 96, "cccc"), Pictured("y.png", 64, 96, "dddd"))
CROPPED = (Pictured("a.png", 64, 64, "a1a1"), Pictured("b.png", 64, 64, "b1b1"))

MEASURED = [
    ("other-objective", {"optimized_for": "ms-ssim"}),
    ("other-weights", {"weights": "ema"}),
    ("other-rate", {"rate": "estimated bits"}),
    ("other-container", {"container": "in"}),
    ("other-colours", {"psnr": "Y, dB"}),
    ("other-rounding", {"rounding": "none"}),
    ("other-averaging", {"averaging": "PSNR of the mean MSE"}),
    ("other-pixels", {"pixels": "padded"}),
]
PICTURES = [
    ("other-data-set", {"images": OTHERS}),
    ("fewer-images", {"images": PHOTOS[:1]}),
    ("other-crop", {"images": CROPPED}),
]


def evaluated(folder: Path, signature: str, *, name: str | None = None, **said: Any) -> str:
    """A run with an evaluation, by pixels."""
    run = write_run(folder / signature)
    images = said.get("images", PHOTOS)
    place = evaluate(run, POINT, **({"name": name} if name else {}), **said)
    rows = [f"{image.name},{image.height},{image.width},{image.pixels},0.5,30.0" for image in images]
    (place / "images.csv").write_text("\n".join(["image,height,width,pixels,bpp,psnr", *rows]) + "\n")
    return str(run)


def flags_in(text: str) -> list[str]:
    """The names of what is told, in order."""
    return [line.partition(":")[0] for line in text.splitlines() if line.startswith(("other-", "fewer-", "unknown-"))]


@pytest.mark.parametrize(("name", "said"), [*MEASURED, *PICTURES, ("other-ms-ssim", {"ms-ssim": "of Y"})])
def test_a_comparison_names_it(
    tmp_path: Path, name: str, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [evaluated(tmp_path, "0000"), evaluated(tmp_path, "1000", **said)]
    for order in (runs, runs[::-1]):
        assert main(["compare", *order]) == 0
        assert flags_in(capsys.readouterr().out) == [name]


@pytest.mark.parametrize("said", [{}, {"images": RENAMED}, {"images": PHOTOS[::-1]}])
def test_like_evaluations_are_compared_without_a_word(
    tmp_path: Path, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", evaluated(tmp_path, "0000"), evaluated(tmp_path, "1000", **said)]) == 0
    assert flags_in(capsys.readouterr().out) == []


def test_each_evaluation_is_compared_with_those_on_the_same_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for signature, weights in (("0000", "raw"), ("1000", "ema")):
        evaluated(tmp_path, signature)
        evaluate(tmp_path / signature, POINT, name="kodak-1a2b", weights=weights)
    assert main(["compare", str(tmp_path / "0000"), str(tmp_path / "1000")]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("other-"))
    assert line == "other-weights: kodak-1a2b: which weights were evaluated: 0000: raw; 1000: ema"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A study whose evaluations say how they measured, and the signatures of its rows."""
    runs = tmp_path_factory.mktemp("study") / "runs"
    rows: dict[str, list[str]] = {}
    for cell in write_study(runs)["cells"]:
        rows.setdefault(cell["variant"], []).append(cell["signature"])
    return runs, rows


def say(runs: Path, signatures: list[str], **said: str) -> None:
    """Have these evaluations say so of themselves."""
    goal = said.pop("optimized_for", "mse")
    measured = {"optimized_for": goal, "conventions": {**CONVENTIONS, "weights": "raw", **said}}
    for signature in signatures:
        (runs / signature / "eval" / "evaluation.json").write_text(json.dumps({"exact": True, **measured}))


def notes_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("name", "said"), MEASURED)
def test_a_table_names_it(
    study: tuple[Path, dict[str, list[str]]],
    tmp_path: Path,
    name: str,
    said: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs, rows = study
    say(runs, rows["naive"])
    say(runs, rows["intra"], **said)
    shown = notes_of(["ablation", "table2", "--runs", str(runs), "--out", str(tmp_path / "out")], capsys)
    assert f"intra-scale: {name}: " in shown
    assert "naive: other-" not in shown
    say(runs, rows["intra"])
    shown = notes_of(["ablation", "table2", "--runs", str(runs), "--out", str(tmp_path / "out")], capsys)
    assert "other-" not in shown


def test_a_report_of_the_table_names_it(study: tuple[Path, dict[str, list[str]]], tmp_path: Path) -> None:
    runs, rows = study
    say(runs, rows["naive"])
    say(runs, rows["intra"][:1], weights="ema")
    assert main(["report", "table2", "--runs", str(runs), "--out", str(tmp_path / "report.html")]) == 0
    assert "intra-scale: other-weights: " in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("recorded", [False, True])
def test_a_table_says_that_published_points_are_of_other_images(tmp_path: Path, recorded: bool) -> None:
    cells = write_study(tmp_path)["cells"]
    for cell in cells if recorded else ():
        table = tmp_path / cell["signature"] / "eval" / "images.csv"
        header, *lines = table.read_text().splitlines()
        digests = {name: f"{place:016x}" for place, name in enumerate(IMAGES)}
        lines = [f"{line},{digests[line.partition(',')[0]]}" for line in lines]
        table.write_text("\n".join([f"{header},pixels", *lines]) + "\n")
    study = load_study("table2", runs=tmp_path)
    study = replace(study, table=study.table.model_copy(update={"anchors": ["kodak/vtm_18.0"]}))
    row = next(row for row in ablation(study).rows if row.name == "intra")
    assert row.anchors
    (note,) = (note for note in row.notes if note.startswith("against kodak/vtm_18.0: "))
    assert note.startswith("against kodak/vtm_18.0: other-data-set: anchor kodak (24 images")
