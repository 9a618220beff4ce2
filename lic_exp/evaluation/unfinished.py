"""What an evaluation has coded before its end is on disk, and one image that is damaged does not stop the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from torch import Tensor

from lic_exp.csv_text import csv_text
from lic_exp.data.images import ImageError
from lic_exp.data.loading import FolderImages

KEPT = "images.partial.csv"
"""Beside the results: rows of images.csv as they come. It is gone once these are whole."""

MOST_NAMED = 10


class EvaluationError(RuntimeError):
    """An image could not be coded; says which."""


class DamagedImagesError(ImageError):
    """Some images could not be read; says which, and where those are that were evaluated all the same."""


@dataclass(frozen=True)
class ReadableImages:
    """Images by name, with an ImageError in the place of one that cannot be read."""

    images: FolderImages

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[str, Tensor | ImageError]]:
        for index, source in enumerate(self.images.sources):
            yield self._read(index, source.name)

    def _read(self, index: int, name: str) -> tuple[str, Tensor | ImageError]:
        try:
            return self.images[index]
        except ImageError as error:
            return name, error


class KeptRows:
    """Rows in the file KEPT of a folder, written as they come; begun with the first, so that none replaces some."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KEPT
        self.images = 0
        self._file: TextIO | None = None

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Those of one image."""
        if self._file is None:
            self._file = open(self.path, "w", encoding="utf-8", newline="")  # noqa: SIM115 (closed by __exit__)
            self._file.write(csv_text([rows[0]]))
        self._file.write(csv_text(row.values() for row in rows))
        self._file.flush()
        self.images += 1

    def drop(self) -> None:
        """Once the results are whole."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def complain(failures: Sequence[Exception], kept: KeptRows) -> None:
    """Raise, where there are failures, what says all of them: no mean may be given of the images that are left.

    DamagedImagesError where some could not be read and others were evaluated; else ImageError or EvaluationError.
    """
    if not failures:
        return
    if len(failures) == 1 and not kept.images:
        raise failures[0]
    more = f"; and {len(failures) - MOST_NAMED} more" if len(failures) > MOST_NAMED else ""
    which = "; ".join(map(str, failures[:MOST_NAMED])) + more
    count = "1 image" if len(failures) == 1 else f"{len(failures)} images"
    text = f"{count} could not be evaluated, and no mean is given of the others: {which}"
    text += f". What was coded of them is kept in {kept.path}" if kept.images else ""
    coding = [failure for failure in failures if isinstance(failure, EvaluationError)]
    if coding:
        raise EvaluationError(text) from coding[0].__cause__
    raise DamagedImagesError(text) if kept.images else ImageError(text)
