"""The one look of all figures: what tells curves apart does so in grey as well. Matplotlib is imported where it draws.

Without pyplot: no display, no global state.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import cycle, islice
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from lic_exp.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

SUFFIXES = (".png", ".pdf", ".svg")
"""What a figure is written as."""

DPI = 150

COLOURS = ("#0b4a8f", "#d1600a", "#2c8c5c", "#a3328e", "#7a5a00", "#4aa3d9", "#555555")
"""Of the palette that Okabe and Ito made for all eyes, darkened so that thin lines can be seen on white."""

MARKERS = "os^Dv<>PX*"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

NEUTRAL = "0.35"
"""Of what is no curve: targets, marks, and what stands beside them."""

BAND = 0.2
"""How dense a band around a line is."""

LINE, MOST_LINES = 72, 4
"""Characters of a line of a name, and the lines that it has room for."""

RC: Any = {
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "legend.fontsize": 9.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "lic_exp",
}
"""Text of an SVG stays text, and the same figure gets the same file."""

P = ParamSpec("P")
T = TypeVar("T")


class Look(NamedTuple):
    """How one curve is drawn. Two neighbours differ in colour, marker and line, and each alone tells them apart."""

    colour: str
    marker: str
    line: Any

    @property
    def options(self) -> dict[str, Any]:
        """As `Axes.plot` takes them."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line}

    @property
    def unmarked(self) -> dict[str, Any]:
        """The same of a curve of many points."""
        return {"color": self.colour, "linestyle": self.line}


def looks(count: int) -> list[Look]:
    """How so many curves are drawn side by side."""
    return [Look(*one) for one in islice(zip(cycle(COLOURS), cycle(MARKERS), cycle(LINES), strict=False), count)]


@contextmanager
def style() -> Iterator[None]:
    """Within, figures are made and written in this look."""
    from matplotlib import rc_context

    with rc_context(RC):
        yield


def in_style(draw: Callable[P, T]) -> Callable[P, T]:
    """A function that makes figures in this look."""

    @wraps(draw)
    def drawn(*arguments: P.args, **options: P.kwargs) -> T:
        with style():
            return draw(*arguments, **options)

    return drawn


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size [inches], whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def name_axes(axes: "Axes", x: str, y: str, title: str = "") -> None:
    """Say what the axes are, and what is drawn. A name is shown as it is, dollar signs and all."""
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(y, parse_math=False)
    if title:
        axes.set_title(in_lines(title), loc="left", parse_math=False)


def in_lines(name: str) -> str:
    """A name as a figure has room for it: a long one on several lines."""
    return "\n".join(wrap(visible(name), LINE, max_lines=MOST_LINES, placeholder=" …"))


def legend_name(name: str) -> str:
    """A name as a legend takes it, which would leave out one that begins with an underscore."""
    text = in_lines(name)
    return f" {text}" if text.startswith("_") else text


def literal(legend: "Legend") -> "Legend":
    """The legend, with its names shown as they are."""
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def legend_below(figure: "Figure", axes: "Sequence[Axes]") -> None:
    """One legend below all panels, of each name once, in as many columns as have room."""
    drawn: dict[str, Any] = {}
    for panel in axes:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            drawn.setdefault(name, handle)
    if not drawn:
        return
    room = 14 * figure.get_figwidth()  # characters, beside what a sample of a line takes
    longest = max(len(line) for name in drawn for line in name.split("\n"))
    columns = int(max(1, min(len(drawn), 4, room // (6 + longest))))
    literal(figure.legend(drawn.values(), drawn.keys(), loc="outside lower left", ncols=columns, frameon=False))


@in_style
def encoded(figure: "Figure", suffix: str) -> bytes:
    """The figure as a file of one of SUFFIXES. Without dates: of the same figure the same bytes.

    Of a sign that the font lacks, and of names that leave no room for axes, nothing is said beside it.
    """
    content = io.BytesIO()
    dateless = {".svg": {"Date": None}, ".pdf": {"CreationDate": None, "ModDate": None}, ".png": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(content, format=suffix.removeprefix("."), dpi=DPI, metadata=dateless[suffix])
    return content.getvalue()
