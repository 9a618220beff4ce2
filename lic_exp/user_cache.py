"""Where this package keeps what can be made again at any time."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of this package in the user's cache folder. Raises RuntimeError where the user has no home."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen if os.path.isabs(chosen) else Path.home() / ".cache", "lic_exp")
