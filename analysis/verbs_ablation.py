"""The verb `ablation`: a table of the paper from the runs there are."""

import argparse
import sys
from pathlib import Path

from analysis.errors import AnalysisError


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "ablation",
        help="a table of the paper, measured, next to the paper's own figures",
        description="Compares the runs of a table (conf/experiment/NAME.yaml) with its baseline. Prints the table and "
        "writes it as Markdown, LaTeX (booktabs), HTML, and CSV with every number apart.",
    )
    parser.add_argument("table", metavar="TABLE", nargs="?", help="e.g. table2; without it: which tables there are")
    parser.add_argument(
        "choices", nargs="*", metavar="KEY=VALUE", help="scale=paper|gpu|mini, study=DIGITS; default: the newest study"
    )
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")
    parser.add_argument("--out", default="tables", metavar="FOLDER", help="where the files go (default: tables)")
    parser.add_argument("--trace", action="store_true", help="also list every run behind the numbers")
    parser.add_argument("-k", type=int, default=3, help="evaluations that make a level (default: 3)")
    parser.add_argument("--code", metavar="COMMIT", help="the git commit that runs should be of; others are stale")
    parser.set_defaults(verb=_ablation)


def _ablation(options: argparse.Namespace) -> int:
    from rich.console import Console

    from analysis.ablation import ablation
    from analysis.ablation_text import bits_grid, grid, trace, write
    from analysis.studies import load_study, tables

    if options.table is None:
        print("\n".join(tables()))
        return 0
    found = ablation(load_study(options.table, runs=options.runs, code=options.code, **_choices(options)), k=options.k)
    shown = [grid(found), bits_grid(found), trace(found) if options.trace else None]
    console = Console(width=None if sys.stdout.isatty() else 200)
    for one in filter(None, shown):
        console.print(one.rich())
        for note in one.notes:
            console.print(f"- {note}", markup=False, highlight=False)
    paths = write(found, Path(options.out))
    console.print(f"written: {', '.join(map(str, paths))}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _choices(options: argparse.Namespace) -> dict[str, str]:
    chosen = {}
    for text in options.choices:
        key, equals, value = text.partition("=")
        if not equals or key not in ("scale", "study"):
            raise AnalysisError(f"{text}: choose with scale=... or study=...")
        chosen[key] = value
    return chosen
