"""Folders of images searched: each real folder once, whatever links there are, and regular files alone."""

import fnmatch
import heapq
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lic_exp.text import visible

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""What is taken for an image when a folder is searched, in either case."""

_OTHERS = """
.apng .arw .avif .avifs .bw .cr2 .cr3 .cur .dds .dib .dng .emf .eps .exr .fit .fits .gif .hdr .heic .heif .hif .icns
.ico .im .j2c .j2k .jfi .jfif .jif .jp2 .jpc .jpe .jpf .jps .jpx .jxl .jxr .mpo .nef .orf .pbm .pcx .pfm .pgm .pic .pnm
.psd .qoi .raf .ras .raw .rgb .rgba .rw2 .sgi .svg .tga .wbmp .wdp .wmf .xbm .xpm
"""

OTHER_SUFFIXES = frozenset(_OTHERS.split())
"""What images are called too. Files that are called so are counted where they are passed over, and no others."""


class FolderWalk:
    """All folders below one, each once. Paths are text, for a `Path` each would take longer than the walk.

    pattern: of the names of files to be found, in either case; none: those with the suffixes of images.
    found: relative and absolute path of every image. Raises OSError where a folder cannot be listed.
    """

    def __init__(self, root: Path, pattern: str) -> None:
        self._root = root
        self._pattern = re.compile(fnmatch.translate(pattern.lower())) if pattern else None
        self.found: list[tuple[str, str]] = []
        self._others: Counter[str] = Counter()
        self._irregular: list[str] = []
        self._nowhere: list[str] = []
        self._again: list[str] = []
        # By length, so that the first name by which a folder is met is its shortest.
        waiting = [(0, "", str(root), os.path.realpath(root))]
        names: dict[str, str] = {}
        while waiting:
            _, within, path, real = heapq.heappop(waiting)
            if real in names:
                self._again.append(f"{within[:-1]} (is {names[real][:-1] or root.name})")
                continue
            names[real] = within
            for name, inner in self._look_into(within, path):
                target = os.path.realpath(inner) if os.path.islink(inner) else os.path.join(real, name)
                heapq.heappush(waiting, (len(within) + len(name) + 1, f"{within}{name}/", inner, target))

    def _look_into(self, within: str, folder: str) -> Iterator[tuple[str, str]]:
        """Note the files of a folder; yields name and path of the folders in it."""
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
        for entry in entries:
            kind = _kind(entry)
            if kind == "folder":
                yield entry.name, entry.path
            elif kind == "nowhere":
                self._nowhere.append(within + entry.name)
            elif not self._is_wanted(entry.name.lower()):
                suffix = os.path.splitext(entry.name)[1].lower()
                self._others[suffix] += suffix in OTHER_SUFFIXES
            elif kind == "file":
                self.found.append((within + entry.name, entry.path))
            else:
                self._irregular.append(within + entry.name)

    def _is_wanted(self, name: str) -> bool:
        return bool(self._pattern.match(name)) if self._pattern else name.endswith(SUFFIXES)

    def notes(self) -> list[str]:
        """What was passed over."""
        notes = []
        if self._pattern is None and (others := +self._others):
            counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
            notes.append(
                f"images of other suffixes than {' '.join(SUFFIXES)} were passed over: {counts}; name "
                f"{self._root}/*{min(others)} too to have them read"
            )
        for names, what in (
            (self._again, "folders were passed over, which links give another name"),
            (self._nowhere, "links that lead nowhere were passed over"),
            (self._irregular, "files were passed over that are no regular ones"),
        ):
            if names:
                notes.append(f"{len(names)} {what}: {_some(names)}")
        return [visible(f"{self._root}: {note}") for note in notes]


def _kind(entry: os.DirEntry[str]) -> str:
    """folder, file, other, or nowhere: of a link what it leads to."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "nowhere" if entry.is_symlink() and not os.path.exists(entry.path) else "other"
    except OSError:  # a link to itself, or into what may not be entered
        return "nowhere"


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
