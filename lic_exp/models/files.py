"""Files of tensors: written whole or not at all, read without believing them."""

import errno
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from lic_exp.atomic import open_atomically
from lic_exp.models.file_digest import DigestingFile, is_as_written
from lic_exp.models.file_kinds import DAMAGED, READ_BY_TORCH, SAVE_ANEW, foreign_kind, named_objects
from lic_exp.models.stand_ins import ALLOWED, stand_ins
from lic_exp.places import not_regular
from lic_exp.text import visible

MSDOS_FOLDER = 0x10
"""The attribute by which torch takes a part of an archive for a folder."""

READ_PROTOCOL = 2
"""The pickle protocol that torch.save writes by itself, and torch reads without running anything."""

MOST_NAMED = 5


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to something else; says which."""


def load_safely(path: Path) -> Any:
    """What `torch.save` wrote to `path`, as CPU tensors, plain containers, and stand-ins for other plain data.

    The digest of the whole file is compared first, or of a file without one every part's checksum, which torch does not
    do. Nothing in the file is executed. Raises CheckpointError for a damaged file, one that would need code to be run,
    or one that is something else, and says what.
    """
    try:
        if words := not_regular(path):
            raise CheckpointError(f"{path} {words}")
        whole = is_as_written(path)
        if whole is None and (words := foreign_kind(path)):
            raise CheckpointError(f"{path} {words}")
        if not whole and zipfile.is_zipfile(path):
            _check_parts(path)
        if whole is False:
            raise CheckpointError(f"{path} is damaged: its digest is wrong")
        with _reading_safely():
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        # A truncated file makes torch seek to where there is nothing, which is EINVAL.
        if error.errno in (None, errno.EINVAL):
            raise CheckpointError(f"{path} {DAMAGED}") from error
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise CheckpointError(f"{path} {_why_unreadable(path)}") from error


def _why_unreadable(path: Path) -> str:
    """What to say of a file that torch refuses: its own words advise to run what is in it."""
    names, protocol = named_objects(path)
    unknown = [visible(name) for name in names if name not in ALLOWED and not READ_BY_TORCH.fullmatch(name)]
    if unknown:
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        named = f"{', '.join(unknown[:MOST_NAMED])}{more}"
        return f"holds code that would be run to read it: {named}. Load it where you trust it, and {SAVE_ANEW}"
    if READ_PROTOCOL < protocol <= pickle.HIGHEST_PROTOCOL:
        return f"was saved with pickle_protocol={protocol}, of which not all is read: save it with torch.save's own"
    return DAMAGED


@contextmanager
def _reading_safely() -> Iterator[None]:
    """Inside, torch reads tensors, plain containers and our stand-ins, whatever other packages have allowed it to read.

    Their entries go, because of two for one name torch takes either.
    """
    before = get_safe_globals()
    try:
        clear_safe_globals()
        add_safe_globals(list(stand_ins()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle protocol, which is told where it is what fails
            yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


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
