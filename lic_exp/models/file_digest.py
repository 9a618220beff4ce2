"""A digest over a whole file of tensors, in the comment at the end of its ZIP archive, where any reader passes it over.

The archive's own checksums are of its parts' content alone. A bit that flips in its directory can make torch take a
part for a folder, read nothing of it and leave zeros or worse in its place, and no checksum is wrong.
"""

import hashlib
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

from lic_exp.fault_points import reached

MARK = b"lic_exp sha256 of all before: "
COMMENT_BYTES = len(MARK) + 2 * hashlib.sha256().digest_size


class DigestingFile:
    """Writes through to a file, and digests what is written; `close_archive` then adds the digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        # An archive ends with the length of its comment, which is written anew once there is one.
        self._end = b""

    def write(self, content: Any) -> int:
        length = struct.calcsize("<H")
        view = memoryview(content).cast("B")
        if len(view) < length:
            view = memoryview(self._end + view.tobytes())
        else:
            self._digest.update(self._end)
        self._digest.update(view[:-length])
        self._end = view[-length:].tobytes()
        self._file.write(content)
        reached("tensors.half_written")
        return memoryview(content).nbytes

    def flush(self) -> None:
        self._file.flush()

    def close_archive(self) -> None:
        """Add the digest of everything before it."""
        self._file.seek(-len(self._end), os.SEEK_END)
        head = struct.pack("<H", COMMENT_BYTES) + MARK
        self._digest.update(head)
        self._file.write(head + self._digest.hexdigest().encode())


def is_as_written(path: Path) -> bool | None:
    """Whether a file still has the digest that it was written with; None where it was written with none."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < COMMENT_BYTES:
            return None
        file.seek(size - COMMENT_BYTES)
        comment = file.read()
        if not comment.startswith(MARK):
            return None
        file.seek(0)
        digest, left = hashlib.sha256(), size - COMMENT_BYTES + len(MARK)
        while left and (content := file.read(min(left, 1 << 20))):
            digest.update(content)
            left -= len(content)
    return digest.hexdigest().encode() == comment[len(MARK) :]
