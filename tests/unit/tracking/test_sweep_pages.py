"""What a sweep's page in a store says of its cells: states, table and curves, from files alone."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lic_exp.manifests import read_sweep
from lic_exp.tracking.mlflow_sweep import sweep_state
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.sweep_cells import CellResult, cell_results, counts_text, curves
from lic_exp.tracking.sweep_page import curve_figure, markdown_table, page

SIZES = {"768 x 512": 18, "512 x 768": 6}
KODAK = {"name": "kodak", "number": 24, "fingerprint": "a" * 16, "sizes": SIZES}


def cell(runs: Path, signature: str, state: str | None, role: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A cell of a manifest, and its run in this state; None: not begun. more: images, mean, points, group, first."""
    if state is not None:
        run = RunFolder(runs / signature)
        run.create()
        run.config.write_text(yaml.safe_dump({"seed": 1}))
        run.update_status(state=state, step=20, best=1.5, finished=1e9)
        if "mean" in more or "points" in more:
            said = {"mean": more.get("mean", {}), "points": more.get("points"), "images": more.get("images", KODAK)}
            (run.eval / "evaluation.json").write_text(json.dumps(said))
    label = ", ".join(f"{key}={value}" for key, value in role.items())
    kept = {key: more[key] for key in ("group", "first") if key in more}
    return {"signature": signature, "label": label, "role": role} | kept


def sweep(runs: Path, cells: list[dict[str, Any]], name: str = "try-1") -> Path:
    folder = runs / ".sweeps" / name
    folder.mkdir(parents=True, exist_ok=True)
    record = {"cells": cells, "experiment": "try", "made": "2026-11-01T10:00:00+00:00", "launched_by": "local"}
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def results(runs: Path, cells: list[dict[str, Any]]) -> list[CellResult]:
    folder = sweep(runs, cells)
    return cell_results(runs, read_sweep(folder / "manifest.json"), folder)


def mean(bpp: float, psnr: float) -> dict[str, float]:
    return {"bpp": bpp, "psnr": psnr}


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["done", "done"], "done"),
        (["done", "running"], "running"),
        (["done", None], "running"),
        (["created", "failed"], "running"),
        (["done", "failed"], "failed"),
        (["diverged", "preempted"], "failed"),
        (["done", "preempted"], "stopped"),
    ],
)
def test_a_sweep_runs_while_one_of_its_cells_does_or_is_still_to_begin(
    tmp_path: Path, states: list[str | None], whole: str
) -> None:
    cells = [cell(tmp_path, f"{i:02d}aa", state, {"seed": i}) for i, state in enumerate(states)]
    found = results(tmp_path, cells)
    assert [one.state for one in found] == [state or "waiting" for state in states]
    assert sweep_state(found) == whole
    assert f"2 cells: {counts_text(found)}" in page(
        "try-1", read_sweep(sweep(tmp_path, cells) / "manifest.json"), found, longest=4000
    )


def test_a_cell_that_screening_leaves_out_is_not_waited_for(tmp_path: Path) -> None:
    first = cell(tmp_path, "aa00", "done", {"seed": 0}, group="a", first=True)
    assert sweep_state(results(tmp_path, [first, cell(tmp_path, "bb00", None, {"seed": 1}, group="a")])) == "done"
    assert sweep_state(
        results(tmp_path, [first, cell(tmp_path, "cc00", None, {"seed": 2}, group="b", first=True)])
    ) == ("running")


def test_a_cell_that_nobody_runs_any_more_is_dead(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "aa00", "running", {"seed": 0})]
    assert results(tmp_path, cells)[0].step is None  # what it was at the last heartbeat would be out of date
    file = RunFolder(tmp_path / "aa00").status_file
    status = json.loads(file.read_text())
    file.write_text(json.dumps(status | {"heartbeat": time.time() - 5000}))
    assert results(tmp_path, cells)[0].state == "dead"
    assert sweep_state(results(tmp_path, cells)) == "failed"


def test_what_changes_in_a_run_that_was_done_is_seen(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "aa00", "done", {"seed": 0}, mean=mean(0.5, 31.0))]
    before = results(tmp_path, cells)
    assert results(tmp_path, cells)[0] is before[0]
    RunFolder(tmp_path / "aa00").update_status(best=1.25)
    assert results(tmp_path, cells)[0].best == 1.25
    (tmp_path / "aa00/eval/evaluation.json").write_text(json.dumps({"mean": mean(0.25, 31.0), "images": KODAK}))
    assert results(tmp_path, cells)[0].evaluated.metrics["eval/bpp"] == 0.25


OF_OTHERS = KODAK | {"fingerprint": "c" * 16}


def evaluated(runs: Path, signature: str, name: str | None, own: str | None = None, **means: float) -> None:
    """Put down an evaluation of a run; name: None is its own, called `own`."""
    run = RunFolder(runs / signature)
    folder = run.eval / name if name else run.eval
    folder.mkdir(parents=True, exist_ok=True)
    said = {"mean": means, "points": None, "images": OF_OTHERS if name else KODAK, "evaluation": name or own}
    (folder / "evaluation.json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("own", "there", "bpp"),
    [("aaaa", "bbbb", 0.75), ("aaaa", None, None), ("bbbb", None, 0.5), (None, None, 0.5), (None, "bbbb", 0.75)],
)
def test_the_evaluation_is_that_which_the_cell_asks_for(
    tmp_path: Path, own: str | None, there: str | None, bpp: float | None
) -> None:
    asking = cell(tmp_path, "aa00", "done", {"seed": 0}) | {"evaluation": "bbbb"}
    evaluated(tmp_path, "aa00", None, own, **mean(0.5, 31.0))
    if there:
        evaluated(tmp_path, "aa00", there, **mean(0.75, 33.0))
    RunFolder(tmp_path / "aa00").update_status(evaluation=own, schema_version=2 if own else 1)
    (found,) = results(tmp_path, [asking])
    assert found.evaluated.metrics.get("eval/bpp") == bpp
    (of_its_own,) = results(tmp_path, [cell(tmp_path, "aa00", "done", {"seed": 0})])
    assert of_its_own.evaluated.metrics["eval/bpp"] == 0.5


def test_an_evaluation_that_comes_later_is_seen(tmp_path: Path) -> None:
    asking = cell(tmp_path, "aa00", "done", {"seed": 0}) | {"evaluation": "bbbb"}
    evaluated(tmp_path, "aa00", None, "aaaa", **mean(0.5, 31.0))
    RunFolder(tmp_path / "aa00").update_status(evaluation="aaaa")
    assert results(tmp_path, [asking])[0].evaluated.metrics == {}
    evaluated(tmp_path, "aa00", "bbbb", **mean(0.75, 33.0))
    assert results(tmp_path, [asking])[0].evaluated.metrics["eval/bpp"] == 0.75


def arms(runs: Path, **changes: Any) -> list[dict[str, Any]]:
    """Two arms at two rates with two seeds."""
    return [
        cell(
            runs,
            f"{arm}{lmbda}{seed}ab".replace(".", ""),
            "done",
            {"spectral_reg": arm, "criterion.lmbda": lmbda, "seed": seed},
            mean=mean(lmbda * 10 + seed, 30 + 100 * lmbda + seed),
            **changes,
        )
        for arm in ("none", "intra")
        for lmbda in (0.02, 0.01)
        for seed in (0, 1)
    ]


def test_curves_are_of_arms_over_rates_and_means_over_seeds(tmp_path: Path) -> None:
    found = curves(results(tmp_path, arms(tmp_path)))
    expected = [pytest.approx((0.6, 31.5)), pytest.approx((0.7, 32.5))]
    assert found == {"spectral_reg=none": expected, "spectral_reg=intra": expected}


def evaluated_cells(runs: Path, roles: list[dict[str, Any]]) -> list[CellResult]:
    return results(runs, [cell(runs, f"{i:02d}cc", "done", role, mean=mean(i + 1, 30)) for i, role in enumerate(roles)])


@pytest.mark.parametrize(
    ("arm", "called"), [({}, [""]), ({"spectral_reg": ("none", "intra")}, ["spectral_reg=none", "spectral_reg=intra"])]
)
def test_sizes_that_go_with_the_rate_make_no_arms(
    tmp_path: Path, arm: dict[str, tuple[str, str]], called: list[str]
) -> None:
    sized = [{"criterion.lmbda": lmbda, "model.N": size} for lmbda, size in ((0.01, 128), (0.02, 192))]
    values = [{key: value} for key, pair in arm.items() for value in pair] or [{}]
    found = curves(evaluated_cells(tmp_path, [value | rate for value in values for rate in sized]))
    assert {name: len(points) for name, points in found.items()} == dict.fromkeys(called, 2)


def test_sizes_beside_the_rate_are_arms(tmp_path: Path) -> None:
    roles = [{"criterion.lmbda": lmbda, "model.N": size} for size in (128, 192) for lmbda in (0.01, 0.02)]
    assert list(curves(evaluated_cells(tmp_path, roles))) == ["model.N=128", "model.N=192"]


def test_the_order_of_keys_makes_no_arms(tmp_path: Path) -> None:
    roles = [{"a": 1, "b": 2, "criterion.lmbda": 0.01}, {"criterion.lmbda": 0.02, "b": 2, "a": 1}]
    others = [{**{key: role[key] for key in reversed(role)}, "a": 3} for role in roles]
    found = curves(evaluated_cells(tmp_path, [*roles, *others]))
    assert {name: len(points) for name, points in found.items()} == {"a=1": 2, "a=3": 2}


def test_a_codec_of_many_rates_is_a_curve_by_itself(tmp_path: Path) -> None:
    points = [{"rate": 1, **mean(0.75, 33.0)}, {"rate": 0, **mean(0.25, 30.0)}]
    cells = results(tmp_path, [cell(tmp_path, f"{i}{i}aa", "done", {"seed": i}, points=points) for i in range(2)])
    assert curves(cells) == {"": [(0.25, 30.0), (0.75, 33.0)]}
    assert markdown_table(cells)[2] == "| seed=0 | done | 20 | 1.5 | 0.2500 to 0.7500 | 30.00 to 33.00 |"


def test_a_picture_has_a_curve_for_each_arm(tmp_path: Path) -> None:
    figure = curve_figure("try-1", results(tmp_path, arms(tmp_path)))
    assert figure is not None
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["spectral_reg=none", "spectral_reg=intra"]


@pytest.mark.parametrize("images", [{}, {"fingerprint": None}, [], "kodak"])
def test_images_that_nobody_knows_are_drawn_by_nobody(tmp_path: Path, images: Any) -> None:
    assert curve_figure("try-1", results(tmp_path, arms(tmp_path, images=images))) is None


def test_unlike_images_are_in_no_common_picture_and_the_page_says_so(tmp_path: Path) -> None:
    cells = arms(tmp_path)
    cells.append(
        cell(tmp_path, "other0ab", "done", {"seed": 9}, mean=mean(1, 30), images=KODAK | {"fingerprint": "b" * 16})
    )
    found = results(tmp_path, cells)
    assert curve_figure("try-1", found) is None
    text = page("try-1", read_sweep(tmp_path / ".sweeps/try-1/manifest.json"), found, longest=4000)
    assert "evaluated on different images, so there is no picture of them all; `python -m analysis rd try-1`" in text


def test_one_point_and_infinite_ones_make_no_picture(tmp_path: Path) -> None:
    one = [cell(tmp_path, "aa00", "done", {"seed": 0}, mean=mean(0.5, 31.0))]
    assert curve_figure("try-1", results(tmp_path, one)) is None
    lossless = [cell(tmp_path, f"{i}b00", "done", {"seed": i}, mean=mean(0.5 + i, math.inf)) for i in range(3)]
    assert curve_figure("try-1", results(tmp_path, lossless)) is None


@pytest.mark.parametrize("longest", [900, 1500, 4000])
def test_rows_without_room_are_counted(tmp_path: Path, longest: int) -> None:
    cells = results(
        tmp_path, [cell(tmp_path, f"{i:04d}", "done", {"trainer.note": "x" * 20, "seed": i}) for i in range(99)]
    )
    text = page("try-1", read_sweep(tmp_path / ".sweeps/try-1/manifest.json"), cells, longest=longest, picture="rd.png")
    shown = text.count("| done |")
    assert len(text) <= longest
    assert 0 < shown < 99
    assert f"and {99 - shown} more, in `cells.md` among the artifacts" in text
    assert "python -m lic_exp status try-1" in text


@pytest.mark.parametrize("value", ["a|b", "<script>", "*bold*", "[link](x)", "back`tick", "tab\there"])
def test_labels_are_shown_as_they_are(tmp_path: Path, value: str) -> None:
    row = markdown_table(results(tmp_path, [cell(tmp_path, "aa00", None, {"name": value})]))[2]
    assert row.replace("\\", "").replace("\\t", "t").startswith("| name=" + value.replace("\t", "t").replace("\\", ""))
    bare = row[2:-2].replace("\\|", "")
    assert bare.count("|") == 5
    assert not any(sign in bare.replace("\\" + sign, "") for sign in "<*[`")


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({}, "waiting"),
        ({"exit": {"pid": 1, "exit_code": 2}}, "refused"),
        ({"exit": {"pid": 1, "exit_code": 1}}, "failed"),
        ({"exit": {"pid": 1, "exit_code": 143}}, "preempted"),
        ({"attempt": {"started": 1.0}}, "waiting"),
        ({"attempt": {"started": 1.0, "ended": 2.0, "exit_code": 2}}, "refused"),
        ({"attempt": {"started": 1.0, "ended": 2.0, "exit_code": -9}}, "failed"),
        ({"attempt": {"started": 1.0, "ended": 2.0, "exit_code": None}}, "failed"),
        ({"attempt": {"started": 1.0, "ended": 2.0, "exit_code": 75}}, "preempted"),
        ({"attempt": {"started": 1.0}, "exit": {"pid": 1, "exit_code": 2}}, "refused"),
        ({"exit": []}, "waiting"),
    ],
)
def test_a_cell_that_ended_without_a_run_folder_waits_for_nothing(
    tmp_path: Path, files: dict[str, Any], state: str
) -> None:
    cells = [cell(tmp_path, "a", "done", {"seed": 0}), cell(tmp_path, "b", None, {"seed": 1})]
    place = sweep(tmp_path, cells) / "cells"
    place.mkdir()
    for suffix, record in files.items():
        (place / f"b.{suffix}").write_text(json.dumps(record))
    found = results(tmp_path, cells)
    assert [one.state for one in found] == ["done", state]
    ends = {"waiting": "running", "preempted": "stopped"}
    assert sweep_state(found) == ends.get(state, "failed")
    cell(tmp_path, "b", "done", {"seed": 1})
    assert [one.state for one in results(tmp_path, cells)] == ["done", "done"]
