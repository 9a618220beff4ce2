"""What a run's own evaluation found, as metrics for the stores: rate and quality of the finished codec. No torch."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lic_exp.picture_metrics import is_further
from lic_exp.records import RecordError, read_record
from lic_exp.tracking import names
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, EVALUATION_KEY, SPECIAL, RunFolder

METRICS = {
    "bpp": names.EVAL_BPP,
    "bpp_estimated": names.EVAL_BPP_ESTIMATED,
    "psnr": names.EVAL_PSNR,
    "ms_ssim": names.EVAL_MS_SSIM,
    "ms_ssim_db": names.EVAL_MS_SSIM_DB,
}
"""{mean of an evaluation: its metric}"""


@dataclass(frozen=True)
class Evaluated:
    """A run's own evaluation. points: (quality, {metric: mean over images}); of a codec with one rate None and them.

    images: which they are (`lic_exp.image_identity.identity`), {} where that is not on record.
    """

    points: Sequence[tuple[float | None, Mapping[str, float]]] = ()
    images: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """{metric: mean over images}; of a variable-rate codec by quality (`at_quality`)."""
        return {
            name if rate is None else names.at_quality(name, rate): value
            for rate, means in self.points
            for name, value in means.items()
        }


def own_evaluation(run: RunFolder, name: str | None = None) -> Evaluated:
    """What is known of it. name: of another evaluation of the same training; None: the run's own.

    Nothing where it has none, or one that is damaged; where the run is not done, whose evaluation may be of an earlier
    training; and where it counts as none of the run. What was not measured is left out.
    """
    status = run.status_if_whole()
    if status.get("state") != "done":
        return Evaluated()
    try:
        found = read_record(_place(run, status, name), EvaluationResults)
    except (FileNotFoundError, NotADirectoryError, RecordError):
        return Evaluated()
    if name and found.get("evaluation") not in (None, name):
        return Evaluated()
    if status.get("schema_version", 0) >= 2 and not found.get("evaluation"):
        return Evaluated()
    said = found.get("images")
    images = said if isinstance(said, dict) else {}
    points = found.get("points") or []
    if not points:
        return Evaluated([(None, dict(_means(found.get("mean", {}))))], images)
    rated = [point for point in points if isinstance(point.get("rate"), int | float)]
    return Evaluated([(float(point["rate"]), dict(_means(point))) for point in rated], images)


def _place(run: RunFolder, status: Mapping[str, Any], name: str | None) -> Path:
    """The file of an evaluation. That of a run whose own has no name (schema 1) is taken for any."""
    own, other = status.get(EVALUATION_KEY), named_file(run, name)
    return other if name not in (None, own) and (own or other.is_file()) else named_file(run, None)


def named_file(run: RunFolder, name: str | None) -> Path:
    """The file of an evaluation that is not the run's own; None: of its own."""
    return (run.eval / name if name else run.eval) / EVALUATION_FILE


def evaluation_metrics(run: RunFolder) -> dict[str, float]:
    """The metrics of a run's own evaluation, {} where it has none."""
    return own_evaluation(run).metrics


def evaluation_entry(run: RunFolder, last_step: int) -> dict[str, Any]:
    """The same as a line of `metrics.jsonl` would have them: of the run's last step, when it finished.

    last_step: of a run whose status does not say.
    """
    status = run.status_if_whole()
    at = {"step": status.get("step") or last_step, "time": status.get("finished") or time.time()}
    return at | evaluation_metrics(run)


def _means(mean: Mapping[str, Any]) -> list[tuple[str, float]]:
    called = METRICS | {key: names.eval_metric(key) for key in mean if key not in METRICS and is_further(key)}
    values = {name: SPECIAL.get(str(mean[key]), mean[key]) for key, name in called.items() if _is_said(mean.get(key))}
    return [(name, float(value)) for name, value in values.items() if not math.isnan(value)]


def _is_said(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (
        isinstance(value, str) and value in SPECIAL
    )
