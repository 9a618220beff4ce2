"""What the files and folders hold that a config names: the name of a run is of their content, wherever they lie."""

from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import with_message
from lic_exp.data.fingerprints import file_sha256, fingerprint
from lic_exp.data.images import list_images
from lic_exp.data.unchanged import remembered
from lic_exp.places import not_regular


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
