"""Room for decoded photos on a disk: how much they take together, and which of them go first. Imports no torch."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lic_exp.text import size_text

LEFT_FREE = 2 * 10**9
"""Bytes of the disk that are left to everything else."""

WAIT_S = 10.0
"""How long another process's search for room is waited for."""

ABANDONED_AFTER_S = 3600.0
"""So old, a file that was never finished is nobody's."""

BOUND_HOLDS_S = 86400.0
"""How long the photos take no more of a disk than they were left when it was last full."""

GIVEN_BACK_FOR_S = 600.0
"""So long, what was given back is enough for all processes that find the same disk full."""

ROUNDED_BY_S = 2.0
"""What dates of files may be rounded by, on old file systems."""

UNFINISHED = ".unfinished"
"""How the name of a file ends that is being written."""

CONTENT_BYTES = 32
"""With so many bytes begins a file that points to pixels: their name."""

LEAST_POINTERS = 10_000
"""Files that point to pixels, which are always kept; more of them only up to POINTERS_PER_PHOTO."""

POINTERS_PER_PHOTO = 4

_AT_ONCE = 256
"""Parts of the room left of which a process takes one before it counts anew: far more than fill the store together."""


class NoRoomError(Exception):
    """Nothing more may be kept; the message says why."""


class ContendedError(Exception):
    """Another process has been looking for room for longer than is waited for."""


class _Stored(NamedTuple):
    """A file of the store: when it was last used [Unix s], its bytes, and where it is."""

    used: float
    size: int
    path: str


def make_room(folder: Path, size: int, *, most: int, spared_since: float) -> int:
    """The bytes, `size` at least, that may be written before this is asked again.

    most: bytes of all photos. spared_since: what was used later is not removed [Unix s, of this machine's clock].
    Raises NoRoomError, ContendedError, OSError, and NotImplementedError where a disk knows no locks.
    """
    with _locked(folder):
        spared_since += clock_ahead(folder)
        stored = sorted(_stored(folder / "photos"))
        taken = sum(one.size for one in stored)
        room = most - taken
        bound = _bound(folder, most)
        on_disk = min(shutil.disk_usage(folder).free - LEFT_FREE, bound - taken)
        if min(room, on_disk) < size:
            removable = [one for one in stored if one.used < spared_since]
            removed = _remove(folder, removable, max(size, min(most, bound) // 8) - min(room, on_disk))
            room, on_disk = room + removed, on_disk + removed
    if room < size:
        raise NoRoomError(f"data.store_mb={most // 10**6} is full of what is being read")
    if on_disk < size:
        raise NoRoomError(f"less than {size_text(LEFT_FREE)} of its disk, or of a quota, would be left")
    return max(size, min(room, on_disk) // _AT_ONCE)


def give_back(folder: Path) -> None:
    """Remove photos of LEFT_FREE bytes, whoever uses them, and take no more than the others for a day.

    For a disk that is full although it does not look so, as with a user's quota; once for all that find it so at the
    same time. Raises ContendedError, OSError, and NotImplementedError where a disk knows no locks.
    """
    with _locked(folder):
        bound = folder / "bound"
        if _age(bound) > GIVEN_BACK_FOR_S:
            stored = sorted(_stored(folder / "photos"))
            left = sum(one.size for one in stored) - _remove(folder, stored, LEFT_FREE)
            bound.write_text(str(left))


def _bound(folder: Path, otherwise: int) -> int:
    """Bytes that photos may take of a disk that was full of late."""
    with suppress(OSError, ValueError):
        if _age(folder / "bound") < BOUND_HOLDS_S:
            return int(start_of(os.fspath(folder / "bound")))
    return otherwise


def _age(path: Path) -> float:
    """Seconds since it was written; without end where there is no such."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf


def clock_ahead(folder: Path) -> float:
    """Seconds by which its disk's clock, which dates what is used, is ahead of this machine's; 0 if that is unknown.

    Or if it is not more than dates are rounded by.
    """
    try:
        os.utime(folder)
        ahead = os.stat(folder).st_mtime - time.time()
    except OSError:
        return 0.0
    return ahead if abs(ahead) > ROUNDED_BY_S else 0.0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone of all processes; the folder is made where it is missing. Raises as `give_back`."""
    from filelock import FileLock, Timeout

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise ContendedError from error
    try:
        yield
    finally:
        lock.release()


def trim_pointers(folder: Path) -> None:
    """Remove the oldest files that point to pixels, where there are many more than photos: of paths long gone."""
    with suppress(OSError):
        pointers = sorted(_stored(folder / "files"))
        most = max(LEAST_POINTERS, POINTERS_PER_PHOTO * len(os.listdir(folder / "photos")))
        for one in pointers[: max(0, len(pointers) - most)]:
            with suppress(OSError):  # gone meanwhile
                os.unlink(one.path)


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
