"""Evaluating a run once more, as somebody asks: on other images, at other rates, or at those that meet a target."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.signing import asked_evaluation_name, evaluation_name
from lic_exp.data.images import ImageError
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.search import Measure, Target
from lic_exp.evaluation.unfinished import DamagedImagesError
from lic_exp.models.files import CheckpointError
from lic_exp.runs.evaluate import asked_folder, evaluate_run
from lic_exp.runs.rate_targets import find_targets, write_targets
from lic_exp.runs.results_place import place_for_results
from lic_exp.runs.run import Run


def reevaluate(
    run: Run,
    *,
    data: str | None,
    folder: Path | None,
    qualities: Sequence[float] | None,
    targets: Sequence[tuple[Measure, float]],
    metrics: Sequence[str] | None = None,
    console: Console,
) -> tuple[Evaluation, Path]:
    """Real bitstreams of the run's best weights, and where the results are.

    data, qualities, metrics: as `evaluate_run` takes them.
    folder: None is the run's own evaluation where nothing else is asked for, and `asked_folder` where there is.

    targets: the qualities are searched that meet these, and targets.json beside the results says which they are.
    Raises ConfigError for weights and images that cannot be read, for results that cannot be written, and where the
    codec cannot do what is asked for, and DamagedImagesError where some of the images could not be read.
    """
    config, found, chosen = run.config, [], folder is not None
    try:
        asked = (data, qualities, metrics) != (None, None, None) or targets
        if folder is None and (asked or run.state != "done"):
            folder = asked_folder(run, config, data, qualities, targets, metrics)
        place = folder or run.evaluation_folder(evaluation_name(config))
        so_far = "" if run.state == "done" else " so far"
        name = asked_evaluation_name(config, data, qualities, targets, metrics)
        of = f"run {run.signature}{so_far}, evaluation {name}"
        with place_for_results(place, of, chosen=chosen, within=run.folder):
            if targets:
                wanted = [Target(measure, value) for measure, value in targets]
                found = find_targets(run, wanted, data=data, console=console)
                qualities = sorted({target.quality for target in found})
            evaluation = evaluate_run(
                run, data=data, folder=folder, qualities=qualities, metrics=metrics, console=console, of=of
            )
    except DamagedImagesError:  # of the others there are results
        raise
    except (CheckpointError, ImageError) as error:
        raise ConfigError([str(error)]) from error
    if found:
        write_targets(place, found)
    return evaluation, place
