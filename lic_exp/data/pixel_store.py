"""Decoded photos kept on disk between epochs, workers and runs. Losing them, or having no place for them, costs time.

A folder in the user's cache folder, of two kinds of files, both named by hashes:

    photos/CONTENT   the pixels of an image file, by the SHA-256 of its bytes and of what decodes them
    files/FILE       that CONTENT is what a path holds as long as size, times and inode are these

So a file that changes is another one, and a copy or a moved folder finds the same pixels. Whoever writes gives a file
its name when it is whole; whoever reads compares checksums (`lic_exp.data.pixel_files`): what is damaged, half-written
or gone is decoded again. Imports no torch.
"""

import hashlib
import os
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from lic_exp.data.allowance import Allowance
from lic_exp.data.decoding import decoded_as
from lic_exp.data.fingerprints import Facts, facts_of, file_key, has_settled
from lic_exp.data.images import ImageRef, SourceImage
from lic_exp.data.pixel_files import DamagedPixelsError, Header, read_header, read_rows, size_of_file, write_pixels
from lic_exp.data.store_room import CONTENT_BYTES, UNFINISHED, clock_ahead, start_of, trim_pointers
from lic_exp.data.unchanged import remembered
from lic_exp.user_cache import cache_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "pixels_1"
"""With a number for its format: another one is another folder."""

DATED_EVERY_S = 600.0
"""How old the date of a photo's last use may become while it is in use."""

MOST_IN_MEMORY = 20_000
"""Photos of which a process knows that they are whole, in some 15 MB; the others are looked at each time."""

T = TypeVar("T")


class _Checked(NamedTuple):
    """What is known of a file of pixels as long as it is as facts say. sure: a bit for every block that is whole."""

    facts: Facts
    header: Header
    sure: int


class PixelStore:
    """Of image files, the pixels; of images that are no files, nothing.

    megabytes: how much disk it may take, all runs together; 0: nothing is kept and nothing looked for.
    folder: another than that in the user's cache folder.
    What was used last stays longest. What was used since this store was made is never removed for its sake, unless the
    disk is full: of a data set that is too large a part is kept, instead of each image going just before it is needed
    again. Threads may share it; a copy that is sent to another process has to ask for room of its own.
    """

    def __init__(self, megabytes: int, folder: Path | None = None) -> None:
        self._began = time.time()
        self._clock_ahead: float | None = None
        self._trimmed = False
        self._known: dict[bytes, bytes] = {}
        self._checked: dict[bytes, _Checked] = {}
        homeless = ""
        try:
            self._folder = folder or cache_folder() / FOLDER
        except RuntimeError as error:  # the user has no home
            self._folder, homeless = Path(), f"no decoded photos are kept: {error}"
        self._is_on = megabytes > 0 and not homeless
        self._allowance = Allowance(
            self._folder, most=megabytes * 10**6 if self._is_on else 0, spared_since=self._began
        )
        if megabytes and homeless:
            self._allowance.note(homeless)

    def take_notes(self) -> list[str]:
        """What is to be said to the user, each once: why some photos are not kept."""
        return self._allowance.take_notes()

    def rows(self, image: SourceImage, wanted: "Rows") -> "NDArray[np.uint8] | None":
        """Pixels (count, W, 3) of an image, or None where they are not kept. What `wanted` raises is raised."""
        key, _ = self._key(image)
        content = self._content(key) if key else None
        if content is None:
            return None
        kept = self._read(content, wanted)
        if kept is None:
            self._known.pop(key, None)
        return kept

    def load(self, image: SourceImage) -> "tuple[NDArray[np.uint8], bool]":
        """All pixels (H, W, 3), decoded where they are not kept, and whether they are kept now. Raises ImageError."""
        kept = self.rows(image, _all_rows)
        return (kept, True) if kept is not None else self.load_anew(image)

    def load_anew(self, image: SourceImage) -> "tuple[NDArray[np.uint8], bool]":
        """The same of an image of which `rows` has just found nothing."""
        if type(image) is not ImageRef or not self._is_on:
            return image.load(), False
        (key, changed), now = self._key(image), time.time_ns()
        data = image.read()
        digest = hashlib.sha256(decoded_as().encode())
        digest.update(data)  # joined, they would be copied
        content = digest.digest()
        pixels, kept = self._read(content, _all_rows), True  # a file of another name may have held the same
        if pixels is None:
            pixels = image.decoded(data)
            kept = self._put(content, pixels)
        # What changed a moment ago may change once more and look the same; so may what changed while it was read.
        if kept and key and has_settled(changed, now) and self._key(image) == (key, changed):
            self._remember(key, content)
        return pixels, kept

    def _key(self, image: SourceImage) -> tuple[bytes, int]:
        """What tells a file as it is now from others, and when it changed [ns]; nothing where there is no such."""
        if type(image) is not ImageRef or not self._is_on:
            return b"", 0
        try:
            facts = facts_of(os.stat(image.path))
        except OSError:
            return b"", 0
        return file_key(os.fspath(image.path), facts, decoded_as()), facts[2]

    def _read(self, content: bytes, wanted: "Rows") -> "NDArray[np.uint8] | None":
        try:
            descriptor = os.open(self._path("photos", content), os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            self._checked.pop(content, None)
            return None
        try:
            return self._read_from(descriptor, content, wanted)
        except (OSError, DamagedPixelsError):
            self._checked.pop(content, None)
            return None
        finally:
            os.close(descriptor)

    def _read_from(self, descriptor: int, content: bytes, wanted: "Rows") -> "NDArray[np.uint8]":
        """As it is now or was when it was last compared with its checksums, which need not be done twice."""
        now, facts = time.time_ns(), facts_of(os.fstat(descriptor))
        known = self._checked.get(content)
        if known is None or known.facts != facts:
            known = _Checked(facts, read_header(descriptor, content), 0)
        first, count = wanted(known.header.height, known.header.width)
        rows = read_rows(descriptor, known.header, first, count, sure=known.sure)
        status = os.fstat(descriptor)
        if facts_of(status) != facts:
            raise DamagedPixelsError
        if has_settled(status.st_ctime_ns, now):
            _keep_in_memory(self._checked, content, known._replace(sure=known.sure | known.header.bits(first, count)))
        self._used(descriptor, status.st_mtime)
        return rows

    def _used(self, descriptor: int, before: float) -> None:
        """Date a photo as used now that was used last before [Unix s], but not at every single use."""
        if self._clock_ahead is None:
            self._clock_ahead = clock_ahead(self._folder)
        if before < max(self._began, time.time() - DATED_EVERY_S) + self._clock_ahead:
            with suppress(OSError):  # somebody else's
                os.utime(descriptor)

    def _put(self, content: bytes, pixels: "NDArray[np.uint8]") -> bool:
        """Whether they are kept now."""
        if not self._allowance.take(size_of_file(pixels)):
            return False
        return self._write(self._path("photos", content), lambda file: write_pixels(file, content, pixels))

    def _content(self, key: bytes) -> bytes | None:
        """What the file of this key holds, where that is known."""
        if key not in self._known:
            with suppress(OSError):
                text = start_of(self._path("files", key))
                if text == _sealed(key, text[:CONTENT_BYTES]):
                    _keep_in_memory(self._known, key, text[:CONTENT_BYTES])
        return self._known.get(key)

    def _remember(self, key: bytes, content: bytes) -> None:
        _keep_in_memory(self._known, key, content)
        if self._allowance.is_closed():
            return
        if not self._trimmed:
            self._trimmed = True
            trim_pointers(self._folder)
        self._write(self._path("files", key), lambda file: file.write(_sealed(key, content)))

    def _path(self, kind: str, name: bytes) -> str:
        return f"{self._folder}/{kind}/{name.hex()}"

    def _write(self, path: str, write: Callable[[BinaryIO], object]) -> bool:
        """Whether there is such a file now. After an error no more are written."""
        unfinished = f"{path}.{os.urandom(8).hex()}{UNFINISHED}"
        try:
            with _created(unfinished) as file:
                write(file)
            os.replace(unfinished, path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(unfinished)
            self._allowance.refused(error)
            return False
        return True


def store_of(megabytes: int) -> PixelStore:
    """The store; within `files_unchanged` one for all that has to do with a run, which therefore spares what it put."""
    store: PixelStore = remembered(("pixel store", megabytes), lambda: PixelStore(megabytes))
    return store


Rows = Callable[[int, int], tuple[int, int]]
"""From an image's H and W to the first of the rows that are wanted, and how many they are."""


def _all_rows(height: int, width: int) -> tuple[int, int]:
    return 0, height


def _keep_in_memory(entries: dict[bytes, T], key: bytes, value: T) -> None:
    """In place of the latest where there are too many: of what comes again and again, the oldest part then stays."""
    if len(entries) >= MOST_IN_MEMORY and key not in entries:
        entries.popitem()
    entries[key] = value


def _sealed(key: bytes, content: bytes) -> bytes:
    return content + zlib.crc32(key + content).to_bytes(4, "little")


def _created(path: str) -> BinaryIO:
    """A new file, in a folder that is made where it is missing."""
    try:
        return open(path, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return open(path, "xb")
