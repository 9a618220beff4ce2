"""Which images a config evaluates a finished codec on. Imports no torch."""

from collections.abc import Sequence

from lic_exp.config.instantiation import with_message
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import data_source
from lic_exp.data.images import SourceImage, list_images
from lic_exp.data.sources import held_out


def separate_images(config: RunConfig) -> Sequence[SourceImage]:
    """Images that do not validate: those in `evaluation.data`, or else the test images of the data; none where the
    validation images are evaluated.

    Raises ConfigError where there is no such data, ImageError where the folder cannot be used.
    """
    folder = config.evaluation.data
    if folder is not None:
        return list_images(folder)
    source = data_source(config.data)
    return with_message("data", lambda: held_out(source))
