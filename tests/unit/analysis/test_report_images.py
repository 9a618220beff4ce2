"""On which images the numbers of a report are, and that runs of several sets of images have no mean."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from made_sweeps import LMBDAS, Pictured, evaluate, write_sweep

from analysis.curve_files import Curve
from analysis.report.drawn import Drawings, curves
from analysis.report.origin import asked
from analysis.report.results import by_rate
from analysis.report.subject import Subject, subject
from lic_exp.image_identity import images_fingerprint

SWEEP = "grid-1a2b3c4d"


def photos(name: str, count: int = 2) -> list[Pictured]:
    return [Pictured(f"{number}.png", 64, 96, f"{name}{number}") for number in range(count)]


def evaluated(runs: Path, sets: Sequence[tuple[str, Sequence[Pictured]]]) -> Subject:
    """A sweep of a seed for each set: its name, and its images."""
    seeds = range(len(sets))
    for name, (data, images) in zip(
        write_sweep(runs, SWEEP, effect={"none": 0.0}, seeds=seeds, lmbdas=LMBDAS[:1]), sets, strict=True
    ):
        folder = evaluate(runs / name, {"bpp": [0.5], "psnr": [30.0]}, images=images, data=data)
        rows = [f"{one.name},{one.height},{one.width},0.5,30,{one.pixels}" for one in images]
        (folder / "images.csv").write_text("\n".join(["image,height,width,bpp,psnr,pixels", *rows, ""]))
    return subject(SWEEP, runs=runs)


def tables_of(of: Subject) -> Mapping[str, list[list[str]]]:
    return {table.title: [[cell.text for cell in row] for row in table.rows] for table in asked(of).tables}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([("kodak", photos("k"))] * 2, [("kodak", 2, "k", 2)]),
        ([("kodak", photos("k")), ("tecnick", photos("t"))], [("kodak", 2, "k", 1), ("tecnick", 2, "t", 1)]),
        ([("kodak", photos("k")), ("kodak", photos("k", 1))], [("kodak", 2, "k", 1), ("kodak", 1, "k", 1)]),
    ],
)
def test_each_set_of_images_is_named(
    tmp_path: Path, sets: list[tuple[str, list[Pictured]]], said: list[tuple[str, int, str, int]]
) -> None:
    expected = [
        [name, str(number), images_fingerprint(one.pixels for one in photos(letter, number))[:8], f"{runs} of 2"]
        for name, number, letter, runs in said
    ]
    assert tables_of(evaluated(tmp_path, sets))["What was evaluated on"] == expected


@pytest.mark.parametrize("left_out", [False, True])
def test_what_one_run_does_not_say_not_all_have(tmp_path: Path, left_out: bool) -> None:
    kodak = ("kodak", photos("k"))
    evaluated(tmp_path, [kodak, kodak])
    config = next(tmp_path.glob("*/config.yaml"))
    text = config.read_text()
    if left_out:
        config.write_text("\n".join(line for line in text.splitlines() if "lr:" not in line) + "\n")
        assert config.read_text() != text
    shared = dict(tables_of(subject(SWEEP, runs=tmp_path))["What all runs have"])
    assert ("optimizer.lr" in shared) is not left_out


@pytest.mark.parametrize(
    ("other", "has_mean"),
    [
        (photos("k"), True),
        (photos("t"), False),
        (photos("k", 1), False),
        ([Pictured(one.name, 64, 96, "") for one in photos("k")], True),  # what was not recorded
    ],
)
def test_runs_of_other_images_have_no_mean(tmp_path: Path, other: list[Pictured], has_mean: bool) -> None:
    of = evaluated(tmp_path, [("kodak", photos("k")), ("kodak", other)])
    table = by_rate(of)
    (row,) = table.rows
    assert (row[table.header.index("bpp")].text == "0.5000 [0.5000, 0.5000]") is has_mean
    assert (row[table.header.index("PSNR dB")].text == "") is not has_mean
    assert any(note.startswith("other-data-set") for note in table.notes) is not has_mean
    assert any(note.endswith("have no mean") for note in table.notes) is not has_mean


@pytest.mark.parametrize(
    ("qualities", "expected"),
    [
        ([None, (0, 2)], {"": "1.0000", "quality 0": "1.0000", "quality 2": "2.0000"}),
        ([(0, 2), (2,)], {"quality 0": "1.0000", "quality 2": "1.5000 [-4.8531, 7.8531]"}),
        ([(2, 0), (0, 2)], {"quality 0": "1.5000 [-4.8531, 7.8531]", "quality 2": "1.5000 [-4.8531, 7.8531]"}),
    ],
)
def test_points_are_joined_by_quality(
    tmp_path: Path, qualities: list[tuple[float, ...] | None], expected: dict[str, str]
) -> None:
    """Of a run the first point is of 1 bpp, the second of 2."""
    names = write_sweep(tmp_path, SWEEP, effect={"none": 0.0}, seeds=range(2), lmbdas=LMBDAS[:1])
    for name, own in zip(names, qualities, strict=True):
        header = "image,bpp,psnr" if own is None else "image,bpp,psnr,rate"
        ends = [""] if own is None else [f",{quality}" for quality in own]
        rows = [f"a.png,{bpp},30{end}" for bpp, end in enumerate(ends, 1)]
        (tmp_path / name / "eval" / "images.csv").write_text("\n".join([header, *rows, ""]))
    table = by_rate(subject(SWEEP, runs=tmp_path))
    found = {row[1].text.removeprefix(f"criterion.lmbda={LMBDAS[0]}").strip(", "): row for row in table.rows}
    assert {name: row[table.header.index("bpp")].text for name, row in found.items()} == expected


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_single_points_beside_runs_without_a_curve_no_saving_is_drawn(tmp_path: Path, count: int) -> None:
    write_sweep(tmp_path)
    points = [Curve(f"point {number}", {"bpp": [0.5 + number], "psnr": [30.0]}) for number in range(count)]
    of = subject("grid", runs=tmp_path, beside=points)
    alone = dataclasses.replace(of, curves=())
    assert [figure.title for figure in curves(alone, Drawings()).figures] == ["Quality over rate"]
