"""What is recorded of the images of a run: what they are called, which they are, and how many."""

from pathlib import Path
from typing import Any

from lic_exp.config.schema import DataConfig, RunConfig
from lic_exp.config.signing import data_source, image_sets, images_of


def images_record(config: RunConfig) -> dict[str, dict[str, Any]]:
    """{what messages call them: their name, fingerprint, and the numbers of those that train and validate}.

    The fingerprints are those that the run has its name from.
    """
    found = {}
    fingerprints = images_of[config.signature]
    for key, data in image_sets(config).items():
        source = data_source(data)
        numbers = {"train": sum(len(group.images) for group in source.train()), "val": len(source.val())}
        found[key] = {"name": _called(data), "fingerprint": fingerprints[key], **numbers}
    return found


def _called(data: DataConfig) -> str:
    """By the folders that are trained on, else by the kind of the source."""
    folders = data.options.get("train")
    if isinstance(folders, list | tuple) and folders:
        return ", ".join(Path(str(folder)).name or str(folder) for folder in folders)
    return data.component.schema.code_name if data.component else "images"
