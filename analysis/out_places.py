"""Where a command's files go: a place that cannot be one is refused by name."""

from pathlib import Path

from analysis.errors import AnalysisError


def make_folder(folder: Path) -> None:
    """Make a folder for what `--out` names, and those above it.

    Raises AnalysisError where something else is there or above it; what rights and disks refuse is an OSError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        reason = "there is something else, no folder" if isinstance(error, FileExistsError) else error.strerror
        raise AnalysisError(f"--out: the folder {folder} cannot be made: {error.filename}: {reason}") from error
