"""Tables and styled lines on the terminal. Imports rich, which `lic_exp.saying` does without."""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from lic_exp.text import visible

PIPED_COLUMNS = 120
"""Where nobody's terminal sets a width, tables get room for all their columns."""


class PlainConsole(Console):
    """A console for which text is data: no markup, no emoji codes, and control characters are shown, not obeyed.

    A text is one line; of several, each is given by itself (`sep="\\n"`). A style is a `Text`'s or an argument's.
    """

    def __init__(self, file: TextIO | None = None, width: int | None = None) -> None:
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(visible(text), **given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Also what others have made: a traceback, a text that was not made by `styled`.
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(visible, segment.text.split("\n"))), segment.style)


def console_for(file: TextIO, columns: int = PIPED_COLUMNS) -> PlainConsole:
    """A console for people. columns: its width where it is no terminal."""
    return PlainConsole(file, None if file.isatty() else columns)


def styled(text: str, style: str = "") -> Text:
    """A text in a style, as a cell of a table takes it, its control characters shown: one line."""
    return Text(visible(text), style=style)
