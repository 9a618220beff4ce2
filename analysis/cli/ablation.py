"""A table of the paper, measured, next to the paper's own figures.

Compares the runs of a table (conf/experiment/NAME.yaml) with its baseline. Prints the table and writes it as Markdown,
LaTeX (booktabs), HTML, and CSV with every number apart.
"""

import argparse
from pathlib import Path

from analysis.arguments import add_runs, console, out_beside
from analysis.errors import AnalysisError
from analysis.run_places import is_store
from lic_exp.command_parser import whole_number
from lic_exp.saying import show
from lic_exp.text import blank_message, is_blank


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "table", metavar="TABLE", nargs="?", help="e.g. table2, or a sweep of it; without it: which there are"
    )
    parser.add_argument(
        "choices", nargs="*", metavar="KEY=VALUE", help="scale=paper|gpu|mini, study=DIGITS; default: the newest study"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the files go (default: tables; of --from RESULTS in that)"
    )
    parser.add_argument("--trace", action="store_true", help="also list every run behind the numbers")
    parser.add_argument("-k", type=whole_number(1), default=3, help="evaluations that make a level (default: 3)")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    from analysis.studies import load_study, tables

    if options.table is None:
        show(*tables())
        return 0
    name, having = _meant(options)
    study = load_study(name, runs=options.runs, having=having, **_choices(options))
    from analysis.ablation import ablation
    from analysis.ablation_files import trace, write
    from analysis.ablation_text import bits_grid, grid

    found = ablation(study, k=options.k)
    shown = [grid(found), bits_grid(found), trace(found) if options.trace else None]
    out = console(200)
    for table in filter(None, shown):
        out.print(table.rich())
        for note in table.notes:
            out.print(f"- {note}")
    paths = write(found, options.out or out_beside(options, "tables"))
    out.print(f"written: {', '.join(map(str, paths))}", soft_wrap=True)
    return 0


def _meant(options: argparse.Namespace) -> tuple[str, dict[str, str | None]]:
    """The table's name, and nothing; of a sweep that is one of a table that, and the sweep's cells."""
    from analysis.sweep_manifests import find_sweep, table_of

    name: str = options.table
    table = None if is_store(options.runs) else table_of(name, Path(options.runs))
    if table is None or table == name:
        return name, {}
    return table, {cell["signature"]: cell.get("evaluation") for cell in find_sweep(name, options.runs).cells}


def _choices(options: argparse.Namespace) -> dict[str, str]:
    chosen = {}
    for text in options.choices:
        key, equals, value = text.partition("=")
        if not equals or key not in ("scale", "study"):
            raise AnalysisError(f"{text}: choose with scale=... or study=...")
        if is_blank(value):
            raise AnalysisError(blank_message(text))
        if key in chosen:
            raise AnalysisError(f"{text}: {key} is given twice")
        chosen[key] = value
    return chosen
