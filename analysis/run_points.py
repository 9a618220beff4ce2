"""The rate-distortion points of one run's evaluation, with what is to be known of them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.arms import config_of
from analysis.curve_files import CHOSEN, MADE_BY, NAMES, NOTES, OF_RUNS, SEEDED, STEPS, TRAINED, Curve, read_curve
from analysis.errors import AnalysisError
from analysis.made_by import made_in
from analysis.measured_alike import images_of
from analysis.named_runs import NamedRun
from lic_exp.comparability import optimized_for
from lic_exp.component_schema import ComponentError, describe
from lic_exp.config.stored import todays_keys
from lic_exp.flat import flatten
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import RecordError, read_record
from lic_exp.text import shortened, visible
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder
from lic_exp.tracking.tables import TRAINS, VALIDATES, parse_table

SO_FAR = " so far"
"""After the run that an evaluation is `of`, where it was not trained to its end."""

POINT = "rd_point.json"
"""The file of an evaluation that has its points."""

EVALUATED = f"eval/{POINT}"
"""The same of a run's own evaluation."""


def evaluation_of(run: NamedRun) -> Path | None:
    """The folder of the evaluation that is meant; None where there is none yet. Raises AnalysisError for several."""
    own = run.folder / "eval"
    if run.images:
        return _evaluation_on(run.images, own)
    if run.evaluation is None or _evaluation_name(own) in (run.evaluation, None):
        return own if (own / POINT).is_file() else None
    other = own / run.evaluation
    return other if (other / POINT).is_file() else None


def _evaluation_on(images: str, own: Path) -> Path | None:
    """The evaluation on images of this name, or beginning of one: the run's own, or one that `eval` was asked for."""
    folders = {"": own} | {path.parent.name: path.parent for path in sorted(own.glob(f"*/{POINT}"))}
    there = {name: folder for name, folder in folders.items() if (folder / POINT).is_file()}
    called = {_images_name(folder) if folder == own else name: folder for name, folder in there.items()}
    try:
        found = unique_match(images, called)
    except AmbiguousNameError as error:
        raise AnalysisError(f"{own}: {error}: give more of the name") from error
    return None if found is None else called[found]


def _images_name(folder: Path) -> str:
    """What an evaluation calls its images; "" where it does not say."""
    found = images_of(read_curve(folder / POINT))
    return found.name if found is not None else ""


def _evaluation_name(folder: Path) -> str | None:
    try:
        return read_record(folder / EVALUATION_FILE, EvaluationResults).get("evaluation")
    except (FileNotFoundError, RecordError):
        return None


def curve_of_run(run: NamedRun) -> Curve | None:
    """The points of a run's evaluation, with what is to be known of them; None where there is none."""
    folder = evaluation_of(run)
    if folder is None:
        return None
    name = run.label or run.signature
    curve = read_curve(folder / POINT, shortened(visible(name), 100))
    files = RunFolder(run.folder)
    about, rows = dict(curve.about), None
    if files.config.is_file():
        config, rows = config_of(run), _images(folder)
        about = _former(config, rows) | about | {OF_RUNS: (folder,)} | _made_how(run, config, rows)
    if files.status_file.is_file():
        about |= {MADE_BY: (made_in(files, folder),)}
    rows = _images(folder) if rows is None else rows
    notes = [*_run_notes(run, folder), *_trained_on(name, rows), *_edited(curve, rows)]
    return replace(curve, about=about | ({NOTES: tuple(notes)} if notes else {}))


def _former(config: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What evaluations of former versions did not say of themselves, as far as the run's files tell it."""
    found: dict[str, Any] = {}
    keys = flatten(todays_keys(config))
    with suppress(ComponentError):
        found["optimized_for"] = optimized_for(describe(keys.get("criterion._target_", "")).code_name)
    if weights := keys.get("trainer.eval_weights"):
        found["conventions"] = {"weights": weights}
    images = {(row["image"], f"{row['width']} x {row['height']}") for row in rows if "height" in row}
    sizes = Counter(size for _, size in images)
    if not images:
        return found
    return found | {"images": {"number": len(images), "sizes": dict(sizes), NAMES: sorted(name for name, _ in images)}}


def _made_how(run: NamedRun, config: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """By which config, for how many steps, on which seed; how many of the images validated too, where that is known."""
    step, seed = RunFolder(run.folder).status_if_whole().get("step"), config.get("seed")
    chosen = {row["image"] for row in rows if row.get(VALIDATES) == "True"}
    found: dict[str, Any] = {STEPS: (step,) if step else (), SEEDED: () if seed is None else (seed,)}
    found |= {CHOSEN: len(chosen), TRAINED: config}
    return {key: value for key, value in found.items() if value}


def _images(folder: Path) -> list[dict[str, str]]:
    """The rows of an evaluation's table by column; none where it cannot be read."""
    try:
        header, *rows = parse_table("images.csv", (folder / "images.csv").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [dict(zip(header, row, strict=True)) for row in rows]


def _run_notes(run: NamedRun, folder: Path) -> Iterator[str]:
    """What makes a run's points doubtful, whatever they are compared with."""
    name = run.label or run.signature
    status = RunFolder(run.folder).status_if_whole()
    state = status.get("state", "done")
    if state != "done":
        yield f"unfinished: {name} is {state}, and its points are of weights so far"
    try:
        results = read_record(folder / EVALUATION_FILE, EvaluationResults)
    except (FileNotFoundError, RecordError):
        return
    if _is_former(run, folder, status, results):
        yield f"former-weights: {name}: its evaluation is of an earlier training of it, or did not come to its end"
    elif (results.get("of") or "").partition(",")[0] == f"run {run.signature}{SO_FAR}" and state == "done":
        yield f"former-weights: {name}: its evaluation is of the weights so far, and it has been trained on since"
    if results.get("exact") is False:
        yield f"not-exact: {name}: on {len(results.get('mismatches', ()))} images decoder and encoder disagree"
    if changed := results.get("images_changed"):
        yield f"images-changed: {name}: {len(changed)} images changed while they were evaluated"


def _edited(curve: Curve, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Whether the points are other than the means of the images beside them: somebody has changed one of the two."""
    by_rate: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if not row.get("bpp") or not row.get("psnr"):
            return
        by_rate.setdefault(row.get("rate", ""), []).append((float(row["bpp"]), float(row["psnr"])))
    means = sorted(tuple(sum(column) / len(own) for column in zip(*own, strict=True)) for own in by_rate.values())
    points = sorted(zip(curve.results["bpp"], curve.results.get("psnr", ()), strict=False))
    if not means or not points:
        return
    if len(means) != len(points):
        yield f"not-its-images: {curve.name}: {POINT} has {len(points)} points, and images.csv beside it {len(means)}"
    elif apart := [one for one in zip(points, means, strict=True) if not _are_close(*one)]:
        (bpp, psnr), (rate, quality) = apart[0]
        said = f"{bpp:.4f} bpp at {psnr:.3f} dB, and images.csv beside it {rate:.4f} at {quality:.3f}"
        yield f"not-its-images: {curve.name}: {POINT} has {said}"


def _are_close(point: Sequence[float], mean: Sequence[float]) -> bool:
    return all(math.isclose(*pair, rel_tol=1e-4) for pair in zip(point, mean, strict=True))


def _trained_on(name: str, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What is to be said of images that the run was trained on."""
    known = {row["image"]: row.get(TRAINS) == "True" for row in rows}
    if count := sum(known.values()):
        yield f"trained-on-these: {name}: it was trained on {count} of the {len(known)} images that it is evaluated on"


def _is_former(run: NamedRun, folder: Path, status: Mapping[str, Any], results: EvaluationResults) -> bool:
    """Whether an evaluation counts as none of the run: no longer, or not yet.

    One that a training is made with has a name; one that `eval` was asked for has none, and none is of schema 1.
    """
    if results.get("former"):
        return True
    named = folder == run.folder / "eval" or folder.name == run.evaluation
    return named and status.get("schema_version", 0) >= 2 and not results.get("evaluation")
