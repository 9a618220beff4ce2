"""Files of tensors: written whole or not at all, read without believing them."""

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch

from lic_exp.atomic import open_atomically
from lic_exp.models.file_digest import DigestingFile, is_as_written

MSDOS_FOLDER = 0x10
"""The attribute by which torch takes a part of an archive for a folder."""


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to something else; says which."""


def load_safely(path: Path) -> Any:
    """What `torch.save` wrote to `path`, as CPU tensors and plain containers.

    The digest of the whole file is compared first, or of a file without one every part's checksum, which torch does not
    do. Nothing in the file is executed. Raises CheckpointError for a damaged file, one that would need code to be run,
    or one that is something else.
    """
    try:
        whole = is_as_written(path)
        if not whole and zipfile.is_zipfile(path):
            _check_parts(path)
        if whole is False:
            raise CheckpointError(f"{path} is damaged: its digest is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        # A truncated file makes torch seek to where there is nothing, which is EINVAL.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path} is damaged, no checkpoint, or holds code that would be run: {reason}") from error


def _check_parts(path: Path) -> None:
    """Raise CheckpointError where a part of the archive is damaged, or torch would pass it over in silence."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        folders = [part.filename for part in archive.infolist() if part.external_attr & MSDOS_FOLDER]
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of its part {damaged} is wrong")
    if folders:
        raise CheckpointError(f"{path} is damaged: its part {folders[0]} is marked as a folder")


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` that replaces `path` once everything is on disk, with a digest of the whole file at its end.

    Raises OSError, naming the file, where it cannot be written; what was there before stays.
    """
    try:
        with open_atomically(path) as file:
            digesting = DigestingFile(file)
            torch.save(content, digesting)  # type: ignore[arg-type] # it asks for no more than `write`
            digesting.close_archive()
    except (OSError, RuntimeError) as error:
        # torch's writer tries to finish its archive after a failed write, and complains of that instead.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        raise OSError(reason.errno, reason.strerror, str(path)) from error
