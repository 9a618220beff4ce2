"""What a report is made of, before it becomes a page: tables whose cells lead to runs, figures, photos, texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.grid import Grid

NOTES_SHOWN, MOST_NOTES_SHOWN = 16, 20
"""Of the notes below a table so many stand there where there are more than that."""


@dataclass(frozen=True)
class Linked:
    """A cell. of: the address, in the page, of the run or the runs that it is of; "" of a cell that is of none."""

    text: str
    of: str = ""


@dataclass(frozen=True)
class PageTable:
    """title, header (n,), rows of cells (n,), or of one that heads those below it, and notes.

    is_long: a list that has many rows, and is narrow text: it scrolls in itself on a small screen, where others show a
    block per row. ids: the address of each row, "" of one that has none; empty where none has.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Linked, ...], ...]
    notes: tuple[str, ...] = ()
    is_long: bool = False
    ids: tuple[str, ...] = ()

    @property
    def shown_notes(self) -> tuple[str, ...]:
        """All of them where they are not many, else the first."""
        return self.notes[: NOTES_SHOWN if len(self.notes) > MOST_NOTES_SHOWN else None]

    @property
    def folded_notes(self) -> tuple[str, ...]:
        """The others."""
        return self.notes[len(self.shown_notes) :]

    @property
    def kind(self) -> str:
        """How it fits on a small screen."""
        return "long" if self.is_long else "pairs" if len(self.header) == 2 else "wide"

    @property
    def identified(self) -> list[tuple[str, tuple[Linked, ...]]]:
        """(address, cells) of each row."""
        return list(zip(self.ids or [""] * len(self.rows), self.rows, strict=True))


@dataclass(frozen=True)
class PageFigure:
    """An SVG, ready to stand in a page, and what it shows in words.

    is_plate: it has shades that mean something, or photos: it stays as it is in the dark, and takes all of the width.
    """

    title: str
    svg: str
    notes: tuple[str, ...] = ()
    is_plate: bool = False


@dataclass(frozen=True)
class PagePhoto:
    """A picture as a data address, "" of one that cannot be shown, and what it is."""

    caption: str
    source: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Part:
    """A part of the report. folded: it is shown when asked for. commands: to be typed, each a line."""

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[PageTable, ...] = ()
    figures: tuple[PageFigure, ...] = ()
    photos: tuple[PagePhoto, ...] = ()
    commands: tuple[str, ...] = ()
    folded: bool = False

    @property
    def address(self) -> str:
        """In the page."""
        return "part-" + "".join(char if char.isalnum() else "-" for char in self.title.lower())

    @property
    def is_empty(self) -> bool:
        return not (self.lines or self.tables or self.figures or self.photos or self.commands)


@dataclass(frozen=True)
class ReportContent:
    """title; summary: how many runs of which state, when; parts in order."""

    title: str
    kind: str
    summary: tuple[str, ...]
    parts: tuple[Part, ...] = field(default=())


def of_grid(grid: Grid, addresses: Sequence[str]) -> PageTable:
    """A table for people as one of a page, each row's numbers leading to what it is of."""
    rows = [
        tuple(Linked(cell, address if cell else "") for cell in row)
        for row, address in zip(grid.rows, addresses, strict=True)
    ]
    return PageTable(grid.title, grid.header, tuple(rows), grid.notes)


def plain(cells: Sequence[str]) -> tuple[Linked, ...]:
    """Cells that lead nowhere."""
    return tuple(map(Linked, cells))
