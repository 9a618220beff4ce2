"""Files that are whole or not there. Imports no torch."""

import errno
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lic_exp.fault_points import reached
from lic_exp.json_text import json_text

TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)@(?P<host>.+)\.tmp")
"""The name of a file that is being written, and by whom."""

FORGOTTEN_AFTER_S = 24 * 3600.0
"""So old, a file that another machine began to write is taken to be nobody's: it cannot be asked from here."""


CLOCK_KEPT_S = 60.0
"""So long a file system's clock is known once it has been asked."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` so that a reader or a crash sees the old or the new file, never a part.

    A name that is no UTF-8 is written with escapes, as JSON and YAML have them.
    """
    with open_atomically(path) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by a value as JSON, which knows neither NaN nor infinity: they become null."""
    write_atomically(path, json_text(value, indent=1) + "\n")


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that takes the place of `path` once it is whole and on disk; after an error, never.

    Its folder must be there: what somebody deleted meanwhile does not come back in part. Raises OSError where something
    that is no file is in its place, such as a device or a pipe.
    """
    if os.path.lexists(path) and not (path.is_file() or path.is_symlink()):
        number = errno.EISDIR if path.is_dir() else errno.EEXIST
        raise OSError(number, "it is a folder" if path.is_dir() else "it is no regular file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{socket.gethostname()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        reached("file.written")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove, anywhere below `folder`, what processes that are gone left half-written."""
    for path in folder.rglob(".*.tmp"):
        if _is_left_over(path):
            path.unlink(missing_ok=True)


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs on this machine, whosever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def file_system_time(folder: Path) -> float:
    """Now, by the clock that dates the files of this folder, which may be a server's [Unix s].

    By this machine's where the folder cannot be written to.
    """
    device = folder.stat().st_dev
    then, asked = _clocks.get(device, (0.0, -CLOCK_KEPT_S))
    if time.monotonic() - asked >= CLOCK_KEPT_S:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                then = os.fstat(file.fileno()).st_mtime
        except OSError:
            then = time.time()
        asked = time.monotonic()
        _clocks[device] = then, asked
    return then + time.monotonic() - asked


_clocks: dict[int, tuple[float, float]] = {}
"""{device: (its time, this machine's monotonic clock then)}"""


def _is_left_over(path: Path) -> bool:
    writer = TEMPORARY.fullmatch(path.name)
    if writer is None:  # no file of ours
        return False
    if writer["host"] == socket.gethostname():
        return not process_exists(int(writer["pid"]))
    try:
        return file_system_time(path.parent) - path.stat().st_mtime > FORGOTTEN_AFTER_S
    except FileNotFoundError:
        return False
