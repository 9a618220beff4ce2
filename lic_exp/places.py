"""Where the package and its configuration lie. Imports nothing of the package."""

from pathlib import Path

PACKAGE = Path(__file__).parent
"""The folder of this package."""


def conf_folder() -> Path:
    """The configuration: `conf` inside the installed package, or beside it in a checkout."""
    return next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if (path / "config.yaml").is_file())
