"""The folder for results: there and writable before anything is coded, and gone again where nothing is."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lic_exp.config.errors import ConfigError


@contextmanager
def place_for_results(folder: Path, *, chosen: bool, within: Path | None = None) -> Iterator[None]:
    """Make the folder. Where an error comes out, those that were made for it and are still empty go again.

    chosen: whether it was named by --out. within: a run folder that must be there, since no part of one that was
    deleted comes back. Raises ConfigError where results could not be written.
    """
    made: list[Path] = []
    try:
        try:
            for path in reversed([folder, *folder.parents]):
                if not path.is_dir() and not (within and within.is_relative_to(path)):
                    path.mkdir()
                    made.append(path)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            if chosen:
                raise ConfigError([f"--out={folder} cannot be written: {reason}; name a folder"]) from error
            raise ConfigError([f"{folder} cannot be written: {reason}; --out names another folder"]) from error
        yield
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise
