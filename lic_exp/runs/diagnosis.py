"""The diagnosis of a run's best weights, on images of its own evaluation or others."""

import os
from pathlib import Path

from lic_exp.config.contents import folder_fingerprint
from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import with_message
from lic_exp.data.images import ImageError
from lic_exp.evaluation.diagnosis import check_diagnosable, diagnose
from lic_exp.evaluation.diagnosis_files import Diagnosis
from lic_exp.models.files import CheckpointError
from lic_exp.naming import file_name
from lic_exp.runs import build as building
from lic_exp.runs.code_hash import evaluated_by
from lic_exp.runs.diagnosing import diagnosis_rates
from lic_exp.runs.evaluate import evaluation_images, load_codec
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.run import Run

DIGITS = 8


@one_at_a_time("diagnoses a run", nested=True)
def diagnose_run(run: Run, *, data: str | None, images: int) -> tuple[Diagnosis, Path]:
    """The diagnosis of the run's best weights, and its file in the run folder.

    data: a folder of images; None: those that the run evaluates on. images: so many of the first.
    Raises ConfigError for weights and images that cannot be read, and for a codec that cannot be diagnosed.
    """
    config = run.config
    try:
        device = building.resolve_device(config.trainer.device)
        codec = load_codec(run, device)
        with_message(f"run {run.signature}", check_diagnosable, codec)
        photos = evaluation_images(config, data, run)[:images]
        rates = diagnosis_rates(building.build_criterion(config), codec)
        folder = None if data is None else os.path.abspath(os.path.expanduser(data))
        code = evaluated_by(run.status)
        with building.made_current(device):
            found = diagnose(codec, photos, rates, device, step=None, code=code, data=folder)
    except (CheckpointError, ImageError) as error:
        raise ConfigError([str(error)]) from error
    path = run.files.diagnosis / f"{_name(data)}.npz"
    run.files.make(path.parent)
    found.write(path)
    return found, path


def _name(data: str | None) -> str:
    """`best`, and of other images `best_kodak-1a2b3c4d`."""
    if data is None:
        return "best"
    words = file_name(Path(os.path.abspath(os.path.expanduser(data))).name, otherwise="images")
    return f"best_{words}-{folder_fingerprint(data, '--data')[:DIGITS]}"
