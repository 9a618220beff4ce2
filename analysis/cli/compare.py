"""What differs between runs: config, state, last metrics, evaluations."""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from analysis.arguments import RUN_HELP, add_runs_or_store, console, value_text
from analysis.named_runs import load_named
from lic_exp.tracking.sweep_labels import labels_of_runs

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.runs import Runs

FACTS = ("name", "state", "reason", "step", "git_commit", "code", "device")
"""What is said of every run, also where all agree."""

NO_DIFFERENCE = (
    *(
        "signature",
        "folder",
        "name",
        "tags",
        "started",
        "finished",
        "host",
        "attempt",
        "max_steps",
        "git_dirty",
        *("stale", "code_hashes", "code_parts", "measured_as"),
    ),
    *("paths.runs", "lmbda", "evaluation", "interval_speeds_from"),
)
"""What differs between runs without being a difference, or stands there under another name."""

MEASURES = ("bpp", "psnr", "ms_ssim", "ms_ssim_db", "encode_s", "decode_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--metrics", metavar="START", default="val/", help="metrics that begin so (default: val/)")
    add_runs_or_store(parser)


def run(options: argparse.Namespace) -> int:
    runs = load_named(options.names, options.runs)
    out, ids = console(200), list(runs.runs["signature"])
    out.print(_side_by_side("runs and what differs between them", ids, _differences(runs)))
    out.print(_side_by_side("last values", ids, _last_values(runs, options.metrics)))
    if not runs.evaluation.empty:
        out.print(_side_by_side("evaluations, mean over images", ids, _evaluations(runs)))
        for text in _unlike(runs):
            out.print(text, markup=False, highlight=False, soft_wrap=True)
    return 0


def _differences(runs: "Runs") -> dict[str, list[Any]]:
    table = runs.runs
    columns = [str(column) for column in table if column not in NO_DIFFERENCE and column not in FACTS]
    different = [column for column in columns if len({value_text(value) for value in table[column]}) > 1]
    return _labels(runs) | {column: list(table[column]) for column in (*FACTS, *different)}


def _labels(runs: "Runs") -> dict[str, list[Any]]:
    """What their sweeps call them, in a row of its own; no row where they are of none."""
    folders = [Path(str(folder)) for folder in runs.runs["folder"]]
    known = {place: labels_of_runs(place) for place in dict.fromkeys(folder.parent for folder in folders)}
    found = [known[folder.parent].get(folder.name, "") for folder in folders]
    return {"label": found} if any(found) else {}


def _last_values(runs: "Runs", start: str) -> dict[str, list[Any]]:
    final = runs.final()
    return {str(name): list(final[name]) for name in final if str(name).startswith(start)}


def _evaluations(runs: "Runs") -> dict[str, list[Any]]:
    """Means of each set of images, and of each rate of variable-rate codecs."""
    measures = [name for name in MEASURES if name in runs.evaluation]
    table = runs.evaluation.assign(rate=runs.evaluation.get("rate", math.nan))
    found: dict[str, list[Any]] = {}
    for key, rows in table.groupby(["set", "rate"], dropna=False):
        name, rate = cast(tuple[str, float], key)
        title = (name or "its own images") + ("" if math.isnan(rate) else f", quality {rate:g}")
        by_run = rows.groupby("signature")
        own = by_run[measures].mean().reindex(runs.runs["signature"])
        found[f"{title}: images"] = list(by_run.size().reindex(own.index))
        found |= {f"{title}: {measure}": list(own[measure]) for measure in measures}
    return found


def _unlike(runs: "Runs") -> Iterator[str]:
    """What to say of evaluations that stand side by side and are unlike: of other images, or measured otherwise."""
    from analysis.image_points import images_in
    from analysis.measured_alike import UNKNOWN_IMAGES
    from analysis.unlike_evaluations import unlike_evaluations, unlike_images

    for name, rows in runs.evaluation.groupby("set"):
        by_run = {
            str(signature): images_in(part.drop_duplicates("image").sort_values("image"))
            for signature, part in rows.groupby("signature")
        }
        said = str(name) or "its own images"
        for apart in unlike_images(by_run):
            known = "were not" if apart.name != UNKNOWN_IMAGES else "are not known to have been"
            yield f"{apart.name}: {said}: these runs {known} evaluated on the same images"
        for other in unlike_evaluations(runs, by_run, images=str(name)):
            yield f"{other.name}: {said}: {other.text}"


def _side_by_side(title: str, ids: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> "Table":
    from rich.table import Table

    from lic_exp.console import styled

    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for signature in ids:
        table.add_column(styled(signature), justify="right", overflow="fold")
    for name, values in rows.items():
        table.add_row(styled(name), *(styled(value_text(value)) for value in values))
    return table
