"""Where the package and its configuration lie, and what lies at a path. Imports nothing of the package."""

import stat
from pathlib import Path

PACKAGE = Path(__file__).parent
"""The folder of this package."""


def conf_folder() -> Path:
    """The configuration: `conf` inside the installed package, or beside it in a checkout."""
    return next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if (path / "config.yaml").is_file())


def not_regular(path: Path) -> str | None:
    """What a path is that is no regular file: opening it might wait for ever. None for a file.

    Raises OSError where there is nothing.
    """
    mode = path.stat().st_mode
    return next((words for is_such, words in NOT_REGULAR if is_such(mode)), None)


NOT_REGULAR = (
    (stat.S_ISDIR, "is a folder; name a file in it"),
    (stat.S_ISFIFO, "is a pipe; name a file"),
    (stat.S_ISSOCK, "is a socket; name a file"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "is a device; name a file"),
)
