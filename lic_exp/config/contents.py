"""What the files and folders hold that a config names: the name of a run is of their content, wherever they lie."""

import logging
import os
from pathlib import Path

from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.instantiation import with_message
from lic_exp.data.fingerprints import file_sha256, fingerprint
from lic_exp.data.images import list_images
from lic_exp.data.unchanged import remembered
from lic_exp.places import not_regular
from lic_exp.pretrained.catalogue import Card, card, names, weights_of

log = logging.getLogger("lic_exp.config")

_said: set[str] = set()
"""Names that a file has, too, which a process says once."""


def folder_fingerprint(folder: str, key: str = "evaluation.data") -> str:
    """Content of an evaluation folder, wherever it lies. Raises ConfigError naming the key that it was given by."""
    found: str = remembered(
        ("folder fingerprint", folder), lambda: with_message(key, lambda: fingerprint(list_images(folder)))
    )
    return found


def file_hash(path: str, key: str) -> str:
    """SHA-256 of a file. Raises ConfigError naming the config key where it cannot be read, or is none."""
    file = Path(path).expanduser()
    try:
        words = not_regular(file)
        if not words:
            return file_sha256(file)
    except (OSError, ValueError) as error:  # a path may hold what none can
        raise ConfigError([f"{key}={path}: {getattr(error, 'strerror', None) or error}"]) from error
    raise ConfigError([f"{key}={path} {words}"])


def pretrained_card(name: str) -> Card:
    """What is known of the pretrained codec of this name. Raises ConfigError where there is none."""
    if name not in names():
        hint = did_you_mean(name, names())
        raise ConfigError([f"there is no pretrained codec {name}.{hint} Pretrained: {', '.join(names())}"])
    return with_message(f"pretrained codec {name}", card, name)


def weights_hash(weights: str) -> str:
    """SHA-256 of the file that `model.weights` names. Raises ConfigError as `weights_file`, and as `file_hash`."""
    return file_hash(weights_file(weights), "model.weights")


def weights_file(weights: str) -> str:
    """The path of what `model.weights` names: of a pretrained codec's weights by its name, else as it is given.

    A name is the codec's, whatever lies in the folder; ./NAME is a path. Raises ConfigError for a name of nothing, and
    for a pretrained codec's file that is not what was shipped.
    """
    if weights in names():
        if os.path.lexists(weights) and weights not in _said:
            _said.add(weights)
            log.warning("model.weights=%s is the pretrained codec's; the file here is ./%s", weights, weights)
        return str(with_message(f"model.weights={weights}", weights_of, weights))
    if os.sep not in weights and not os.path.lexists(os.path.expanduser(weights)):
        hint = did_you_mean(weights, names()) or f" Pretrained: {', '.join(names())}."
        raise ConfigError([f"model.weights={weights}: No such file or directory.{hint}"])
    return weights


def as_path(path: Path) -> str:
    """How `model.weights` names the file at a path, which may look like the name of a pretrained codec."""
    return os.path.join(".", path) if str(path) in names() else str(path)


def said_of_weights(weights: str) -> str:
    """How messages name them: of a pretrained codec's the model that they are of."""
    of = f"={weights}, which is of model={card(weights)['model']}" if weights in names() else ""
    return f"model.weights{of}"
