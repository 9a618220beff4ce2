"""What codecs cost: as runs have recorded it of theirs, and as it was published of others (anchors/complexity.json)."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from analysis.named_runs import begun, several_named
from analysis.run_places import Place, given_path, is_store, no_store
from analysis.run_records import COMPLEXITY
from lic_exp.evaluation.published import FOLDER

if TYPE_CHECKING:
    from analysis.runs import Runs

FILE = FOLDER / "complexity.json"
NOT_MODEL = ("model._target_", "model.weights", "model.partial_weights", "model.freeze")
"""Options of a model that do not decide its size."""

TIMES_CAUTION = "encode_ms and decode_ms are not comparable: machines, image sizes and coders differ or are not stated"


@dataclass(frozen=True)
class CodecCost:
    """One codec as one source has it; None where it does not say.

    kind: "run" as runs of ours recorded it, "counted" by running the published code, "quoted" as published.
    """

    codec: str
    kind: str
    parameters: int | None
    kmacs_per_pixel: float | None
    encode_kmacs_per_pixel: float | None
    decode_kmacs_per_pixel: float | None
    encode_ms: float | None
    decode_ms: float | None
    source: str
    note: str


COLUMNS = tuple(field.name for field in fields(CodecCost))


def published_costs(name: str | None = None) -> list[CodecCost]:
    """All published complexities, or those of codecs whose names begin with `name`, whatever the capitals."""
    entries = _published()["entries"]
    return [CodecCost(**entry) for entry in entries if name is None or entry["codec"].lower().startswith(name.lower())]


def sources() -> dict[str, str]:
    """{source of a published complexity: what it is and where}."""
    return {
        name: ", ".join(source[key] for key in ("what", "repo", "commit") if source.get(key))
        for name, source in _published()["sources"].items()
    }


@cache
def _published() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def run_costs(runs: "Runs") -> list[CodecCost]:
    """One entry per distinct model of the runs, with the signatures of its runs as source."""
    models: dict[tuple[str, tuple[float | None, ...]], list[str]] = {}
    for row in runs.runs.to_dict("records"):
        models.setdefault((_model(row), tuple(_number(row[key]) for key in COMPLEXITY)), []).append(row["signature"])
    return [_run_cost(name, numbers, signatures) for (name, numbers), signatures in models.items()]


def _run_cost(name: str, numbers: Sequence[float | None], signatures: Sequence[str]) -> CodecCost:
    """numbers: those that COMPLEXITY names."""
    parameters, *macs = numbers
    total, encode, decode = (None if value is None else value / 1e3 for value in macs)
    return CodecCost(
        codec=name,
        kind="run",
        parameters=None if parameters is None else int(parameters),
        kmacs_per_pixel=total,
        encode_kmacs_per_pixel=encode,
        decode_kmacs_per_pixel=decode,
        encode_ms=None,
        decode_ms=None,
        source=f"run {signatures[0]}" + (f" and {len(signatures) - 1} more" if len(signatures) > 1 else ""),
        note="recorded none: made before runs did, or its codec could not be counted" if total is None else "",
    )


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else value


def _model(row: dict[Any, Any]) -> str:
    """MeanScaleHyperprior(M=320, N=192): a run's component with the options that make its size."""
    options = {key.removeprefix("model."): value for key, value in sorted(row.items()) if _sizes(key, value)}
    return f"{row.get('model')}({', '.join(f'{key}={value}' for key, value in options.items())})"


def _sizes(key: str, value: Any) -> bool:
    absent = isinstance(value, float) and math.isnan(value)
    return key.startswith("model.") and key not in NOT_MODEL and not absent


def find_costs(names: Sequence[str], runs_folder: str | None = None) -> list[CodecCost]:
    """Of each name the published complexities, or else those of the run or folder of runs that it means.

    names: none of them means all runs in `runs_folder` and all published ones.
    runs_folder: None is "runs", which need not be there where no run is named.
    Raises AnalysisError for a name that is neither, and for a folder without runs.
    """
    for name in names:
        given_path(name, "the name of a codec or run")
    if names:
        return [cost for name in names for cost in published_costs(name) or _named_costs(name, runs_folder)]
    if runs_folder is None and not any(Path("runs").glob("*/config.yaml")):
        return published_costs()
    return _costs_of(runs_folder or "runs") + published_costs()


def _named_costs(name: str, runs_folder: str | None) -> list[CodecCost]:
    if is_store(name) or (Path(name).is_dir() and not (Path(name) / "manifest.json").is_file()):
        return _costs_of(name)
    no_store(runs_folder or "runs", "complexities")
    try:
        found = several_named(name, runs_folder or "runs")
    except AnalysisError as error:
        known = ", ".join(dict.fromkeys(cost.codec for cost in published_costs()))
        raise AnalysisError(f"{error}; nor is {name} one of the published: {known}") from error
    return _costs_of(dict.fromkeys(run.folder for one in found for run in begun(one)))


def _costs_of(places: Place | Iterable[Place]) -> list[CodecCost]:
    from analysis.runs import load_runs

    return run_costs(load_runs(places))
