"""Room for decoded photos on a disk: how much they take together, and which of them go first. Imports no torch."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lic_exp.text import size_text

LEFT_FREE = 2 * 10**9
"""Bytes of the disk that are left to everything else."""

WAIT_S = 10.0
"""How long another process's search for room is waited for."""

ABANDONED_AFTER_S = 3600.0
"""So old, a file that was never finished is nobody's."""

UNFINISHED = ".unfinished"
"""How the name of a file ends that is being written."""

CONTENT_BYTES = 32
"""With so many bytes begins a file that points to pixels: their name."""

_AT_ONCE = 16
"""Parts of the room left of which a process takes one before it counts anew: so many may fill the store together."""


class NoRoomError(Exception):
    """Nothing more may be kept; the message says why."""


class _Stored(NamedTuple):
    """A file of the store: when it was last used [Unix s], its bytes, and where it is."""

    used: float
    size: int
    path: str


def make_room(folder: Path, size: int, *, most: int, spared_since: float) -> int:
    """The bytes, `size` at least, that may be written before this is asked again.

    most: bytes of all photos. spared_since: what was used later is not removed [Unix s].
    Raises NoRoomError, OSError, and NotImplementedError where a disk knows no locks.
    """
    from filelock import FileLock

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=WAIT_S):
        stored = sorted(_stored(folder / "photos"))
        room = most - sum(one.size for one in stored)
        on_disk = shutil.disk_usage(folder).free - LEFT_FREE
        if min(room, on_disk) < size:
            removable = [one for one in stored if one.used < spared_since]
            removed = _remove(folder, removable, max(size, most // 8) - min(room, on_disk))
            room, on_disk = room + removed, on_disk + removed
    if on_disk < size:
        raise NoRoomError(f"less than {size_text(LEFT_FREE)} of its disk would be left")
    if room < size:
        raise NoRoomError(f"data.store_mb={most // 10**6} is full of what is being read")
    return max(size, min(room, on_disk) // _AT_ONCE)


def _remove(folder: Path, stored: list[_Stored], wanted: int) -> int:
    """Remove so many bytes, the first first, or all; how many were. What points to removed pixels goes too."""
    removed = 0
    for one in stored:
        if removed >= wanted:
            break
        with suppress(OSError):
            os.unlink(one.path)
            removed += one.size
    if removed:
        left = {os.path.basename(one.path) for one in _stored(folder / "photos")}
        for one in _stored(folder / "files"):
            with suppress(OSError):
                if start_of(one.path)[:CONTENT_BYTES].hex() not in left:
                    os.unlink(one.path)
    return removed


def start_of(path: str) -> bytes:
    """What a small file holds; of a pipe nothing, instead of waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _stored(folder: Path) -> Iterator[_Stored]:
    """The files of one kind; those that were never finished are removed."""
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except FileNotFoundError:
        return
    for entry in entries:
        with suppress(OSError):  # gone meanwhile
            status = entry.stat(follow_symlinks=False)
            if entry.name.endswith(UNFINISHED) and status.st_mtime < time.time() - ABANDONED_AFTER_S:
                os.unlink(entry.path)
            else:
                yield _Stored(status.st_mtime, status.st_size, entry.path)
