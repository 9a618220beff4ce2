"""What a run's own evaluation found, as metrics for the stores: rate and quality of the finished codec. No torch."""

import math
from collections.abc import Mapping
from typing import Any

from lic_exp.picture_metrics import is_further
from lic_exp.records import RecordError, read_record
from lic_exp.tracking import names
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, SPECIAL, RunFolder

METRICS = {
    "bpp": names.EVAL_BPP,
    "bpp_estimated": names.EVAL_BPP_ESTIMATED,
    "psnr": names.EVAL_PSNR,
    "ms_ssim": names.EVAL_MS_SSIM,
    "ms_ssim_db": names.EVAL_MS_SSIM_DB,
}
"""{mean of an evaluation: its metric}"""


def evaluation_metrics(run: RunFolder) -> dict[str, float]:
    """{metric: mean over images} of the run's own evaluation; of a variable-rate codec by quality (`at_quality`).

    {} where it has none, or one that is damaged; where the run is not done, whose evaluation may be of an earlier
    training; and where it counts as none of the run. What was not measured is left out.
    """
    status = run.status_if_whole()
    if status.get("state") != "done":
        return {}
    try:
        found = read_record(run.eval / EVALUATION_FILE, EvaluationResults)
    except (FileNotFoundError, NotADirectoryError, RecordError):
        return {}
    if status.get("schema_version", 0) >= 2 and not found.get("evaluation"):
        return {}
    points = found.get("points") or []
    if not points:
        return dict(_means(found.get("mean", {})))
    return {
        names.at_quality(name, float(point["rate"])): value
        for point in points
        if isinstance(point.get("rate"), int | float)
        for name, value in _means(point)
    }


def _means(mean: Mapping[str, Any]) -> list[tuple[str, float]]:
    called = METRICS | {key: names.eval_metric(key) for key in mean if key not in METRICS and is_further(key)}
    values = {name: SPECIAL.get(str(mean[key]), mean[key]) for key, name in called.items() if _is_said(mean.get(key))}
    return [(name, float(value)) for name, value in values.items() if not math.isnan(value)]


def _is_said(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (
        isinstance(value, str) and value in SPECIAL
    )
