"""The rate-distortion points of one run's evaluation, with what is to be known of them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from analysis.arms import config_of
from analysis.curve_files import MADE_BY, NOTES, OF_RUNS, Curve, read_curve
from analysis.made_by import made_in
from analysis.named_runs import NamedRun
from lic_exp.comparability import optimized_for
from lic_exp.component_schema import ComponentError, describe
from lic_exp.flat import flatten
from lic_exp.records import RecordError, read_record
from lic_exp.text import shortened, visible
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder
from lic_exp.tracking.tables import parse_table

POINT = "rd_point.json"
"""The file of an evaluation that has its points."""

EVALUATED = f"eval/{POINT}"
"""The same of a run's own evaluation."""


def evaluation_of(run: NamedRun) -> Path | None:
    """The folder of the evaluation that is meant; None where there is none yet."""
    own = run.folder / "eval"
    if run.evaluation is None or _evaluation_name(own) in (run.evaluation, None):
        return own if (own / POINT).is_file() else None
    other = own / run.evaluation
    return other if (other / POINT).is_file() else None


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
    about = dict(curve.about)
    if files.config.is_file():
        about |= {key: value for key, value in _former(run, folder).items() if key not in about}
        about |= {OF_RUNS: (folder,)}
    if files.status_file.is_file():
        about |= {MADE_BY: (made_in(files),)}
    notes = list(_run_notes(run, folder))
    return Curve(curve.name, curve.results, curve.description, about | ({NOTES: tuple(notes)} if notes else {}))


def _former(run: NamedRun, folder: Path) -> dict[str, Any]:
    """What evaluations of former versions did not say of themselves, as far as the run's files tell it."""
    found: dict[str, Any] = {}
    config = flatten(config_of(run))
    with suppress(ComponentError):
        found["optimized_for"] = optimized_for(describe(config.get("criterion._target_", "")).code_name)
    if weights := config.get("trainer.eval_weights", config.get("trainer.judged_weights")):
        found["conventions"] = {"weights": weights}
    try:
        header, *rows = parse_table("images.csv", (folder / "images.csv").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return found
    if not {"height", "width"} <= set(header):
        return found
    images = {tuple(row[header.index(key)] for key in ("image", "width", "height")) for row in rows}
    sizes: dict[str, int] = {}
    for _, width, height in images:
        sizes[f"{width} x {height}"] = sizes.get(f"{width} x {height}", 0) + 1
    return found | {"images": {"number": len(images), "sizes": sizes}}


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
    if results.get("exact") is False:
        yield f"not-exact: {name}: on {len(results.get('mismatches', ()))} images decoder and encoder disagree"
    if changed := results.get("images_changed"):
        yield f"images-changed: {name}: {len(changed)} images changed while they were evaluated"
