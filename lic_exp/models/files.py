"""Files of tensors: written whole or not at all, read without believing them."""

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch

from lic_exp.atomic import open_atomically


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to something else; says which."""


def load_safely(path: Path) -> Any:
    """What `torch.save` wrote to `path`, as CPU tensors and plain containers.

    Every part's checksum is compared first, which torch does not do. Nothing in the file is executed. Raises
    CheckpointError for a damaged file, one that would need code to be run, or one that is something else.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged:
                raise CheckpointError(f"{path} is damaged: the checksum of its part {damaged} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        # A truncated file makes torch seek to where there is nothing, which is EINVAL.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path} is damaged, no checkpoint, or holds code that would be run: {reason}") from error


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` that replaces `path` once everything is on disk.

    Raises OSError, naming the file, where it cannot be written; what was there before stays.
    """
    try:
        with open_atomically(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:
        # torch's writer tries to finish its archive after a failed write, and complains of that instead.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        raise OSError(reason.errno, reason.strerror, str(path)) from error
