"""Evaluating a run once more, as somebody asks: on other images, at other rates, or at those that meet a target."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.data.images import ImageError
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.search import Measure, Target
from lic_exp.models.files import CheckpointError
from lic_exp.runs.evaluate import evaluate_run
from lic_exp.runs.rate_targets import find_targets, write_targets
from lic_exp.runs.run import Run


def reevaluate(
    run: Run,
    *,
    data: str | None,
    folder: Path | None,
    qualities: Sequence[float] | None,
    targets: Sequence[tuple[Measure, float]],
    console: Console,
) -> Evaluation:
    """Real bitstreams of the run's best weights; data, folder, qualities: as `evaluate_run` takes them.

    targets: the qualities are searched that meet these, and targets.json beside the results says which they are.
    Raises ConfigError for weights and images that cannot be read, and where the codec cannot do what is asked for.
    """
    found = []
    try:
        if targets:
            wanted = [Target(measure, value) for measure, value in targets]
            found = find_targets(run, wanted, data=data, console=console)
            qualities = sorted({target.quality for target in found})
        evaluation = evaluate_run(run, data=data, folder=folder, qualities=qualities, console=console)
    except (CheckpointError, ImageError) as error:
        raise ConfigError([str(error)]) from error
    if found and folder is not None:
        write_targets(folder, found)
    return evaluation
