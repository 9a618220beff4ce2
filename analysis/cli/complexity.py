"""Parameters and MACs per pixel: of runs' codecs, and published ones."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.arguments import RUN_HELP, console
from analysis.errors import AnalysisError
from analysis.grid import markdown_text
from analysis.out_places import write_out
from lic_exp.csv_text import records_text
from lic_exp.json_text import json_text

if TYPE_CHECKING:
    from analysis.complexity import CodecCost

SUFFIXES = (".csv", ".json", ".md")

TITLES = ("codec", "kind", "params M", "KMACs/px", "encode", "decode", "enc ms", "dec ms", "source")
"""Of the table; a file has the fields of `analysis.complexity.CodecCost`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="RUN|NAME",
        help=f"{RUN_HELP}; or the beginning of a published codec's name (dhic); default: all runs and all published",
    )
    parser.add_argument("--runs", metavar="FOLDER", help="where run folders are (default: runs)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"{', '.join(SUFFIXES)}")


def run(options: argparse.Namespace) -> int:
    from analysis.complexity import find_costs

    if options.out is not None and options.out.suffix not in SUFFIXES:
        raise AnalysisError(f"--out={options.out}: a table of complexities is written as {', '.join(SUFFIXES)}")
    costs = find_costs(options.names, options.runs)
    if options.out is not None:
        write_out(options.out, as_text(costs, options.out.suffix))
    _print(costs)
    return 0


def as_text(costs: "Sequence[CodecCost]", suffix: str) -> str:
    """The costs as the content of a .csv, .json or .md file."""
    from analysis.complexity import COLUMNS

    if suffix == ".json":
        return json_text([asdict(cost) for cost in costs], indent=1) + "\n"
    if suffix == ".md":
        rows = [TITLES, ["---"] * len(TITLES), *(list(map(markdown_text, _cells(cost))) for cost in costs)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"{table}\n\n" + "".join(f"* {markdown_text(line)}\n" for line in _remarks(costs))
    return records_text(list(map(asdict, costs)), COLUMNS)


def _print(costs: "Sequence[CodecCost]") -> None:
    from rich.table import Table

    from lic_exp.console import styled

    table = Table(title="complexity; encode and decode in KMACs/px")
    for title in TITLES:
        numeric = title not in ("codec", "kind", "source")
        # No number may be cut to make room: a shortened one reads like another one.
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for cost in costs:
        table.add_row(*map(styled, _cells(cost)))
    out = console(150)
    out.print(table)
    for line in _remarks(costs):
        out.print(line)


def _cells(cost: "CodecCost") -> list[str]:
    millions = "" if cost.parameters is None else f"{cost.parameters / 1e6:.2f}"
    numbers = (cost.kmacs_per_pixel, cost.encode_kmacs_per_pixel, cost.decode_kmacs_per_pixel)
    times = (cost.encode_ms, cost.decode_ms)
    return [cost.codec, cost.kind, millions, *map(_text, (*numbers, *times)), cost.source]


def _text(value: Any) -> str:
    """At most two decimals, and no more digits than the source has."""
    return "" if value is None else f"{round(value, 2):.12g}"


def _remarks(costs: "Sequence[CodecCost]") -> list[str]:
    """What to know of the numbers: each row's note, that times are not comparable, and what the sources are."""
    from analysis.complexity import TIMES_CAUTION, sources

    lines = [f"{cost.codec} ({cost.kind}): {cost.note}" for cost in costs if cost.note]
    if any(cost.encode_ms or cost.decode_ms for cost in costs):
        lines.append(TIMES_CAUTION)
    used = {cost.source for cost in costs}
    return lines + [f"{name}: {what}" for name, what in sources().items() if name in used]
