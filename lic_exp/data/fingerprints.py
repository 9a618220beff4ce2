"""What images and weights are, wherever they lie: digests of contents, each file read once and not again unchanged.

Imports no torch and no NumPy, and SQLite only when there is a file to be identified.
"""

import errno
import hashlib
import json
import os
import stat
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lic_exp.data.images import ImageRef

_PROBE = 4096

_MOST_IN_MEMORY = 100_000
"""Digests that a process keeps; those of a larger set are looked up on disk."""

_memory: dict[bytes, bytes] = {}


Facts = tuple[int, int, int, int]
"""A file's size, times of modification and of change [ns], and inode."""


_DIGEST_BYTES = 32

_MOST_TAKEN = 16
"""Fingerprints of which a process knows what they are of: those of a run and its stages many times over."""


class _Taken(NamedTuple):
    """What a fingerprint was taken of. files: set and image; digests, facts: of each, one after another."""

    files: list[tuple[int, ImageRef]]
    digests: bytes
    facts: "array[int]"

    def by_name(self) -> dict[tuple[int, str], tuple[Path, bytes]]:
        return {
            (number, image.name): (image.path, self.digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES])
            for place, (number, image) in enumerate(self.files)
        }


_taken: dict[str, _Taken] = {}


class _Digest(NamedTuple):
    """How a file is digested. Change the name with the function, or digests of before would still be found."""

    name: str
    of: Callable[[BinaryIO], bytes]


def fingerprint(*sets: Sequence[ImageRef]) -> str:
    """A hexadecimal digest of sets of files, the same wherever they lie and in whatever order each is listed.

    Of every file it takes the set, the name, the size in bytes and the first and last 4 KiB. That is enough in
    practice, since a re-encoded or edited file changes its size, and a PNG ends with a checksum of its pixels;
    reading everything would take minutes on ImageNet before a run could even be recognised as done.
    What goes unnoticed: an edit in the middle that keeps the size of a file without checksum (BMP, PPM).
    """
    listed = [
        (number, image) for number, images in enumerate(sets) for image in sorted(images, key=lambda image: image.name)
    ]
    paths = [os.fspath(image.path) for _, image in listed]
    facts = [facts_of(_status(path)) for path in paths]
    contents = _digests(paths, facts, _ENDS)
    whole = hashlib.sha256()
    for (number, image), content in zip(listed, contents, strict=True):
        whole.update(json.dumps([number, image.name]).encode() + content)
    taken = whole.hexdigest()
    known = _taken.pop(taken, None)
    # What files were when they were first seen: who is touched later is to be told from who never was.
    same = known is not None and known.files == listed
    _taken[taken] = known if known and same else _Taken(listed, b"".join(contents), _packed(facts))
    for oldest in list(_taken)[:-_MOST_TAKEN]:
        del _taken[oldest]
    return taken


def differences(before: str, after: str) -> list[str]:
    """Which files make two fingerprints differ that were taken in this process: a text each, by path.

    Nothing where one of them was not, or so long ago that what it was of is forgotten.
    """
    if before not in _taken or after not in _taken:
        return []
    old, new = _taken[before].by_name(), _taken[after].by_name()
    found = [f"{old[key][0]} is gone" for key in old.keys() - new.keys()]
    found += [f"{new[key][0]} is new" for key in new.keys() - old.keys()]
    found += [f"{new[key][0]} changed" for key in old.keys() & new.keys() if old[key][1] != new[key][1]]
    return sorted(found)


def touched(taken: str) -> list[tuple[ImageRef, Facts]]:
    """The images of a fingerprint taken in this process whose files are not what they were then, with what they were.

    Their ends are the same, or else the fingerprint would be another.
    """
    if taken not in _taken:
        return []
    files, _, packed = _taken[taken]
    before = [(packed[i], packed[i + 1], packed[i + 2], packed[i + 3]) for i in range(0, len(packed), 4)]
    found = []
    for (_, image), facts in zip(files, before, strict=True):
        with suppress(OSError):
            if tuple(_packed([facts_of(image.path.stat())])) != facts:
                found.append((image, facts))
    return found


def _packed(facts: Iterable[Facts]) -> "array[int]":
    """A quarter of the memory; inodes may have 64 bits."""
    return array("Q", (fact & 0xFFFF_FFFF_FFFF_FFFF for one in facts for fact in one))


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a whole file, in hexadecimal digits. Raises OSError."""
    name = os.fspath(path)
    (digest,) = _digests([name], [facts_of(_status(name))], _WHOLE)
    return digest.hex()


def _of_ends(file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256(repr(size).encode())
    digest.update(file.read(_PROBE))
    file.seek(max(_PROBE, size - _PROBE))
    digest.update(file.read(_PROBE))
    return digest.digest()


def _of_all(file: BinaryIO) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]


_ENDS = _Digest("size, first and last 4 KiB", _of_ends)
_WHOLE = _Digest("whole", _of_all)


def _digests(paths: Sequence[str], facts: Sequence[Facts], digest: _Digest) -> list[bytes]:
    """The digest of every file, opened only where it is not known of the file as it is now. Raises OSError."""
    keys = [file_key(path, now, digest.name) for path, now in zip(paths, facts, strict=True)]
    found = {key: _memory[key] for key in keys if key in _memory}
    if missing := {key: path for key, path in zip(keys, paths, strict=True) if key not in found}:
        from lic_exp.data import digest_store  # SQLite takes as long to import as a small data set to be listed

        found |= (kept := digest_store.read(missing))
        fresh: dict[bytes, bytes] = {}
        for key, path in missing.items():
            if key not in kept:
                found[key], lasting = _read(path, digest)
                fresh |= lasting
        digest_store.write(fresh)
        _keep_in_memory(kept | fresh)
    return [found[key] for key in keys]


def _status(path: str) -> os.stat_result:
    """Raises OSError also of what is no file, such as a pipe that would be waited for without end."""
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # folders say so themselves when opened
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return status


def facts_of(status: os.stat_result) -> Facts:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def file_key(path: str, facts: Facts, what: str) -> bytes:
    """What tells a file, as these facts are, from others and from itself before. what: is known of it.

    The time of change tells also where size and time of modification were put back: no program can set it. The device
    is left out, since the same network folder has another number on every machine and after every mount.
    """
    return hashlib.blake2b(repr((what, *facts)).encode() + os.fsencode(os.path.abspath(path)), digest_size=16).digest()


def _read(path: str, digest: _Digest) -> tuple[bytes, dict[bytes, bytes]]:
    """The file's digest, and {key: digest} where it may be kept."""
    with open(path, "rb") as file:
        status, now = os.fstat(file.fileno()), time.time_ns()
        content = digest.of(file)
    return content, {file_key(path, facts_of(status), digest.name): content} if has_settled(
        status.st_ctime_ns, now
    ) else {}


def has_settled(changed: int, now: int) -> bool:
    """Whether a change after `now` would show in the time of change [ns].

    A kernel's clock ticks every 10 ms at most, that of old file systems every second or two and in whole seconds; a
    file that changed within the same tick may change once more and look the same.
    """
    tick = 20_000_000 if changed % 1_000_000_000 else 2_000_000_000
    return changed + tick < now


def _keep_in_memory(digests: dict[bytes, bytes]) -> None:
    _memory.update(digests)
    for oldest in list(_memory)[: max(0, len(_memory) - _MOST_IN_MEMORY)]:
        _memory.pop(oldest, None)
