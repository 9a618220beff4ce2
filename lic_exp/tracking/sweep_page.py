"""A sweep on one page of a store: its table as Markdown, its curves as a picture. Matplotlib is imported to draw."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lic_exp.manifests import SweepRecord
from lic_exp.plot_style import in_style, legend_below, legend_name, looks, name_axes, new_figure
from lic_exp.text import visible
from lic_exp.tracking import names
from lic_exp.tracking.sweep_cells import CellResult, counts_text, curves, image_sets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("cell", "state", "step", "val/rd_loss, best", names.EVAL_BPP, names.EVAL_PSNR)

UNLIKE = "The cells were evaluated on different images, so there is no picture of them all; `{command}` says which."

FOR_THE_COUNT = 80
"""Characters of the line that says how many rows there is no room for."""

SIZE = (4.8, 4.0)
"""Of the picture [inches]: in the description of a run MLflow shows pixels as they are, and cuts off what is wider."""

MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~#!])")


def page(name: str, record: SweepRecord, cells: Sequence[CellResult], *, longest: int, picture: str = "") -> str:
    """What a sweep is and came to, in Markdown of at most `longest` characters: rows that have no room are counted.

    picture: the address of the picture of its curves, or nothing.
    """
    command = f"python -m analysis rd {name}"
    head = [f"**{len(cells)} cells: {counts_text(cells)}**", "", *_about(record)]
    if picture:
        head += ["", f"![Rate and quality of the arms]({picture})"]
    elif len(image_sets(cells)) > 1:
        head += ["", UNLIKE.format(command=command)]
    tail = ["", f"Curves with BD-rates: `{command}`. States as they are now: `python -m lic_exp status {name}`."]
    table = markdown_table(cells)
    kept = list(table[:2])
    room = longest - len("\n".join([*head, "", *kept, *tail])) - FOR_THE_COUNT
    for row in table[2:]:
        room -= len(row) + 1
        if room < 0:
            kept += ["", f"and {len(table) - len(kept)} more, in `cells.md` among the artifacts"]
            break
        kept.append(row)
    return "\n".join([*head, "", *kept, *tail])


def markdown_table(cells: Sequence[CellResult]) -> list[str]:
    """One line per row, the head's two first."""
    rows = [_row(cell) for cell in cells]
    lines = [list(COLUMNS), ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _about(record: SweepRecord) -> list[str]:
    facts = {"experiment": record.get("experiment"), "made": record.get("made"), "by": record.get("launched_by")}
    said = [f"{key} {_plain(_moment(value))}" for key, value in facts.items() if isinstance(value, str) and value]
    return [", ".join(said)] if said else []


def _moment(text: str) -> str:
    """A time as people write it; what is none stays."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text


def _row(cell: CellResult) -> list[str]:
    return [
        _plain(cell.label or cell.signature),
        cell.state,
        "" if cell.step is None else str(cell.step),
        "" if cell.best is None else f"{cell.best:.5g}",
        _range(cell, names.EVAL_BPP, ".4f"),
        _range(cell, names.EVAL_PSNR, ".2f"),
    ]


def _range(cell: CellResult, name: str, form: str) -> str:
    """A mean; of a variable-rate codec the smallest and the largest of its qualities."""
    found = [means[name] for _, means in cell.evaluated.points if name in means]
    return " to ".join(format(value, form) for value in sorted({min(found), max(found)})) if found else ""


def _plain(text: str) -> str:
    """Somebody's words within Markdown."""
    return MARKDOWN.sub(r"\\\1", visible(text))


@in_style
def curve_figure(name: str, cells: Sequence[CellResult]) -> "Figure | None":
    """Rate against PSNR, a curve per arm, means over seeds.

    None where fewer than two cells were evaluated, where they were on different images or on unknown ones.
    """
    drawn = drawable(cells)
    if not drawn:
        return None
    figure = new_figure(*SIZE)
    axes = figure.subplots()
    for look, (arm, points) in zip(looks(len(drawn)), drawn.items(), strict=True):
        rates, qualities = zip(*points, strict=True)
        axes.plot(rates, qualities, label=legend_name(arm or name), **look.options)
    name_axes(axes, "rate [bits per pixel, of real bitstreams]", "PSNR [dB, 8-bit RGB]", name)
    legend_below(figure, [axes])
    return figure


def drawable(cells: Sequence[CellResult]) -> Mapping[str, list[tuple[float, float]]]:
    """The curves that a picture of these cells has; {} where it would show nothing, or what cannot be compared."""
    sets = image_sets(cells)
    if len(sets) != 1 or "" in sets:
        return {}
    finite = {
        arm: [point for point in points if all(map(math.isfinite, point))] for arm, points in curves(cells).items()
    }
    found = {arm: points for arm, points in finite.items() if points}
    return found if sum(map(len, found.values())) > 1 else {}
