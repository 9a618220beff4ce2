"""The qualities of a variable-rate run that meet given rates or distortions."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lic_exp.atomic import write_json
from lic_exp.config.errors import ConfigError
from lic_exp.evaluation.search import TOLERANCE_BPP, TOLERANCE_PSNR, Found, OutOfReachError, Target, search
from lic_exp.runs import build as building
from lic_exp.runs.evaluate import evaluation_images, load_codec
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.run import Run
from lic_exp.training.variable_rate import VariableRate

UNITS = {"bpp": "bpp", "psnr": "dB"}
TOLERANCES = {"bpp": f"{100 * TOLERANCE_BPP:g} %", "psnr": f"{TOLERANCE_PSNR:g} dB"}


@one_at_a_time("evaluates a run", nested=True)
def find_targets(run: Run, targets: Sequence[Target], *, data: str | None, console: Console) -> list[Found]:
    """Search each target on the run's best weights and images, those of `data` where given; say what was found.

    Raises ConfigError for a codec with one rate, and where a target is out of reach.
    """
    config = run.config
    criterion = building.build_criterion(config)
    if not isinstance(criterion, VariableRate):
        text = f"run {run.signature}: its model has one rate, which cannot be made to meet a target"
        raise ConfigError(f"--target-{target.measure}: {text}" for target in targets)
    device = building.resolve_device(config.trainer.device)
    codec, images = load_codec(run, device), evaluation_images(config, data, run)
    found, errors = [], []
    for target in targets:
        try:
            with building.made_current(device):
                found.append(search(codec, images, target, criterion.range_of(codec), device))
            console.print(_sentence(found[-1]), highlight=False, markup=False, soft_wrap=True)
        except OutOfReachError as error:
            errors.append(f"--target-{target.measure}: {error}")
    if errors:
        raise ConfigError(errors)
    return found


def write_targets(folder: Path, found: Sequence[Found]) -> None:
    """Write targets.json: what was asked for, the quality found, and what it reaches."""
    rows = [
        {
            "measure": one.target.measure,
            "target": one.target.value,
            "quality": one.quality,
            "reached": one.reached,
            "within_tolerance": one.met,
            "tolerance": TOLERANCES[one.target.measure],
        }
        for one in found
    ]
    write_json(folder / "targets.json", rows)


def _sentence(found: Found) -> str:
    unit, tolerance = UNITS[found.target.measure], TOLERANCES[found.target.measure]
    text = f"target {found.target.value:g} {unit}: quality {found.quality:g} gives {found.reached:.4f} {unit}"
    if found.met:
        return f"{text}, within {tolerance}"
    return f"{text}; no quality comes within {tolerance}, since the codec jumps there"
