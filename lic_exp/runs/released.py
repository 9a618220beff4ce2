"""A released checkpoint, measured as runs are: real bitstreams of somebody else's images."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from lic_exp.config.contents import as_path, file_hash, folder_fingerprint
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_part
from lic_exp.config.signing import digest
from lic_exp.data.images import ImageError
from lic_exp.data.loading import folder_images
from lic_exp.evaluation.conventions import DATA_SET, OPTIMIZED_FOR
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.unfinished import DamagedImagesError, ReadableImages
from lic_exp.models.base import Codec
from lic_exp.naming import file_name
from lic_exp.runs.build import build_codec, made_current, resolve_device
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.results_place import place_for_results


@one_at_a_time("evaluates a released checkpoint", nested=True)
def measure_released(
    checkpoint: Path,
    model: str,
    *,
    weights_key: str | None = None,
    compat: bool,
    data: str,
    folder: Path | None,
    device: str,
    console: Console,
    objective: str | None = None,
) -> tuple[Evaluation, Path]:
    """Code the images in the folder `data` with these weights. Returns what was found, and where its files are.

    folder: where they go; None is `verify/best-1a2b3c4d` and the like, with digits of weights, images and model.
    objective: what they were trained for, where that is known: the results say so. weights_key, compat: as of
    `model`, the latter where the model has it. Raises ConfigError where the weights are not of this model, which must
    have one rate per checkpoint, and where there are no images.
    """
    codec = _codec(checkpoint, model, weights_key=weights_key, compat=compat)
    if codec.facts.variable_rate:
        raise ConfigError([f"{model} serves a range of rates; verify is for models of one rate per checkpoint"])
    try:
        images = folder_images(data)
        content = folder_fingerprint(data, "--data")
        chosen = folder is not None
        own = _folder(checkpoint, model, weights_key, compat, content)
        folder, of = folder or own, f"weights {own.name}"
        on = resolve_device(device)
        with place_for_results(folder, of, chosen=chosen), made_current(on):
            found = evaluate(
                codec,
                ReadableImages(images),
                folder=folder,
                pictures=0,
                device=on,
                progress=console,
                name=checkpoint.name,
                about={"data": (place := os.path.abspath(os.path.expanduser(data))), "fingerprint": content, "of": of}
                | {DATA_SET: Path(place).name, OPTIMIZED_FOR: objective},
            )
        return found, folder
    except DamagedImagesError:
        raise
    except ImageError as error:
        raise ConfigError([f"--data: {error}"]) from error


def _folder(checkpoint: Path, model: str, weights_key: str | None, compat: bool, images: str) -> Path:
    """Two checkpoints of one name, as released ones often are, lie apart; so do two sets of images."""
    place = [] if weights_key is None else [weights_key]
    digits = digest([file_hash(str(checkpoint), "CKPT"), *place, model, compat, images])
    return Path("verify", f"{file_name(checkpoint.stem, otherwise='weights')}-{digits}")


def _codec(checkpoint: Path, model: str, *, weights_key: str | None, compat: bool) -> Codec:
    chosen: dict[str, Any] = {"weights": as_path(checkpoint), "weights_key": weights_key}
    if "compat" in load_part("model", model).model.options:
        chosen["compat"] = compat
    return build_codec(load_part("model", model, options=chosen))
