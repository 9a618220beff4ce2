"""The folder for results: there and writable before anything is coded, and gone again where nothing is."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.records import RecordError, read_record
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE


@contextmanager
def place_for_results(folder: Path, of: str, *, chosen: bool, within: Path | None = None) -> Iterator[None]:
    """Make the folder. Where an error comes out, those that were made for it and are still empty go again.

    of: the evaluation whose results they are, as they will say themselves. chosen: whether the folder was named by
    --out. within: a run folder that must be there, since no part of one that was deleted comes back. Raises ConfigError
    where results could not be written, or where those of another evaluation are.
    """
    made: list[Path] = []
    try:
        if chosen:
            _check_unshared(folder, of)
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


def _check_unshared(folder: Path, of: str) -> None:
    """Raise ConfigError where results lie that are not of this evaluation, or of which nobody knows."""
    try:
        results = read_record(folder / EVALUATION_FILE, EvaluationResults)
    except (FileNotFoundError, NotADirectoryError):
        return
    except RecordError as error:
        raise ConfigError([f"--out={folder} holds results that cannot be read ({error.reason}): {ADVICE}"]) from error
    if results.get("images_changed"):  # which are nobody's
        return
    if (there := results.get("of")) != of:
        whose = f"of {there}" if there else "of an evaluation that does not say whose it is"
        raise ConfigError([f"--out={folder} holds the results {whose}, and these are of {of}: {ADVICE}"])


ADVICE = "name another folder, or remove it"
